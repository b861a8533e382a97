"""Areas of the cells of a grid are those of the sphere."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmorep.config import GridConfig
from atmorep.config.target import Box
from atmorep.errors import ConfigError
from atmorep.grids import Grid

DIVISORS = [0.25, 0.5, 1.0, 1.5, 3.0, 5.0, 10.0]


@st.composite
def regions(draw):
    step = draw(st.sampled_from(DIVISORS))
    rows, columns = draw(st.integers(2, int(180 / step) + 1)), draw(st.integers(2, int(360 / step)))
    south = -90 + step * draw(st.integers(0, round(180 / step) + 1 - rows))
    west = -180 + step * draw(st.integers(0, round(360 / step) - 1))
    return Grid(south + step * (rows - 1), west, step, (rows, columns))


@pytest.mark.parametrize("step", DIVISORS)
@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_areas_of_the_globe_sum_to_one(step, shift):
    rows = round(180 / step) + (1 if shift == 0 else 0)
    grid = Grid(90 - shift * step, 0, step, (rows, round(360 / step)))
    assert grid.periodic
    assert grid.row_area.sum() * grid.shape[1] == pytest.approx(1, abs=1e-12)


@given(regions())
def test_areas_of_a_region(grid):
    north, south = (
        min(grid.latitude[0] + grid.resolution / 2, 90),
        max(grid.latitude[-1] - grid.resolution / 2, -90),
    )
    exact = (
        (np.sin(np.radians(north)) - np.sin(np.radians(south))) / 2 * grid.shape[1] * grid.resolution / 360
    )
    assert (grid.row_area > 0).all()
    assert grid.row_area.sum() * grid.shape[1] == pytest.approx(exact)
    assert grid.weights.shape == (grid.shape[0], 1)
    assert grid.weights.mean() == pytest.approx(1)
    assert grid.periodic == (grid.shape[1] == round(360 / grid.resolution))


def test_weights_average_a_linear_function_of_sine_of_latitude_exactly():
    grid = Grid(90, 0, 0.25, (721, 1440))
    sine = np.sin(np.radians(grid.latitude))
    assert (grid.weights[:, 0] * sine**2).mean() == pytest.approx(1 / 3, rel=1e-5)


@given(regions())
def test_coordinates_from_the_configuration(grid):
    config = GridConfig(
        north=grid.latitude[0],
        south=grid.latitude[-1],
        west=grid.longitude[0],
        east=grid.longitude[-1],
        resolution=grid.resolution,
    )
    same = Grid.from_config(config)
    assert same.shape == grid.shape
    np.testing.assert_allclose(same.latitude, grid.latitude)
    np.testing.assert_allclose(same.longitude, grid.longitude)
    assert (np.diff(grid.latitude) < 0).all()
    assert (np.diff(grid.longitude) > 0).all()


def test_default_grid_is_era5():
    assert Grid.from_config(GridConfig()).shape == (721, 1440)


def test_part_of_a_periodic_grid_goes_on_past_greenwich():
    globe = Grid(90, 0, 3.0, (61, 120))
    rows, columns = globe.part(Box(north=60, south=45, west=-10, east=20))
    assert (rows, columns) == (slice(10, 16), slice(117, 127))
    assert globe.longitude[117] - 360 == -9


@pytest.mark.parametrize("west", [-10, 350])
def test_part_of_a_region_is_found_however_longitudes_are_counted(west):
    region = Grid(60, -10, 1.0, (21, 31))
    rows, columns = region.part(Box(north=59.5, south=40, west=west, east=west + 12.5))
    assert (rows, columns) == (slice(1, 21), slice(0, 13))


def test_a_box_without_points_is_refused():
    with pytest.raises(ConfigError, match="holds no point"):
        Grid(60, -10, 1.0, (21, 31)).part(Box(north=10, south=0, west=0, east=5))


@given(regions(), st.integers(1, 6))
def test_cells_of_a_refined_grid_fill_the_cells_of_the_points(grid, factor):
    rows, columns = slice(0, grid.shape[0]), slice(0, grid.shape[1])
    fine = grid.refined(factor, rows, columns)
    assert fine.shape == (factor * grid.shape[0], factor * grid.shape[1])
    by_point = fine.latitude.reshape(-1, factor).mean(1), fine.longitude.reshape(-1, factor).mean(1)
    np.testing.assert_allclose(by_point[0], grid.latitude, atol=1e-9)
    np.testing.assert_allclose(by_point[1], grid.longitude, atol=1e-9)
    areas = fine.row_area.reshape(-1, factor).sum(1) * factor
    np.testing.assert_allclose(areas, grid.row_area, atol=1e-12)
