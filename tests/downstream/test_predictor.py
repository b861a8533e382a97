"""Prediction of a whole region from many neighbourhoods."""

import numpy as np
import pytest
import torch
from downscaling import TARGET, TASK
from pipeline import weather

from atmorep.downstream.batches import PatchReader, Scale
from atmorep.downstream.between import Between
from atmorep.downstream.model import build
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.grids import Grid
from atmorep.targets.store import evaluation_grid
from atmorep.timeaxis import TimeAxis
from atmorep.training.data import neighbourhoods


@pytest.fixture
def predictor(configure):
    """Of the whole globe, before any training, whose departures are zero."""
    config = configure(
        targets={"fine": TARGET | {"region": None}}, finetune={"downscaling": TASK | {"statics": []}}
    )
    model, scale = build(config, "downscaling").eval(), Scale("2t", 280.0, 12.0)
    with torch.no_grad():
        model.head.weights.weight.zero_()
        model.head.weights.bias.zero_()
    readers = {"2t": neighbourhoods(config, "2t")}
    statics = np.zeros((0, *evaluation_grid(config, "fine").shape), np.float32)
    reader = PatchReader(config, "downscaling", readers, scale, statics, None)
    return DownstreamPredictor("downscaling", model, scale, reader)


def test_without_departures_it_is_the_guess_between_the_points_everywhere(predictor, configure):
    """Poles and the meridian where longitudes begin again included: 5 x 6 patches make the globe."""
    start = 120
    members = predictor.predict([start, start + 7])
    assert members.shape == (2, 3, 2, 38, 72)
    config = configure()
    grid, axis = Grid.from_config(config.data.grid), TimeAxis.of(config.data)
    between = Between.of(config, configure(targets={"fine": TARGET | {"region": None}}).targets["fine"])
    columns = np.arange(between.columns.read.start, between.columns.read.stop) % 36
    for sample, first in enumerate((start, start + 7)):
        for step in range(2):
            time = axis.at(np.int64(first + predictor.steps.start + step))
            expected = between(weather("2t", 0, time, grid).astype(np.float32)[:, columns])
            found = members[sample, :, step]
            np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), atol=0.02)


def test_a_patch_is_the_same_alone_and_among_others(predictor):
    torch.manual_seed(3)
    torch.nn.init.normal_(predictor.model.head.weights.weight, std=0.1)
    whole = predictor.predict([120])[0]
    patch, rows, columns = list(predictor.reader.patches.tiles(120))[7]
    alone = predictor.patches([patch])[0]
    row, column = predictor.reader.patches.cells(patch)
    own = whole[:, :, 2 * rows.start : 2 * rows.stop, 2 * columns.start : 2 * columns.stop]
    cut = alone[
        :,
        :,
        2 * rows.start - row : 2 * rows.stop - row,
        2 * columns.start - column : 2 * columns.stop - column,
    ]
    np.testing.assert_allclose(own, cut, rtol=1e-5)
