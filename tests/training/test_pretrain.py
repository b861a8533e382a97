"""Pretraining: what it leaves, exact continuation, and what it refuses."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from atmorep.cli import main
from atmorep.config import Period
from atmorep.errors import DataError
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.training.callbacks import EpochLog
from atmorep.training.data import neighbourhoods, training_loader, window_sampler
from atmorep.training.pretrain import pretrain

COLUMNS = [
    *("epoch", "step", "samples", "train_loss", "val_loss", "val_rmse"),
    *("lr", "seconds", "samples_per_second"),
]
TIMING = ["seconds", "samples_per_second"]
TWELVE_EPOCHS = {"epochs": 12, "ema_decay": 0.5}


def outcome(config, field="2t"):
    """Weights and log of a bundle, without what the clock says."""
    folder = Paths(config).model(field)
    log = pd.read_csv(folder / "training.csv", dtype=str).drop(columns=TIMING)
    return (folder / "model.safetensors").read_bytes(), log.to_csv()


@pytest.fixture
def uninterrupted(configure, request):
    """Configuration and outcome of a training without interruption, which leaves nothing."""
    optimizer = getattr(request, "param", "adamw")
    config = configure(network={"dropout": 0.1}, training={**TWELVE_EPOCHS, "optimizer": optimizer})
    pretrain(config, "2t")
    found = outcome(config)
    forget(config)
    return config, found


def forget(config):
    for folder in (Paths(config).training_state(Paths(config).model("2t")), Paths(config).model("2t")):
        shutil.rmtree(folder)


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


def test_the_complete_state_is_read_without_unpickling(configure):
    config = configure()
    pretrain(config, "2t")
    state = torch.load(
        Paths(config).training_state(Paths(config).model("2t")) / "state.ckpt", weights_only=True
    )
    assert {"state_dict", "optimizer_states", "lr_schedulers", "loops", "callbacks", "epoch"} <= set(state)
    assert state["epoch"] == 2
    assert state["global_step"] == 6


def command(config):
    """Command line that pretrains; the configuration lies in the working directory."""
    values = yaml.safe_dump(config.model_dump(mode="json"))
    Path("config.yaml").write_text(values)
    return [sys.executable, "-m", "atmorep", "pretrain", "--config", "config.yaml", "--field", "2t"]


def test_after_a_kill_it_goes_on_bit_for_bit(uninterrupted):
    config, expected = uninterrupted
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command(config), stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if "epoch 2/12" in line:
                process.kill()
                break
    assert process.returncode == -signal.SIGKILL
    state, bundle = Paths(config).training_state(Paths(config).model("2t")), Paths(config).model("2t")
    assert 1 <= torch.load(state / "state.ckpt", weights_only=True)["epoch"] + 1 < 12
    assert not bundle.exists()
    pretrain(config, "2t")
    assert outcome(config) == expected
    assert {p.name for p in bundle.parent.iterdir()} == {"training", bundle.name}


@pytest.mark.parametrize("uninterrupted", ["adamw", "muon"], indirect=True)
@pytest.mark.parametrize("epoch", [1, 9])
def test_it_goes_on_where_the_log_was_written_and_the_state_was_not(uninterrupted, monkeypatch, epoch):
    config, expected = uninterrupted
    printing = EpochLog._print

    def stop(log, row, epochs):
        if row["epoch"] == epoch:
            raise RuntimeError("power failure")
        printing(log, row, epochs)

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "_print", stop)
        with pytest.raises(RuntimeError, match="power failure"):
            pretrain(config, "2t")
    assert not Paths(config).model("2t").exists()
    pretrain(config, "2t")
    assert outcome(config) == expected


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


def test_a_loss_that_is_not_finite_stops_with_the_remedy(configure, capsys):
    config = configure(training={"lr_max": 1e38, "lr_start": 1e-4, "warmup_epochs": 1})
    with pytest.raises(DataError, match=r"2t: the loss is not finite in epoch [12]; lower training\.lr_max"):
        pretrain(config, "2t")
    assert not Paths(config).model("2t").exists()
    Path("config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["pretrain", "--config", "config.yaml", "--field", "2t"]) == 2
    assert "atmorep pretrain: 2t: the loss is not finite" in capsys.readouterr().err


def test_a_period_without_a_whole_window_is_refused(configure):
    config = configure(network={"neighbourhood": {"time": 12}})
    days = Period(start="2001-02-03", end="2001-02-07")  # 20 steps, the eleventh is missing
    with pytest.raises(DataError, match=r"field t: .* no 12 consecutive steps in data\.periods\.train"):
        window_sampler(config, {"t": neighbourhoods(config, "t")}, (days,), "train")


def test_a_batch_that_ranks_cannot_share_is_refused(configure):
    with pytest.raises(DataError, match="batch_size = 4 must be a multiple of the 3 ranks"):
        training_loader(configure(), ("2t",), rank=0, ranks=3)
