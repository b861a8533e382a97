import numpy as np
import pytest
import xarray as xr

from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.paths import Paths
from atmorep.store.reader import FieldReader

from .conftest import JANUARY, build

GLOBAL = {"north": 90, "south": -90, "west": 0, "east": 350, "resolution": 10}
FIRST = 23 * 4
"""Index of the first hour that is in the store."""


@pytest.fixture
def world(experiment) -> Config:
    return build(experiment({"t": {"levels": [137]}, "u": None}, grid=GLOBAL))


def test_reads_what_xarray_reads(world):
    reader = FieldReader(world, "u")
    assert reader.levels == (96, 137)
    whole = xr.open_zarr(Paths(world).store)["u"].values
    got = reader.read(FIRST + 3, 7, 4, 9, 5, 20)
    assert (got.dtype, got.shape) == (np.float32, (7, 2, 9, 20))
    np.testing.assert_array_equal(got, whole[FIRST + 3 : FIRST + 10, :, 4:13, 5:25])


@pytest.mark.parametrize("column", [30, -6, 66, 35])
def test_columns_go_on_across_the_seam(world, column):
    reader = FieldReader(world, "u")
    whole = xr.open_zarr(Paths(world).store)["u"].values[FIRST : FIRST + 2]
    expected = np.take(whole, (column + np.arange(12)) % 36, axis=3)
    np.testing.assert_array_equal(reader.read(FIRST, 2, 0, 19, column, 12), expected)


def test_only_the_levels_of_the_model_are_read(world):
    reader = FieldReader(world, "t")
    assert reader.levels == (137,)
    whole = xr.open_zarr(Paths(world).store)["t"].sel(level=[137]).values
    np.testing.assert_array_equal(reader.read(FIRST, 4, 0, 19, 0, 36), whole[FIRST : FIRST + 4])


@pytest.mark.parametrize(
    "window",
    [(-1, 2, 0, 9, 0, 9), (147, 2, 0, 9, 0, 9), (FIRST, 2, 15, 9, 0, 9), (FIRST, 2, -1, 9, 0, 9)],
)
def test_windows_beyond_time_or_poles_are_refused(world, window):
    with pytest.raises(IndexError, match="not within"):
        FieldReader(world, "u").read(*window)


def test_windows_go_on_around_the_globe(world):
    reader = FieldReader(world, "u")
    ring = reader.read(FIRST, 2, 3, 4, 0, 36)
    found = reader.read(FIRST, 2, 3, 4, -2, 40)
    np.testing.assert_array_equal(found, np.concatenate([ring[..., -2:], ring, ring[..., :2]], axis=-1))


@pytest.mark.parametrize("column", [-1, 35])
def test_windows_beyond_a_region_are_refused(experiment, column):
    config = build(experiment())
    with pytest.raises(IndexError, match="not within"):
        FieldReader(config, "t").read(FIRST, 2, 0, 9, column, 9)


def test_available_are_the_hours_converted_and_not_missing(experiment):
    config = build(experiment(record_missing=True), skip=("2020-01-25T06",))
    reader = FieldReader(config, "t")
    expected = np.zeros(reader.axis.size, bool)
    expected[FIRST:] = True
    expected[FIRST + 5] = False
    np.testing.assert_array_equal(reader.available(), expected)
    Paths(config).part("t", JANUARY).unlink()
    expected[FIRST : FIRST + 32] = False
    np.testing.assert_array_equal(reader.available(), expected)


def test_a_field_without_array_is_refused(experiment):
    with pytest.raises(IntegrityError, match="convert it first"):
        FieldReader(experiment(), "t")
