"""The store of a target: opened by xarray, read by index, normalised over training days."""

import numpy as np
import pytest
import xarray as xr

from atmorep.artefacts import write_json
from atmorep.errors import DataError, IntegrityError
from atmorep.paths import Paths
from atmorep.store.days import write_days
from atmorep.store.layout import create
from atmorep.targets.store import TargetReader, target_layout
from atmorep.timeaxis import Span

from .experiment import DAYS, experiment

FIRST = 29 * 24
"""Index of the first hour that is in the store."""


def write(config, moments):
    """Write hours since the first one, plus a hundredth for each cell; the second hour is missing."""
    layout = target_layout(config, "fine", source_geometry="0123456789")
    create(layout)
    cells = np.arange(np.prod(layout.grid.shape)).reshape(layout.grid.shape) / 100

    def fill(block, time):
        block[0] = layout.axis.index(time) - FIRST + cells

    missing = layout.axis.times(FIRST + 1, FIRST + 2)
    for span in DAYS:
        write_days(layout, Span.parse(span), missing, fill)
        gaps = [str(hour) for hour in missing if hour in Span.parse(span).hours(1)]
        write_json(Paths(config).target_part("fine", span), {"missing": gaps, "moments": moments[span]})
    return cells


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return experiment()


@pytest.fixture
def moments():
    return {
        DAYS[0]: {"2020-01-30": [2.0, 1.0, 4.0], "2020-01-31": [2.0, 3.0, 4.0]},
        DAYS[1]: {"2020-02-01": [9.0, 99.0, 9.0]},
    }


def test_xarray_opens_it_and_says_how_it_was_made(config, moments):
    cells = write(config, moments)
    data = xr.open_zarr(Paths(config).target_store("fine"))
    assert data["2t"].dims == ("time", "surface", "latitude", "longitude")
    # Points 54 to 48 N, 6 to 15 E of a 1 degree grid, each cut into 2 x 2 cells.
    np.testing.assert_allclose(data["latitude"], np.arange(54.25, 47.5, -0.5))
    np.testing.assert_allclose(data["longitude"], np.arange(5.75, 15.5, 0.5))
    np.testing.assert_allclose(data["2t"].sel(time="2020-02-01T00")[0], 48 + cells, rtol=1e-6)
    attributes = data["2t"].attrs
    assert attributes["units"] == "K"
    assert attributes["cell_methods"] == "time: point area: mean"
    assert (attributes["era5_rows"], attributes["era5_columns"]) == ([1, 8], [2, 12])
    assert attributes["cells_per_era5_point"] == [2, 2]
    assert attributes["source_geometry"] == "0123456789"


def test_reads_by_index(config, moments):
    cells = write(config, moments)
    reader = TargetReader(config, "fine")
    assert (reader.rows, reader.columns, reader.refine, reader.field) == (slice(1, 8), slice(2, 12), 2, "2t")
    got = reader.read(FIRST + 2, 3, 4, 5, 6, 7)
    assert got.dtype == np.float32
    hours = np.arange(2, 5)[:, None, None]
    np.testing.assert_allclose(got, hours + cells[4:9, 6:13], rtol=1e-6)
    with pytest.raises(IndexError):
        reader.read(FIRST, 1, 10, 5, 0, 1)


def test_missing_hours_are_not_available(config, moments):
    write(config, moments)
    reader = TargetReader(config, "fine")
    expected = np.arange(reader.axis.size) >= FIRST
    expected[FIRST + 1] = False
    np.testing.assert_array_equal(reader.available(), expected)
    assert np.isnan(reader.read(FIRST + 1, 1, 0, 14, 0, 20)).all()


def test_normalisation_is_that_of_training_days(config, moments):
    write(config, moments)
    # Two samples of two: means 1 and 3, squares 4 each; together 2, and 8 + 2 * 1 + 2 * 1 = 12.
    assert TargetReader(config, "fine").normalisation() == pytest.approx((2.0, np.sqrt(3.0)))


def test_no_value_on_training_days(config, moments):
    write(config, {**moments, DAYS[0]: {}})
    with pytest.raises(DataError, match=r"targets\.fine: has no value on training days"):
        TargetReader(config, "fine").normalisation()


def test_a_month_that_was_not_converted(config, moments):
    write(config, moments)
    Paths(config).target_part("fine", DAYS[0]).unlink()
    with pytest.raises(IntegrityError, match=DAYS[0]):
        TargetReader(config, "fine").normalisation()
