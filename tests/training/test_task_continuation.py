"""A downstream task that is killed goes on bit for bit, and ranks share it: it trains by the same engine."""

import signal

import pandas as pd
import pytest
import torch
from runs import TIMING, spread
from safetensors.torch import load_file

from atmorep.downstream.finetune import finetune
from atmorep.paths import Paths
from atmorep.training import state

SETTINGS = {
    "epochs": 2,
    "samples_per_epoch": 16,
    "validation_samples": 8,
    "batch_size": 4,
    "ema_decay": 0.5,
    "optimizer": "muon",
    "checkpoint_steps": 3,
    "warmup_epochs": 0,
}


def outcome(config):
    paths = Paths(config)
    folder = paths.training_state(paths.finetuned("downscaling"))
    log = pd.read_csv(folder / "training.csv").drop(columns=TIMING)
    return load_file(folder / state.STATE), log, folder


@pytest.mark.parametrize("core", ["frozen", "full"])
def test_after_a_kill_it_goes_on_bit_for_bit(pretrained_task, core):
    config = pretrained_task({"core": core, "training": SETTINGS}, network={"dropout": 0.1})
    finetune(config, "downscaling")
    tensors, log, folder = outcome(config)
    for path in folder.iterdir():
        path.unlink()
    death = ("task:learning_rate", 6)
    assert spread(finetune, config, "downscaling", death=death) == [-signal.SIGKILL]
    assert (folder / state.STATE).exists()
    finetune(config, "downscaling")
    again, log_again, _ = outcome(config)
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    pd.testing.assert_frame_equal(log, log_again, check_exact=True)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_train_as_one_though_their_cells_differ(pretrained_task, strategy):
    def trained(ranks, **settings):
        hole = (slice(0, 3), slice(0, 9))
        training = {**SETTINGS, "optimizer": "adamw", **settings}
        config = pretrained_task({"core": "decoder", "training": training}, network={"dropout": 0}, hole=hole)
        assert spread(finetune, config, "downscaling", ranks=ranks) == [0] * ranks
        return outcome(config)

    alone, log, folder = trained(1)
    for path in folder.iterdir():
        path.unlink()
    shared, shared_log, _ = trained(2, accumulate=2, strategy=strategy)
    for name in (name for name in alone if "k_norm.bias" not in name):
        torch.testing.assert_close(shared[name], alone[name], atol=2e-4, rtol=1e-3, msg=name)
    pd.testing.assert_frame_equal(log, shared_log, rtol=1e-4)
