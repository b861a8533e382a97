"""Regridding: areas against those of shapely and by hand, constants, integrals, poles, the date line, NaN."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.targets.geometry import Geometry
from atmorep.targets.overlap import box_areas, overlaps
from atmorep.targets.regrid import Regridder

from .meshes import projected, regular, rotated

EUROPE = rotated(np.linspace(-5, 6, 41), np.linspace(-6, 5, 38))
WHOLE = Grid(90, -180, 10, (19, 36))


def areas(mesh: Geometry, grid: Grid) -> np.ndarray:
    return overlaps(mesh.corner_longitude, mesh.corner_latitude, grid).toarray()


def test_weights_by_hand():
    """Cells of 2 degrees on one of 3 from 1 E: a third, two thirds; between sines of the latitudes."""
    mesh, grid = regular(0, 0, 2, 30, (2, 2)), Grid(30, 2.5, 60, (1, 1))
    assert box_areas(grid).item() == pytest.approx(60 * np.sin(np.pi / 3))
    narrow = Grid(north=15, west=2, resolution=2, shape=(1, 1))  # 14 to 16 N, 1 to 3 E
    height = np.sin(np.radians(16)) - np.sin(np.radians(14))
    np.testing.assert_allclose(areas(mesh, narrow), [[height, height, 0, 0]], rtol=1e-13)
    assert areas(mesh, grid).sum() == pytest.approx(4 * np.sin(np.pi / 3))


def test_refined_cells_mean_back_to_the_cell():
    """Two by two cells of a regular grid: the upper ones have the area between their sines of latitude."""
    mesh, grid = regular(10, 40, 0.5, 0.5, (2, 2)), Grid(40.5, 10.5, 1, (1, 1))
    lower, upper = np.diff(np.sin(np.radians([40, 40.5, 41])))
    values = np.array([[1.0, 2.0], [5.0, 9.0]])
    expected = (lower * 1.5 + upper * 7) / (lower + upper)
    np.testing.assert_allclose(Regridder(mesh, grid, "conservative", 1.0)(values), expected, rtol=1e-6)


@given(
    st.lists(st.tuples(st.floats(-2, 5), st.floats(-2, 5)), min_size=3, max_size=3),
    st.integers(0, 5),
    st.integers(0, 5),
)
@settings(deadline=None, max_examples=50)
def test_areas_are_those_of_shapely(corners, east, north):
    points = [(0.3, 0.4), *corners]
    polygon = shapely.Polygon(points)
    if not polygon.is_valid:
        return
    grid = Grid(4, 0, 1, (6, 6))
    ring = np.array([points[0], points[1], points[3], points[2]], float).reshape(2, 2, 2)
    found = overlaps(ring[..., 0], np.degrees(np.arcsin(ring[..., 1] / 10)), grid).toarray().reshape(6, 6)
    edges = np.sin(np.radians(4.5 - np.arange(7))) * 10
    box = shapely.box(east - 0.5, edges[north + 1], east + 0.5, edges[north])
    assert found[north, east] * 10 == pytest.approx(polygon.intersection(box).area, abs=1e-9)


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_constants_stay(method):
    got = Regridder(EUROPE, Grid(50, 15, 0.5, (8, 9)), method, 0.5)(np.full((2, 37, 40), 271.3))
    np.testing.assert_allclose(got, 271.3, rtol=1e-7)
    assert (got.shape, got.dtype) == ((2, 8, 9), np.float32)


def test_the_integral_over_covered_cells_is_kept():
    """A grid that holds all of the product: each of its cells is shared out whole."""
    grid = Grid(60, 0, 1, (30, 45))
    matrix = overlaps(EUROPE.corner_longitude, EUROPE.corner_latitude, grid)
    ring = np.stack([EUROPE.corner_longitude, np.sin(np.radians(EUROPE.corner_latitude))], -1)
    cells = np.stack([ring[:-1, :-1], ring[:-1, 1:], ring[1:, 1:], ring[1:, :-1]], 2).reshape(-1, 4, 2)
    np.testing.assert_allclose(matrix.sum(0), shapely.area(shapely.polygons(cells)), rtol=1e-11)
    values = np.random.default_rng(1).normal(size=(37, 40))
    fine = Regridder(EUROPE, grid, "conservative", 1e-9)
    means = np.nan_to_num(fine(values))
    kept = (means * fine.coverage * box_areas(grid)).sum()
    assert kept == pytest.approx((matrix @ values.ravel()).sum(), rel=1e-6)


@pytest.mark.parametrize(
    ("mesh", "north"),
    [
        (rotated(np.linspace(-175, 185, 37), np.linspace(-90, 90, 19)), 90),
        (rotated(np.linspace(-180, 180, 37), np.linspace(-87, 87, 20), pole=90, turn=0), 87),
        (regular(0, -90, 10, 10, (18, 36)), 90),
        (regular(174.3, -90, 10, 10, (18, 36)), 90),
    ],
    ids=["poles within cells", "gaps at the poles", "from Greenwich", "across the date line"],
)
def test_the_globe(mesh, north):
    """A product that goes around the globe up to latitude ``north`` covers it once, date line included."""
    found = areas(mesh, WHOLE)
    assert found.sum() == pytest.approx(720 * np.sin(np.radians(north)), rel=1e-9)
    assert (found.sum(1) <= box_areas(WHOLE).ravel() * (1 + 1e-9)).all()


def test_a_pole_as_a_corner():
    """Polar-stereographic squares around the pole, which is a corner of four: all is covered."""
    mesh = projected("+proj=stere +lat_0=90 +R=6371229", *2 * [np.linspace(-2e6, 2e6, 5)])
    cap = Grid(90, 0, 2, (3, 180))
    np.testing.assert_allclose(areas(mesh, cap).sum(1), box_areas(cap).ravel(), rtol=1e-9)


def test_cells_without_enough_values_are_nan_never_zero():
    mesh, grid = regular(0, 0, 1, 1, (2, 4)), Grid(1, 1, 2, (1, 2))
    values = np.array([[2.0, np.nan, np.nan, np.nan], [2.0, np.nan, np.nan, 4.0]])
    halves, most = (Regridder(mesh, grid, "conservative", least) for least in (0.49, 0.6))
    np.testing.assert_allclose(halves(values), [[2.0, np.nan]])
    assert np.isnan(most(values)).all()
    quarter = Regridder(mesh, grid, "conservative", 0.2)(values)
    np.testing.assert_allclose(quarter, [[2.0, 4.0]])


def test_beyond_the_product_there_is_nothing():
    mesh, grid = regular(0, 0, 1, 1, (4, 4)), Grid(3, 1, 2, (2, 3))
    regrid = Regridder(mesh, grid, "conservative", 0.5)
    np.testing.assert_allclose(regrid.coverage, [[1, 1, 0], [1, 1, 0]], atol=1e-12)
    assert np.isnan(regrid(np.ones((4, 4)))[:, 2]).all()


@pytest.mark.parametrize("method", ["conservative", "bilinear", "nearest"])
def test_a_product_elsewhere_is_refused(method):
    with pytest.raises(DataError, match=r"0\.50 to 3\.50 N, -9\.50 to -6\.50 E.*40\.00 to 42\.00 N, 10"):
        Regridder(regular(-10, 0, 1, 1, (4, 4)), Grid(42, 10, 1, (3, 3)), method, 0.5)


@pytest.mark.parametrize("west", [10.0, 170.0, -185.0], ids=["Alps", "date line", "other side of it"])
def test_bilinear_is_exact_for_linear_fields(west):
    """Longitude and latitude come out as they are, but for sides that are great circles, not parallels."""
    mesh, grid = regular(west, 40, 0.25, 0.25, (40, 60)), Grid(48, (west + 3) % 360, 0.1, (60, 90))
    regrid = Regridder(mesh, grid, "bilinear", 1)
    expected = np.broadcast_to(grid.latitude[:, None], grid.shape)
    np.testing.assert_allclose(regrid(mesh.latitude), expected, atol=1e-4)
    np.testing.assert_allclose(regrid(mesh.longitude - west)[0], 3 + 0.1 * np.arange(90), atol=1e-4)


def test_bilinear_across_the_seam_and_at_the_pole():
    mesh = regular(0, -90, 2, 2, (90, 180))
    regrid = Regridder(mesh, Grid(89, -20, 1, (178, 40)), "bilinear", 1)
    x, z = (np.cos(np.radians(a)) for a in (mesh.longitude, 90 - mesh.latitude))
    assert np.isfinite(regrid(z)).all()
    expected = np.broadcast_to(np.cos(np.radians(-20 + np.arange(40))), (178, 40))
    np.testing.assert_allclose(regrid(x)[5:-5], expected[5:-5], atol=1e-3)


def test_nearest_takes_the_cell_a_point_is_in():
    mesh, grid = regular(175, 0, 2, 2, (5, 5)), Grid(8.5, -183.5, 1, (8, 9))
    values = np.arange(25.0).reshape(5, 5)
    got = Regridder(mesh, grid, "nearest", 1)(values)
    # Latitude 8.5 is in row 4; longitude -183.5 = 176.5 in column 0, -175.5 = 184.5 in column 4.
    assert (got[0, 0], got[0, 8], got[7, 0]) == (20.0, 24.0, 0.0)
