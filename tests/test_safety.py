"""What others wrote is data: nothing of it is run, whether it is a file or a value of the configuration."""

import ast
import pickle
import re
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import xarray as xr
import yaml
import zarr

from atmorep import bundle, manifest
from atmorep.artefacts import read_json, write_json
from atmorep.config import load, parse
from atmorep.errors import ConfigError, IntegrityError
from atmorep.sources.simulated import model as simulation
from atmorep.training import state

UNPICKLE = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
"""Modules that make objects of any kind from bytes."""

SAFE = {"torch.load": "weights_only=True", "np.load": "allow_pickle=False", "np.savez": "allow_pickle=False"}
"""Functions that unpickle unless they are told not to."""

FORBIDDEN = {"eval", "exec", "yaml.load", "os.system", "os.popen", "torch.jit.load", "pd.read_pickle"}
"""Functions that run what they are given."""

HOSTILE = "$(touch pwned)", "`touch pwned`", "x; touch pwned #", "x' && touch pwned '", "a b", "../x", "x\ny"
"""Names that a shell or a file system would do something with."""


def sources(repository):
    """All Python of the project but its tests, by path."""
    for folder in ("atmorep", "tools", "benchmarks"):
        for path in (repository / folder).rglob("*.py"):
            yield path, ast.parse(path.read_text())


def test_nothing_is_unpickled_or_evaluated(repository):
    found = []
    for path, tree in sources(repository):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [f"{path}: {a.name}" for a in node.names if a.name.split(".")[0] in UNPICKLE]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNPICKLE:
                found.append(f"{path}: {node.module}")
            elif isinstance(node, ast.Call):
                name, told = ast.unparse(node.func), {ast.unparse(word) for word in node.keywords}
                if name in FORBIDDEN or "shell=True" in told or SAFE.get(name, "") not in {"", *told}:
                    found.append(f"{path}:{node.lineno}: {name}")
    assert found == []


class Harmful:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return (exec, ("import pathlib; pathlib.Path('pwned').touch()",))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory, in which nothing may be left by what is read."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Harmful()))  # noqa: S301  (it would harm)
    assert Path("pwned").exists()
    Path("pwned").unlink()
    yield tmp_path
    assert not list(tmp_path.rglob("pwned"))


def test_a_bundle_with_pickled_weights_is_refused(here, repository):
    """Its checksums are right: whoever crafts a bundle can compute them."""
    weights, config = here / "b/model.safetensors", here / "b/config.yaml"
    weights.parent.mkdir()
    weights.write_bytes(pickle.dumps(Harmful()))
    config.write_text((repository / "config/demo.yaml").read_text())
    manifest.write(here / "b", ["u"], [weights.name, config.name])
    with pytest.raises(IntegrityError):
        bundle.load(here / "b")


def test_a_configuration_that_makes_an_object_is_refused(here):
    path = here / "mine.yaml"
    path.write_text("experiment: !!python/object/apply:os.system ['touch pwned']\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load(path)


def test_a_pickled_state_of_a_training_is_refused(here):
    path = here / state.STATE
    path.write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(IntegrityError, match="cannot be read as the state of a training"):
        state.read_progress(path, {})


def test_a_pickled_state_of_the_simulation_is_refused(here):
    np.savez(here / "state.npz", time=np.array([Harmful()], object))
    with pytest.raises(IntegrityError, match="is not a state of the simulated atmosphere"):
        simulation.load(here / "state.npz")


def test_a_zarr_store_of_pickled_values_is_not_unpickled(here):
    group = zarr.open_group(here / "store.zarr", mode="w", zarr_format=2)
    array = group.create_array("2t", shape=(1,), dtype="float32", chunks=(1,), filters=None, compressors=None)
    array.attrs["_ARRAY_DIMENSIONS"] = ["time"]
    metadata = read_json(here / "store.zarr/2t/.zarray")
    pickled = {"dtype": "|O", "filters": [numcodecs.pickles.Pickle().get_config()], "fill_value": 0}
    write_json(here / "store.zarr/2t/.zarray", metadata | pickled)
    (here / "store.zarr/2t/0").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(Exception, match=r"(?i)pickle|object|dtype"), xr.open_zarr("store.zarr") as store:
        store["2t"].load()


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("place", ["experiment", "fields", "targets", "statics", "finetune"])
def test_names_that_are_more_than_names_are_refused(repository, place, name):
    values = yaml.safe_load((repository / "config/demo.yaml").read_text())
    if place == "experiment":
        values[place] = name
    else:
        values[place] = {name: next(iter(values.get(place, {}).values()), {})}
    with pytest.raises(ConfigError, match=place):
        parse(values)


def test_rules_quote_what_they_put_into_a_command(repository):
    numbers = {"threads", "params.launch"}  # the latter is made from numbers too
    for path in (repository / "workflow/rules").glob("*.smk"):
        text = path.read_text()
        commands = re.findall(r'shell:\n((?:\s+".*"\n)+)', text)
        assert len(commands) == text.count("shell:"), f"{path.name}: a command of another form"
        assert not re.search(r"^\s+(run|script|notebook):", text, re.MULTILINE)
        for value in re.findall(r"\{([^{}]+)\}", "".join(commands)):
            assert value in numbers or value.endswith(":q"), f"{path.name}: {{{value}}} is not quoted"
