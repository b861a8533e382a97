"""Latitudes and longitudes in any order and convention are one grid."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.inference.placed import Placed, offset

MODEL = Grid(90, 0, 10, (19, 36))


@st.composite
def regions(draw):
    height, width = draw(st.integers(2, 19)), draw(st.integers(2, 36))
    row, column = draw(st.integers(0, 19 - height)), draw(st.integers(-18, 35))
    return Grid(90 - 10 * row, 10 * column, 10, (height, width))


@given(regions(), st.booleans(), st.sampled_from([0, 180, 360]), st.integers(0, 35))
def test_the_order_and_the_meridian_of_origin_make_no_difference(grid, upside_down, lowest, turn):
    latitude, longitude = grid.latitude, grid.longitude
    if upside_down:
        latitude = latitude[::-1]
    longitude = np.roll((longitude + lowest) % 360 - lowest, turn % len(longitude))
    placed = Placed.of(latitude, longitude, MODEL, "input")
    np.testing.assert_allclose(latitude[placed.rows], placed.grid.latitude)
    assert placed.grid.shape == grid.shape
    assert placed.grid.north == grid.north
    assert placed.grid.periodic == grid.periodic
    apart = (longitude[placed.columns] - placed.grid.longitude + 180) % 360 - 180
    np.testing.assert_allclose(apart, 0, atol=1e-9)
    if not grid.periodic:
        assert (placed.grid.west - grid.west) % 360 == 0
        assert placed.grid.longitude[-1] < 360


def test_a_region_across_the_prime_meridian_is_put_together():
    placed = Placed.of(np.array([60.0, 50]), np.array([0.0, 10, 340, 350]), MODEL, "input")
    assert placed.columns.tolist() == [2, 3, 0, 1]
    assert placed.grid.longitude.tolist() == [-20, -10, 0, 10]
    assert placed.turned


def test_a_meridian_that_is_there_twice_counts_once():
    placed = Placed.of(MODEL.latitude, np.arange(0.0, 361, 10), MODEL, "input")
    assert placed.grid == MODEL


def test_coordinates_of_three_decimals_are_those_of_the_model():
    model = Grid(90, 0, 0.25, (721, 1440))
    latitude, longitude = np.array([47.201, 46.951, 46.701]), np.array([9.249, 9.499])
    placed = Placed.of(latitude - 0.2, longitude, model, "input")
    assert (placed.grid.north, placed.grid.west) == (47.0, 9.25)


@pytest.mark.parametrize("longitude", [[0.0, 20, 40], [0.0, 10, 30], [0.0, 10, 20.5]])
def test_another_resolution_is_refused_with_the_remedy(longitude):
    with pytest.raises(DataError, match="not every 10 degrees, as the model has learnt; regrid it"):
        Placed.of(np.array([60.0, 50]), np.array(longitude), MODEL, "input")


def test_an_inner_grid_is_found_in_the_outer_one_round_the_globe():
    assert offset(Grid(60, -20, 10, (3, 4)), MODEL) == (3, 34)
    assert offset(Grid(65, -20, 10, (3, 4)), MODEL) is None
