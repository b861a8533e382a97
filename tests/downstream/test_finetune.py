"""Fine-tuning as a stage: what it trains, what it leaves, what it goes on from."""

import json

import numpy as np
import pytest
import torch
from downscaling import LAPSE_RATE, TASK, height, truth
from safetensors.torch import load_file

import atmorep
from atmorep import bundle
from atmorep.config import parse
from atmorep.downstream.finetune import finetune, forecasting
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.errors import ConfigError, IntegrityError
from atmorep.masking import training_masks
from atmorep.paths import Paths
from atmorep.targets.store import evaluation_grid
from atmorep.timeaxis import TimeAxis

NAME = "downscaling"


def changed(config, name=NAME):
    """Names of the core's tensors that fine-tuning changed."""
    before = load_file(Paths(config).core(name) / bundle.WEIGHTS)
    after = load_file(Paths(config).finetuned(name) / bundle.WEIGHTS)
    after = {key.removeprefix("core."): tensor for key, tensor in after.items() if key[:5] != "head."}
    assert before.keys() == after.keys()
    return {key for key in before if not torch.equal(before[key], after[key])}


def test_with_a_frozen_core_the_head_alone_is_trained_and_all_is_in_the_bundle(pretrained_task):
    config = pretrained_task()
    finetune(config, NAME)
    folder = Paths(config).finetuned(NAME)
    assert changed(config) == set()
    Paths(config).static("relief", "fine").unlink()
    trained = atmorep.load(folder)
    assert (trained.task, trained.fields, trained.scale.field) == (NAME, ("2t",), "2t")
    assert not trained.model.training
    np.testing.assert_allclose(trained.statics.std(), 1, rtol=1e-3)
    assert "Predicts 2m_temperature (K) of the target `fine`" in (folder / bundle.CARD).read_text()
    origin = json.loads((folder / bundle.ORIGIN).read_text())
    assert origin["core"]["bundle"] == str(Paths(config).core(NAME))
    with pytest.raises(IntegrityError, match="is of the downstream task downscaling"):
        bundle.load(folder)
    members = DownstreamPredictor.load(config, folder).predict([100, 130])
    assert members.shape == (2, 3, 2, 8, 10)
    assert np.isfinite(members).all()


@pytest.mark.parametrize(("core", "parts"), [("decoder", {"decoder"}), ("full", {"decoder", "encoder"})])
def test_what_is_to_be_trained_changes_and_nothing_else(pretrained_task, core, parts):
    config = pretrained_task({"core": core})
    finetune(config, NAME)
    found = {name.split(".")[2] for name in changed(config)}
    assert found - {"embedding"} == parts
    assert ("embedding" in found) == (core == "full")


def test_from_scratch_there_need_not_be_a_core(prepared_task):
    config = prepared_task({"core": "scratch"})
    finetune(config, NAME)
    assert not Paths(config).core(NAME).exists()
    assert not (Paths(config).finetuned(NAME) / bundle.ORIGIN).exists()
    assert atmorep.load(Paths(config).finetuned(NAME)).task == NAME


def test_a_relation_to_the_height_is_learnt(pretrained_task):
    """The field between its points less 6.5 K a km: what is left is a small part of it."""
    settings = {"epochs": 8, "samples_per_epoch": 128, "validation_samples": 16, "batch_size": 16}
    rates = {"lr_max": 1e-2, "lr_end": 1e-4, "schedule": "cosine", "warmup_epochs": 0.5, "weight_decay": 0}
    head = {**TASK["head"], "channels": 8}
    config = pretrained_task({"training": settings | rates, "head": head})
    finetune(config, NAME)
    predictor, axis = (
        DownstreamPredictor.load(config, Paths(config).finetuned(NAME)),
        TimeAxis.of(config.data),
    )
    starts = [int(axis.index(np.datetime64(day, "h"))) for day in ("2001-02-22T06", "2001-02-23T12")]
    found = predictor.predict(starts).mean(1)
    times = [[axis.at(np.int64(s + k)) for k in range(*predictor.steps.indices(6))] for s in starts]
    expected = np.array([[truth(config, time) for time in steps] for steps in times])
    departure = LAPSE_RATE * height(evaluation_grid(config, "fine")).std()
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.15 * departure


def test_a_forecast_is_trained_on_the_last_steps_alone(pretrained_task):
    task = {"kind": "forecast", "hours": 12, "training": TASK["training"], "core": "decoder"}
    values = pretrained_task().model_dump(mode="json")
    config = parse({**values, "fields": {"2t": values["fields"]["2t"]}, "finetune": {"ahead": task}})
    finetune(config, "ahead")
    assert {name.split(".")[2] for name in changed(config, "ahead")} == {"decoder", "tail"}
    trained = atmorep.load(Paths(config).finetuned("ahead"))
    assert trained.config.masking.forecast == 1
    masks = training_masks(forecasting(config, config.finetune["ahead"]), ["2t"])["2t"]
    for seed in range(20):
        drawn = masks.draw(np.random.default_rng(seed), np.random.default_rng(seed + 100))
        assert drawn.blank[:, 2].all()  # 12 h are one token step of two
        assert not drawn.selected[:, :2].any()


def test_an_unknown_task_is_refused_by_name(prepared_task):
    with pytest.raises(ConfigError, match=r"finetune\.rain: there is no such task; use downscaling"):
        finetune(prepared_task(), "rain")
