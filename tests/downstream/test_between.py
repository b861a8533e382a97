"""Interpolation to cells, on functions it is exact for."""

import numpy as np
import pytest

from atmorep.downstream.between import Between, taps
from atmorep.targets.store import evaluation_grid

from .made import configuration


def around(config, function):
    """The interpolation, a function at the points it reads, and at the cells."""
    between, grid = Between.of(config, config.targets["fine"]), config.data.grid
    latitude = grid.north - np.arange(between.rows.read.start, between.rows.read.stop) * grid.resolution
    longitude = grid.west + np.arange(between.columns.read.start, between.columns.read.stop) * grid.resolution
    cells = evaluation_grid(config, "fine")
    points = function(latitude[:, None], longitude).astype(np.float32)
    return between, points, function(cells.latitude[:, None], cells.longitude)


@pytest.mark.parametrize("refine", [1, 2, 3])
def test_bilinear_is_exact_on_planes_and_bicubic_on_parabolas(refine):
    config = configuration(targets={"fine": {"refine": refine}})
    plane = around(config, lambda lat, lon: 3 + 0.5 * lat - 0.25 * lon + 0.1 * lat * lon)
    np.testing.assert_allclose(plane[0](plane[1]), plane[2], rtol=1e-5)
    bowl = around(config, lambda lat, lon: (lat - 50) ** 2 + 0.5 * (lon - 9) ** 2)
    np.testing.assert_allclose(bowl[0](bowl[1], "bicubic"), bowl[2], atol=1e-4)
    if refine > 1:
        assert np.abs(bowl[0](bowl[1]) - bowl[2]).max() > 0.05


def test_nearest_repeats_points():
    between, points, _ = around(configuration(), lambda lat, lon: 100 * lat + lon)
    found = between(points, "nearest")
    np.testing.assert_array_equal(found, np.repeat(np.repeat(found[::2, ::2], 2, 0), 2, 1))
    assert found.shape == between.shape == (12, 16)


def test_cubic_weights_are_those_of_keys():
    """Half way between points: -1/16, 9/16, 9/16, -1/16."""
    _, weights = taps("bicubic", np.array([0.5]))
    np.testing.assert_allclose(weights[0], np.array([-1, 9, 9, -1]) / 16)


def test_the_grids_end_is_repeated():
    config = configuration(targets={"fine": {"region": None}})
    between, points, _ = around(config, lambda lat, lon: 0 * lat + lon)
    assert between.shape == (20, 26)
    assert between(points)[0, 0] == points[0, 0]
    assert (between.rows.read.start, between.columns.read.stop) == (0, 13)


def test_rows_of_a_part_are_those_of_the_whole():
    config = configuration()
    between = Between.of(config, config.targets["fine"])
    values = np.random.default_rng(0).normal(size=(10, 13)).astype(np.float32)

    def interpolated(one):
        return one(values[one.rows.read, one.columns.read], "bicubic")

    np.testing.assert_allclose(interpolated(between.part(slice(3, 7))), interpolated(between)[3:7], atol=1e-6)


def test_a_periodic_grid_goes_round():
    globe = {"grid": {"north": 60, "south": -60, "west": 0, "east": 350, "resolution": 10}}
    everywhere = {"fine": {"region": {"north": 60, "south": -60, "west": 0, "east": 359}}}
    config = configuration(data=globe, targets=everywhere)
    between = Between.of(config, config.targets["fine"])
    read = np.arange(between.columns.read.start, between.columns.read.stop) * 10
    assert (read[0] < 0, read[-1] > 350) == (True, True)
    waves = (
        np.cos(np.radians(read))[None]
        .astype(np.float32)
        .repeat(between.rows.read.stop - between.rows.read.start, 0)
    )
    cells = evaluation_grid(config, "fine")
    np.testing.assert_allclose(between(waves, "bicubic")[0], np.cos(np.radians(cells.longitude)), atol=2e-3)
