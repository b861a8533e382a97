"""Pretraining: what it leaves and what it refuses."""

import shutil

import numpy as np
import pandas as pd
import pytest

from atmorep.errors import DataError
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.training.data import neighbourhoods, window_sampler
from atmorep.training.loaders import training_loader
from atmorep.training.pretrain import pretrain
from atmorep.training.problem import MaskedTokens

COLUMNS = [
    *("epoch", "step", "samples", "train_loss", "val_loss", "val_rmse"),
    *("lr", "seconds", "samples_per_second"),
]


def test_it_leaves_a_bundle_that_predicts_and_a_log_of_all_epochs(configure, capsys):
    config = configure()
    pretrain(config, "2t")
    log = pd.read_csv(Paths(config).model("2t") / "training.csv")
    assert list(log.columns) == COLUMNS
    assert log.epoch.tolist() == [1, 2, 3]
    assert log.step.tolist() == [2, 4, 6]
    assert log.samples.tolist() == [8, 16, 24]
    assert (log.drop(columns="epoch") > 0).all(axis=None)
    assert log.lr[0] == pytest.approx(config.training.lr_max)  # after one epoch of warm-up
    predictor = Predictor.load(config, "2t", Paths(config).model("2t"))
    hidden = np.zeros((1, *predictor.neighbourhoods["2t"].tokens), bool)
    assert np.isfinite(predictor.predict([Window(190, 0, 0)], {"2t": hidden})).all()
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        f"2t: epoch {n}/3" for n in (1, 2, 3)
    ]


def test_the_bundle_holds_the_weights_of_least_validation_loss(configure):
    diverging = {"lr_max": 10, "lr_end": 10, "weight_decay": 0}  # weights only grow, and the loss with them
    config = configure(training={"epochs": 5, **diverging})
    pretrain(config, "2t")
    best = pd.read_csv(Paths(config).model("2t") / "training.csv").val_loss.idxmin()
    assert best < 4
    kept = Paths(config).model("2t") / "model.safetensors"
    shorter = configure(training={"epochs": int(best) + 1, **diverging})
    pretrain(shorter, "2t")
    assert (Paths(shorter).model("2t") / "model.safetensors").read_bytes() == kept.read_bytes()


def test_a_lost_bundle_is_restored_without_training(configure, capsys):
    config = configure()
    pretrain(config, "2t")
    bundle = Paths(config).model("2t")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    shutil.rmtree(bundle)
    capsys.readouterr()
    pretrain(config, "2t")
    assert {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()} == before
    assert capsys.readouterr().out == ""


def test_a_period_without_a_whole_window_is_refused(configure):
    days = {"start": "2001-02-03", "end": "2001-02-07"}  # 20 steps, the eleventh is missing
    config = configure(network={"neighbourhood": {"time": 12}})
    gap = configure(network={"neighbourhood": {"time": 12}}, data={"periods": {"train": [days]}})
    with pytest.raises(DataError, match=r"field t: .* no 12 consecutive steps in data\.periods\.train"):
        window_sampler(gap, {"t": neighbourhoods(config, "t")}, "train")


def test_a_batch_that_ranks_cannot_share_is_refused(configure):
    with pytest.raises(
        DataError, match=r"batch_size = 4 must be a multiple of 3, 3 ranks times training\.acc"
    ):
        training_loader(MaskedTokens(configure(), ("2t",)), rank=0, ranks=3)
    with pytest.raises(
        DataError, match=r"batch_size = 4 must be a multiple of 8, 2 ranks times training\.acc"
    ):
        training_loader(MaskedTokens(configure(training={"accumulate": 4}), ("2t",)), rank=0, ranks=2)
