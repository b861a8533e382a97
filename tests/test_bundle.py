"""A bundle loads as it was saved, or is refused; it is there whole or not at all."""

import pytest
import torch
from safetensors.torch import save_file

import atmorep
from atmorep import bundle
from atmorep.errors import IntegrityError
from atmorep.model.inputs import Inputs
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window
from atmorep.store.reader import FieldReader
from atmorep.training.data import neighbourhoods

FILES = {
    *("model.safetensors", "config.yaml", "normalisation/t.nc", "training.csv"),
    *("README.md", "bundle.json", "manifest.json"),
}


@pytest.fixture
def saved(configure, tmp_path):
    """Configuration, model and folder of a bundle of temperature."""
    config = configure()
    torch.manual_seed(1)
    model = bundle.build(config, ["t"]).eval()
    save_file(model.state_dict(), tmp_path / "weights")
    (tmp_path / "log").write_text("epoch,train_loss\n1,0.5\n")
    save(tmp_path / "t", config, tmp_path)
    return config, model, tmp_path / "t"


def save(target, config, folder, normalisation=None):
    bundle.save(
        target,
        config,
        weights=folder / "weights",
        log=folder / "log",
        normalisation={"t": normalisation or Paths(config).normalisation("t")},
    )


def predicted(model, config):
    reader = neighbourhoods(config, "t")
    windows = [Window(100, 3, 5)]
    source = reader.normalised(windows)
    with torch.inference_mode():
        blank = torch.zeros(source.shape[:-1], dtype=torch.bool)
        return model({"t": Inputs(source, reader.info(windows), blank)})["t"]


def test_what_is_loaded_predicts_what_was_saved(saved):
    config, model, folder = saved
    loaded = atmorep.load(folder)
    assert (loaded.fields, loaded.config) == (("t",), config)
    assert not loaded.model.training
    assert torch.equal(predicted(loaded.model, config), predicted(model, config))
    assert loaded.normalisation["t"].mean.shape[:2] == (12, len(config.model_levels("t")))


def test_it_holds_all_that_is_needed_and_nothing_pickled(saved):
    _, _, folder = saved
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder)) for path in files} == FILES
    assert all(not path.read_bytes().startswith((b"PK", b"\x80")) for path in files)
    card = (folder / "README.md").read_text()
    for fact in ("temperature", "2001-01-25 to 2001-02-15", "(105, 137)", "90.0 to -90.0 N", "every 6 h"):
        assert fact in card
    assert "simulated" not in card


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "normalisation/t.nc", "bundle.json"])
def test_a_bundle_that_lacks_a_file_is_refused(saved, name):
    _, _, folder = saved
    (folder / name).unlink()
    with pytest.raises(IntegrityError, match=rf"{name}"):
        atmorep.load(folder)


@pytest.mark.parametrize("kept", [0, 4, 200, -1])
def test_truncated_weights_are_refused(saved, kept):
    _, _, folder = saved
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(IntegrityError, match=r"model\.safetensors: is damaged"):
        atmorep.load(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.yaml", "normalisation/t.nc"])
def test_one_altered_byte_is_noticed(saved, name):
    _, _, folder = saved
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=rf"{name}: is damaged or has been altered"):
        atmorep.load(folder)


@pytest.mark.parametrize(
    "change", [{"embed_dim": 32}, {"tails": 4}, {"encoder_blocks": 3}, {"first_guess": "temporal"}]
)
def test_weights_of_another_configuration_are_refused(configure, saved, tmp_path, change):
    network = configure().network.model_dump() | change
    save(tmp_path / "other", configure(network=network), tmp_path)
    with pytest.raises(IntegrityError, match=r"model\.safetensors: is not of config\.yaml beside it"):
        atmorep.load(tmp_path / "other")


def test_a_bundle_of_another_form_is_refused(saved):
    _, _, folder = saved
    manifest = folder / "bundle.json"
    manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(IntegrityError, match="format 1 is not 2"):
        atmorep.load(folder)


def contents(folder):
    """All files below a folder."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_bundle_that_cannot_be_completed_leaves_the_old_one_as_it_was(saved, tmp_path):
    config, _, folder = saved
    before = contents(folder)
    for target in (folder, tmp_path / "new/t"):
        with pytest.raises(FileNotFoundError):
            save(target, config, tmp_path, normalisation=tmp_path / "absent.nc")
    assert contents(folder) == before
    assert {p.name for p in tmp_path.iterdir()} == {"t", "weights", "log", "data"}


def test_a_new_bundle_replaces_the_old_one_whole(saved, tmp_path):
    config, _, folder = saved
    (folder / "left over").touch()
    save(folder, config, tmp_path)
    assert set(contents(folder)) == FILES


def test_the_normalisation_in_the_bundle_is_that_of_the_store(saved):
    config, _, folder = saved
    reader = neighbourhoods(config, "t")
    normalisation = type(reader.normalisation).load(folder / "normalisation/t.nc", reader.reader.levels)
    own = NeighbourhoodReader(config, "t", FieldReader(config, "t"), normalisation)
    windows = [Window(100, 3, 5), Window(170, 0, 30)]
    assert torch.equal(own.normalised(windows), reader.normalised(windows))
