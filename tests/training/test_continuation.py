"""A training that is killed, wherever it stands, ends as if it had not been, to the last bit."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from runs import TIMING, fit_several, forget, outcome, progress, same, spread, state_path, train
from safetensors.torch import load_file

from atmorep.training import state
from atmorep.training.pretrain import pretrain

FOUR_STEPS = {"samples_per_epoch": 16, "validation_samples": 8, "ema_decay": 0.5, "optimizer": "muon"}


@pytest.fixture
def uninterrupted(configure):
    """Configuration and outcome of a training of three epochs of four steps, which leaves nothing."""
    config = configure(network={"dropout": 0.1}, training=FOUR_STEPS)
    pretrain(config, "2t")
    found = outcome(config)
    forget(config)
    return configure(network={"dropout": 0.1}, training={**FOUR_STEPS, "checkpoint_steps": 3}), found


@pytest.mark.parametrize(
    ("function", "call", "kept"),
    [
        ("task:learning_rate", 2, None),
        ("task:learning_rate", 8, 6),
        ("task:TrainingTask.validation_step", 4, 6),
        ("task:TrainingTask.on_validation_epoch_end+", 2, 6),
        ("callbacks:write_log", 2, 6),
        ("callbacks:Keeper.on_train_epoch_end", 2, 6),
        ("state:save_file+", 3, 4),
    ],
    ids=["first-step", "mid-epoch", "mid-validation", "validated", "best-kept", "logged", "mid-writing"],
)
def test_after_a_kill_it_goes_on_bit_for_bit(uninterrupted, function, call, kept):
    config, expected = uninterrupted
    assert train(config, death=(function, call)) == [-signal.SIGKILL]
    assert state_path(config).exists() == (kept is not None)
    if kept:
        assert progress(config)["step"] == kept
    pretrain(config, "2t")
    assert same(outcome(config), expected)
    left = {path.name for path in state_path(config).parent.iterdir()}
    weights = ("state.safetensors", progress(config)["best"])
    assert left == {"training.csv", *weights, *(f"{name}.manifest.json" for name in weights)}


def test_asked_to_stop_it_saves_where_it_is_and_says_so(uninterrupted):
    config, expected = uninterrupted
    Path("config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    command = [sys.executable, "-m", "atmorep", "pretrain", "--config", "config.yaml", "--field", "2t"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=120)[1]
    assert process.returncode == 128 + signal.SIGTERM
    step = progress(config)["step"]
    assert 4 <= step < 12
    assert f"stopped at step {step}" in errors
    pretrain(config, "2t")
    assert same(outcome(config), expected)


def test_a_state_is_due_by_steps_by_minutes_and_at_the_end_of_epochs(configure, monkeypatch):
    def saved(**settings):
        config = configure(training={"samples_per_epoch": 16, "epochs": 2, **settings})
        steps = []
        with monkeypatch.context() as patch:
            patch.setattr(
                state, "save", lambda path, parts, optimizers, found, keys: steps.append(found.step)
            )
            pretrain(config, "2t")
        return steps

    assert saved(checkpoint_minutes=None) == [4, 8]
    assert saved(checkpoint_minutes=60) == [4, 8]
    assert saved(checkpoint_minutes=1e-9) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert saved(checkpoint_steps=3) == [3, 4, 6, 8]


def test_a_log_that_was_lost_is_written_again(configure):
    config = configure()
    pretrain(config, "2t")
    expected = outcome(config)
    (state_path(config).parent / "training.csv").unlink()
    pretrain(config, "2t")
    assert same(outcome(config), expected)


def test_a_model_of_several_fields_goes_on_bit_for_bit_and_logs_each_that_it_predicts(configure, tmp_path):
    """One of them only informs the others: of its last block there is no moment to keep."""
    fields = {"t": {"coupled": ["2t"], "weight": 3}, "2t": {"coupled": ["tp"]}, "tp": {"predicted": False}}
    settings = {**FOUR_STEPS, "epochs": 2, "checkpoint_steps": 3}
    config = configure(network={"dropout": 0.1}, fields=fields, training=settings)
    names = ("t", "2t", "tp")
    whole = fit_several(config, tmp_path / "whole", *names)
    death = ("task:learning_rate", 8)
    assert spread(fit_several, config, tmp_path / "killed", *names, death=death) == [-signal.SIGKILL]
    killed = fit_several(config, tmp_path / "killed", *names)
    a, b = (load_file(trained.weights.parent / "state.safetensors") for trained in (whole, killed))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    log, again = (pd.read_csv(trained.log).drop(columns=TIMING) for trained in (whole, killed))
    pd.testing.assert_frame_equal(log, again, check_exact=True)
    for name in ("train_loss", "val_loss"):
        np.testing.assert_allclose(log[name], (3 * log[f"{name}_t"] + log[f"{name}_2t"]) / 4, rtol=1e-9)
    squares = (3 * log.val_rmse_t**2 + log.val_rmse_2t**2) / 4
    np.testing.assert_allclose(log.val_rmse**2, squares, rtol=1e-9)
    assert not [name for name in log.columns if name.endswith("_tp")]
