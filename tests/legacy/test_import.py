"""What an imported bundle says of itself, and what can be done with it."""

import datetime as dt
import json

import numpy as np
import pytest
import torch
import xarray as xr

import atmorep
from atmorep.artefacts import sha256
from atmorep.cli import main
from atmorep.config import parse
from atmorep.errors import IntegrityError
from atmorep.inference.predictor import Predictor
from atmorep.legacy.stage import import_weights
from atmorep.training.couple import assemble

from .original import random_tensors, settings, three, write


@pytest.fixture
def config_of(tmp_path):
    """Configuration of the bundle of settings: ``config_of(settings)``."""

    def do(s, identifier="abc"):
        folder = write(tmp_path / f"checkpoint-{identifier}", s, random_tensors(s), identifier)
        import_weights(str(folder), str(tmp_path / identifier))
        return atmorep.load(tmp_path / identifier).config

    return do


def test_what_the_original_does_otherwise_is_a_setting_of_each_bundle(config_of):
    network = config_of(settings()).network
    assert (network.position, network.information, network.mlp_output) == ("published", "published", "gelu")
    assert (network.first_guess, network.encoder_tokens, network.information_place) == (
        "none",
        "all",
        "appended",
    )


def test_the_configuration_is_that_of_the_original(config_of):
    config = config_of(three(fields_prediction=[["velocity_v", 0.3], ["temperature", 0.7]]))
    assert config.experiment == "imported-abc"
    assert {name: field.coupled for name, field in config.fields.items()} == {
        "u": ("v", "t"),
        "v": ("t",),
        "t": ("v", "u"),
    }
    assert [config.model_levels(name) for name in "uvt"] == [(96, 137), (137, 96), (123,)]
    assert [config.embed_dim(name) for name in "uvt"] == [16, 24, 8]
    assert [config.token_size(name).shape for name in "uvt"] == [(3, 2, 2), (3, 4, 3), (6, 2, 6)]
    assert [config.fields[name].predicted for name in "uvt"] == [False, True, True]
    assert [config.fields[name].weight for name in "vt"] == [0.3, 0.7]
    assert [config.fields[name].normalisation for name in "uvt"] == ["global", "global", "local"]
    assert config.network.neighbourhood.shape == (6, 4, 6)
    assert config.data.levels.values == (96, 137, 123)
    assert config.data.grid.resolution == 0.25
    assert config.data.periods.train[0].start == dt.date(1979, 1, 1)
    assert config.data.periods.train[0].end == dt.date(1980, 12, 31)
    assert config.data.periods.train[1].start == dt.date(1982, 1, 1)
    assert config.data.periods.validation[0].start == dt.date(2021, 1, 1)
    assert config.data.periods.test[0].end == dt.date(2022, 12, 31)
    assert parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("changes", "resolution"),
    [
        ({}, 0.25),
        ({"n_size": [6, 4, 6]}, 1),
        ({"n_size": [6, 2, 3]}, 0.5),
        ({"n_size": [36, 4, 6]}, 0.25),  # of another neighbourhood
        ({"n_size": [6, 4, 3]}, 0.25),
        ({"n_size": [6, 2.8, 4.2]}, 0.25),  # 180 degrees are no multiple of it
    ],
)
def test_the_resolution_is_that_of_the_neighbourhood_where_it_is_said(changes, resolution, config_of):
    grid = config_of(settings(**changes)).data.grid
    assert grid.resolution == pytest.approx(resolution)
    assert grid.east == pytest.approx(360 - resolution)


def test_years_of_training_are_not_validated_on(config_of):
    s = settings(years_train=[2021], years_val=[2021])
    periods = config_of(s).data.periods
    years = [
        [period.start.year for period in getattr(periods, name)] for name in ("train", "validation", "test")
    ]
    assert years == [[2021], [2022], [2023]]


def test_older_configurations_say_some_things_otherwise(config_of):
    s = settings(years_test=[2018], level_type="pl", time_sampling=3)
    del s["years_val"]
    s["fields"][0][2] = [500, 850]
    data = config_of(s, "4nv w.b").data
    assert data.periods.validation[0].start.year == 2018
    assert (data.levels.type, data.levels.values, data.time_step) == ("pressure", (500, 850), 3)


def test_a_field_at_the_surface(config_of):
    s = settings()
    s["fields"][0][0], s["fields"][0][2] = "total_precip", [0]
    s["fields_prediction"] = [["total_precip", 1.0]]
    config = config_of(s)
    assert config.model_levels("tp") == (0,)


def test_the_bundle_says_where_it_comes_from(tmp_path):
    s = three()
    folder, target = write(tmp_path / "checkpoint", s, random_tensors(s)), tmp_path / "bundle"
    assert main(["import-weights", str(folder), str(target)]) == 0
    origin = json.loads((target / "origin.json").read_text())
    assert origin["imported"] == "abc"
    assert origin["configuration"] == s
    assert origin["sha256"] == {path.name: sha256(path) for path in folder.iterdir()}
    card = (target / "README.md").read_text()
    assert "Apache-2.0" not in card
    assert "that of those who published them" in card
    assert sorted(p.name for p in target.iterdir()) == [
        "README.md",
        "bundle.json",
        "config.yaml",
        "manifest.json",
        "model.safetensors",
        "normalisation",
        "origin.json",
    ]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "checkpoint"]


def test_published_weights_are_a_start_of_coupling(tmp_path):
    s = three()
    folder, target = write(tmp_path / "checkpoint", s, random_tensors(s)), tmp_path / "bundle"
    import_weights(str(folder), str(target))
    before = atmorep.load(target)
    values = before.config.model_dump(mode="json") | {"coupling": {"start": str(target)}}
    model, _ = assemble(parse(values))
    assert all(torch.equal(model.state_dict()[name], t) for name, t in before.model.state_dict().items())


# -- normalisation ---------------------------------------------------------------------------------


def statistics(folder, field, levels, points=None):
    """Mean and standard deviation as 'atmorep statistics' writes them."""
    dimensions = ("month", "level", *(("latitude", "longitude") if points else ()))
    random, shape = np.random.default_rng(0), (12, len(levels), *(points or ()))
    values = {name: (dimensions, random.uniform(1, 2, shape)) for name in ("mean", "std")}
    folder.mkdir(exist_ok=True)
    path = folder / f"{field}-0123456789.nc"
    xr.Dataset(values, {"level": list(levels)}).to_netcdf(path)
    return path


@pytest.fixture
def coarse(tmp_path):
    """A checkpoint of three fields at 30 degrees, one of them with a normalisation by grid point."""
    s = three(n_size=[6, 120, 180])
    return write(tmp_path / "checkpoint", s, random_tensors(s))


POINTS = (7, 12)


def test_without_normalisation_the_network_is_there_and_prediction_is_refused(coarse, tmp_path):
    target = tmp_path / "bundle"
    import_weights(str(coarse), str(target))
    loaded = atmorep.load(target)
    assert loaded.normalisation == {}
    assert loaded.model.predicted == ("u", "v", "t")
    with pytest.raises(IntegrityError, match=r"has no normalisation of u, v, t; import it again with --norm"):
        Predictor.load(loaded.config, "u", target)


def test_normalisation_is_taken_from_files_of_statistics(coarse, tmp_path):
    folder = tmp_path / "normalisation"
    for field, points in (("u", None), ("v", None), ("t", POINTS)):
        statistics(folder, field, (96, 105, 123, 137), points)
    assert main(["import-weights", str(coarse), str(tmp_path / "b"), "--normalisation", str(folder)]) == 0
    loaded = atmorep.load(tmp_path / "b")
    assert loaded.normalisation["v"].mean.shape == (12, 2, 1, 1)
    assert loaded.normalisation["t"].mean.shape == (12, 1, *POINTS)
    whole = xr.open_dataset(folder / "v-0123456789.nc")["mean"].sel(level=[137, 96]).to_numpy()
    np.testing.assert_allclose(loaded.normalisation["v"].mean[:, :, 0, 0], whole, rtol=1e-6)
    (tmp_path / "b/normalisation/t.nc").unlink()
    with pytest.raises(IntegrityError, match=r"normalisation/t\.nc is missing"):
        atmorep.load(tmp_path / "b")


def test_normalisation_that_does_not_fit(coarse, tmp_path):
    folder = tmp_path / "normalisation"
    paths = {field: statistics(folder, field, (96, 123, 137)) for field in ("u", "v")}

    def refused(message):
        with pytest.raises(IntegrityError, match=message):
            import_weights(str(coarse), str(tmp_path / "bundle"), str(folder))
        assert not (tmp_path / "bundle").exists()

    refused(r"holds 0 files t\.nc or t-\*\.nc; give a folder with one for each of the fields u, v, t")
    statistics(folder, "t", (96, 123, 137))
    refused(r"t-0123456789\.nc: holds \(1, 1\) points, the local normalisation of t is of \(7, 12\)")
    statistics(folder, "t", (96, 137), POINTS)
    refused("cannot be read as normalisation")
    statistics(folder, "t", (123,), POINTS)
    (folder / "u.nc").write_bytes(paths["u"].read_bytes())
    refused(r"holds 2 files u\.nc or u-\*\.nc")
