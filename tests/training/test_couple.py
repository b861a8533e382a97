"""Coupling as a stage: from bundles of single fields to one of all, which is scored and loads anywhere."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import atmorep
from atmorep import manifest
from atmorep.config import parse
from atmorep.errors import ConfigError, IntegrityError
from atmorep.evaluation.stage import evaluate
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.training.couple import assemble, couple
from atmorep.training.pretrain import pretrain

FIELDS = {"t": {"coupled": ["2t", "tp"]}, "2t": {"coupled": ["t"], "weight": 2}, "tp": {}}
QUICK = {"epochs": 1, "samples_per_epoch": 8, "validation_samples": 4, "batch_size": 4, "warmup_epochs": 0}


@pytest.fixture
def pretrained(configure):
    """A configuration of coupled fields that have been trained alone."""
    config = configure(fields=FIELDS, training=QUICK, coupling={"training": {**QUICK, "epochs": 2}})
    for name in config.fields:
        pretrain(config, name)
    return config


def predicted(config, field, folder):
    predictor = Predictor.load(config, field, folder)
    hidden = {}
    for number, (name, reader) in enumerate(predictor.neighbourhoods.items()):
        hidden[name] = np.random.default_rng(number).random((1, *reader.tokens)) < 0.5
    return predictor.predict([Window(150, 4, 31)], hidden)


def test_before_training_the_coupled_fields_predict_what_they_predicted_alone(pretrained):
    model, origin = assemble(pretrained)
    assert all(".cross." in key for key in origin["fresh"])
    assert len(origin["loaded"]) + len(origin["fresh"]) == len(model.state_dict())
    for name in pretrained.fields:
        alone = Paths(pretrained).model(name)
        assert origin["bundles"][name]["bundle"] == str(alone)
        for key, tensor in atmorep.load(alone).model.state_dict().items():
            assert torch.equal(model.state_dict()[key], tensor)


def test_coupling_leaves_a_bundle_of_all_fields_that_is_scored_against_each_alone(pretrained, capsys):
    couple(pretrained)
    folder = Paths(pretrained).multiformer
    bundle = atmorep.load(folder)
    assert bundle.fields == tuple(FIELDS)
    assert set(json.loads((folder / "origin.json").read_text())["bundles"]) == set(FIELDS)
    assert "attends to 2t, tp" in (folder / "README.md").read_text()
    log = pd.read_csv(folder / "training.csv")
    weights = {"t": 1, "2t": 2, "tp": 1}
    expected = sum(w * log[f"val_loss_{name}"] for name, w in weights.items()) / 4
    np.testing.assert_allclose(log["val_loss"], expected, rtol=1e-6)
    moved = [key for key, x in bundle.model.state_dict().items() if ".cross.2t.out" in key and x.any()]
    assert moved  # the coupling has been trained
    evaluate(pretrained, "multiformer")
    metrics = pd.read_csv(Paths(pretrained).evaluation("2t") / "metrics.csv")
    assert {"atmorep", "single", "persistence", "climatology"} <= set(metrics.model)
    assert "rmse_minus_single" in set(metrics.metric)
    alone = metrics[(metrics.model == "single") & (metrics.metric == "spread")]
    assert (alone.value > 0).all()


def test_a_field_is_added_to_a_trained_multiformer_and_the_others_predict_as_before(pretrained):
    values = pretrained.model_dump(mode="json")
    two = {name: {**values["fields"][name], "coupled": [other]} for name, other in (("t", "2t"), ("2t", "t"))}
    before = parse({**values, "fields": two})
    couple(before)
    start = Paths(before).multiformer
    after = parse({**values, "coupling": {**values["coupling"], "start": str(start)}})
    paths = Paths(after)
    assert [paths.origin(name) for name in after.fields] == [start, start, paths.model("tp")]
    assert paths.models("t") == [paths.multiformer]  # it was not pretrained in this experiment
    assert paths.models("tp") == [paths.multiformer, paths.model("tp")]
    model, origin = assemble(after)
    assert {key.split(".")[6] for key in origin["fresh"]} == {"tp"}
    old = Predictor.load(before, "2t", start)
    readers = {name: Predictor.load(after, name, paths.model(name)).neighbourhoods[name] for name in ["tp"]}
    new = Predictor(model.eval(), {**old.neighbourhoods, **readers}, "2t", old.tails)
    hidden = {name: np.zeros((1, *reader.tokens), bool) for name, reader in new.neighbourhoods.items()}
    window = [Window(150, 4, 31)]
    found, expected = new.predict(window, hidden), old.predict(window, {f: hidden[f] for f in old.fields})
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_fields_that_nobody_couples_cannot_be_trained_together(configure):
    with pytest.raises(ConfigError, match=r"no field is coupled: name others in fields\.<name>\.coupled"):
        couple(configure())


def test_a_start_of_another_network_is_refused(configure, pretrained):
    couple(pretrained)
    start = Paths(pretrained).multiformer
    other = configure(
        fields=FIELDS, training=QUICK, coupling={"start": str(start)}, network={"first_guess": "temporal"}
    )
    with pytest.raises(ConfigError, match=r"was trained with network\.first_guess = 'none'"):
        assemble(other)


def test_a_missing_or_damaged_bundle_is_named(pretrained):
    folder = Paths(pretrained).model("2t")
    (folder / "model.safetensors").write_bytes(b"short")
    with pytest.raises(IntegrityError, match=rf"{folder.name}/model\.safetensors: is damaged"):
        couple(pretrained)
    shutil.rmtree(folder)
    with pytest.raises(IntegrityError, match=rf"{folder.name}: {manifest.MANIFEST} is missing"):
        couple(pretrained)
    assert not Paths(pretrained).multiformer.exists()


@pytest.mark.parametrize(
    ("coupled", "message"),
    [
        (["q"], r"fields\.t\.coupled: q is not declared; name others of the fields \['t', '2t', 'tp'\]"),
        (["t"], r"fields\.t\.coupled: t is the field itself"),
    ],
)
def test_a_coupling_to_what_is_not_there_is_refused(configure, coupled, message):
    with pytest.raises(ConfigError, match=message):
        configure(fields={**FIELDS, "t": {"coupled": coupled}})
