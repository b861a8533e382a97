"""The stages behind fine-tuning on a real bundle, as the command line calls them."""

import numpy as np
import pandas as pd
import torch
import xarray as xr
import yaml

from atmorep.artefacts import read_json
from atmorep.cli import main
from atmorep.downstream.finetune import finetune
from atmorep.downstream.problem import TargetCells
from atmorep.downstream.unet import operations
from atmorep.paths import Paths

NAME = "downscaling"


def test_the_command_line_scores_a_bundle(pretrained_task, tmp_path, capsys):
    config = pretrained_task(
        {"baselines": ["bilinear", "lapse_rate", "unet"], "scores": {"thresholds": [270.0]}}
    )
    finetune(config, NAME)
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    for stage in ("baselines", "evaluate-task"):
        assert main([stage, "--config", str(path), "--task", NAME]) == 0
    assert "downscaling lapse_rate" in capsys.readouterr().out
    folder = Paths(config).task_evaluation(NAME)
    metrics = pd.read_csv(folder / "metrics.csv")
    assert set(metrics.model) == {"atmorep", "bilinear", "lapse_rate", "unet", "target"}
    rmse = metrics[metrics.metric == "rmse"].set_index("model").value
    assert rmse["lapse_rate"] < 0.2 * rmse["bilinear"]  # the target is made by a lapse rate
    assert ((metrics.model == "unet") & (metrics.metric == "spread")).any()
    budget = read_json(Paths(config).baseline(NAME) / "fitted.json")["unet"]
    settings = config.finetune[NAME].training
    spent = budget["samples"] * budget["operations_per_sample"]
    allowed = settings.samples_per_epoch * settings.epochs * budget["operations_per_sample_of_task"]
    batch = settings.batch_size * settings.epochs * budget["operations_per_sample"]
    assert abs(spent - allowed) <= 0.51 * batch or spent == batch  # whole batches, one at least
    with xr.open_zarr(folder / "predictions.zarr") as predictions:
        assert predictions["2t"].dims == ("init_time", "lead_time", "number", "latitude", "longitude")
        assert np.isfinite(predictions["2t"]).all()


def test_a_missing_bundle_is_named(prepared_task, tmp_path, capsys):
    config = prepared_task({"baselines": ["bilinear"]})
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["evaluate-task", "--config", str(path), "--task", NAME]) == 2
    assert str(Paths(config).finetuned(NAME)) in capsys.readouterr().err


def test_operations_are_those_of_convolutions(prepared_task):
    """A first convolution of 3 x 3: two operations a weight and cell, forward and for its own gradient."""
    config = prepared_task({})
    problem = TargetCells(config, NAME)
    batch = problem.open("train", 0, 1)[0]
    with torch.device("meta"):
        first = Convolution(batch[NAME].cells.guess.shape[1])
    cells = batch[NAME].guess[:, 0].numel()
    steps = batch[NAME].guess.shape[1]
    assert operations(first, problem, batch) == 2 * (2 * 9 * steps * 5 * cells)


class Convolution(torch.nn.Module):
    """One convolution of the guess at all steps to five features."""

    def __init__(self, steps):
        super().__init__()
        self.layer = torch.nn.Conv2d(steps, 5, 3, padding=1)

    def forward(self, inputs, cells):
        return self.layer(cells.guess)
