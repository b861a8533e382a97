"""Trackers get the log; none of them can stop a training."""

import importlib
import socket
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import fit_several, outcome, same

from atmorep.training import trackers
from atmorep.training.callbacks import Keeper
from atmorep.training.pretrain import pretrain

LOSSES = ["train_loss", "val_loss", "val_rmse"]


def fitted(configure, folder, *names, **training):
    """Train two coupled fields with these trackers; returns their log."""
    config = configure(fields={"t": {"coupled": ["2t"]}}, training={"trackers": list(names), **training})
    return pd.read_csv(fit_several(config, folder, "t", "2t").log)


class Failing:
    """A tracker that is reached and raises where it is told to."""

    def __init__(self, at):
        self.at, self.called = at, []

    def _call(self, name):
        self.called.append(name)
        if name == self.at:
            raise OSError("no route\nto host")

    def log_hyperparams(self, keys):
        self._call("open")

    def log_metrics(self, row, step):
        self._call(f"log {step}")

    def finalize(self, status):
        self._call(status)


@pytest.mark.parametrize(
    ("at", "called"),
    [
        ("open", ["open"]),
        ("log 4", ["open", "log 2", "log 4"]),
        ("success", ["open", "log 2", "log 4", "log 6", "success"]),
    ],
)
def test_one_that_fails_is_left_out_with_one_warning_and_the_others_go_on(
    configure, monkeypatch, capsys, at, called
):
    failing, whole = Failing(at), Failing(None)
    monkeypatch.setitem(trackers.OPENERS, "mlflow", lambda run: failing)
    monkeypatch.setitem(trackers.OPENERS, "wandb", lambda run: whole)
    config = configure(training={"trackers": ["mlflow", "wandb"]})
    pretrain(config, "2t")
    assert failing.called == called
    assert whole.called == ["open", "log 2", "log 4", "log 6", "success"]
    assert capsys.readouterr().err.splitlines() == [
        "training.trackers: mlflow is left out from here on (OSError: no route to host)"
    ]
    found = outcome(config)
    pretrain(config, "2t")
    assert same(outcome(config), found)


def test_they_are_told_when_a_training_does_not_end(configure, monkeypatch):
    whole = Failing(None)
    monkeypatch.setitem(trackers.OPENERS, "wandb", lambda run: whole)
    monkeypatch.setattr("atmorep.training.callbacks.EpochLog._print", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pretrain(configure(training={"trackers": ["wandb"]}), "2t")
    assert whole.called == ["open", "failed"]


def test_one_that_is_not_installed_is_left_out_with_the_remedy(configure, monkeypatch, capsys):
    monkeypatch.setitem(trackers.OPENERS, "wandb", lambda run: importlib.import_module("not_installed"))
    pretrain(configure(training={"trackers": ["wandb"], "epochs": 1}), "2t")
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("training.trackers: wandb is left out from here on (ModuleNotFoundError: ")
    assert warning.endswith("; pip install 'atmorep[trackers]'")


def test_tensorboard_has_the_losses_of_every_field(configure, tmp_path):
    loading = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = fitted(configure, tmp_path / "state", "tensorboard")
    events = loading.EventAccumulator(str(tmp_path / "state/tensorboard"))
    events.Reload()
    for name in [*LOSSES, *(f"{loss}_{field}" for loss in LOSSES for field in ("t", "2t"))]:
        steps = events.Scalars(name)
        assert [event.step for event in steps] == log.step.tolist()
        np.testing.assert_allclose([event.value for event in steps], log[name], rtol=1e-6)


def test_an_mlflow_server_that_is_not_there_is_left_out(configure, tmp_path, monkeypatch, capsys):
    pytest.importorskip("mlflow")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://localhost:{free.getsockname()[1]}")
    log = fitted(configure, tmp_path / "state", "mlflow")
    assert len(log) == 3
    (warning,) = capsys.readouterr().err.splitlines()
    assert warning.startswith("training.trackers: mlflow is left out from here on (MlflowException: ")


def test_mlflow_goes_on_in_its_run(configure, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "runs").as_uri())
    with monkeypatch.context() as patch:
        patch.setattr(Keeper, "_due", lambda keeper, _: keeper.progress.step == 4 and 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fitted(configure, tmp_path / "state", "mlflow", samples_per_epoch=12)
    log = fitted(configure, tmp_path / "state", "mlflow", samples_per_epoch=12)
    client = mlflow.tracking.MlflowClient()
    (experiment,) = (e for e in client.search_experiments() if e.name == "small")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["training.samples_per_epoch"] == "12"
    for name in ("train_loss", "val_loss_t", "val_rmse_2t"):
        history = client.get_metric_history(run.info.run_id, name)
        assert {(m.step, m.value) for m in history} == set(zip(log.step, log[name], strict=True))


def test_wandb_offline_stays_in_the_folder(configure, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    fitted(configure, tmp_path / "state", "wandb")
    (run,) = Path(tmp_path / "state/wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
