"""Two processes train as one does, each on its share of the same samples."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch
import yaml
from safetensors.torch import load_file

from atmorep.paths import Paths
from atmorep.training.pretrain import pretrain


def test_two_ranks_train_as_one(configure):
    """The number of hidden tokens is fixed, so that the mean of the ranks' means is that of all."""
    config = configure(
        network={"dropout": 0},
        masking={"ratio_min": 0.5, "ratio_max": 0.5},
        training={"ema_decay": 0.5, "samples_per_epoch": 16},
        loss={"statistical": 0},
    )
    Path("config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    settings = {"PL_TRAINER_DEVICES": "2", "PL_TRAINER_STRATEGY": "ddp", "PL_TRAINER_ACCELERATOR": "cpu"}
    arguments = ["pretrain", "--config", "config.yaml", "--field", "2t"]
    done = subprocess.run(
        [sys.executable, "-m", "atmorep", *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    bundle = Paths(config).model("2t")
    shared = load_file(bundle / "model.safetensors"), pd.read_csv(bundle / "training.csv")
    for folder in (bundle, Paths(config).training_state(bundle)):
        folder.rename(folder.with_name("of-two-ranks"))
    pretrain(config, "2t")
    alone = load_file(bundle / "model.safetensors"), pd.read_csv(bundle / "training.csv")
    # gradients of two halves are added in another order: float32, over 12 steps of Adam; a bias of all
    # keys cancels in the softmax, so that its gradient is rounding and Adam makes steps of it
    for name in (name for name in alone[0] if not name.endswith("k_norm.bias")):
        torch.testing.assert_close(shared[0][name], alone[0][name], atol=1e-5, rtol=0, msg=name)
    for column in ("epoch", "step", "samples", "train_loss", "val_loss", "val_rmse", "lr"):
        pd.testing.assert_series_equal(shared[1][column], alone[1][column], rtol=1e-4)
