"""What is written reads back: values, headers, time; with our reader and with cfgrib."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.errors import DataError
from atmorep.fields import FIELDS
from atmorep.grids import Grid
from atmorep.sources.grib import decode, eccodes, read, scan
from atmorep.sources.grib_writer import GribWriter

GLOBE = Grid(90.0, 0.0, 10.0, (19, 36))
EUROPE = Grid(60.0, -10.0, 2.5, (9, 11))
ACROSS_GREENWICH = Grid(60.0, 350.0, 2.5, (9, 11))
HOUR = np.datetime64("2011-03-05T07", "h")
ERA5_KEYS = [
    *("edition", "centre", "subCentre", "table2Version", "generatingProcessIdentifier", "paramId"),
    *("typeOfLevel", "class", "type", "stream", "expver", "localDefinitionNumber", "gridType"),
    *("dataDate", "dataTime", "stepRange", "stepType", "timeRangeIndicator", "unitOfTimeRange"),
    *("P1", "P2", "packingType", "bitsPerValue", "resolutionAndComponentFlags"),
]


def values(grid, seed=0, scale=10.0, offset=250.0):
    return offset + scale * np.random.default_rng(seed).standard_normal(grid.shape)


def keys(message, *names):
    handle = eccodes.codes_new_from_message(read(message))
    try:
        return {name: eccodes.codes_get(handle, name) for name in names}
    finally:
        eccodes.codes_release(handle)


@pytest.mark.parametrize("grid", [GLOBE, EUROPE, ACROSS_GREENWICH])
@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_reads_back(tmp_path, field, edition, grid):
    path = tmp_path / "x.grib"
    surface = FIELDS[field].surface
    kinds = [("surface", 0)] if surface else [("pressure", 850), ("model", 137)]
    written = values(grid)
    with GribWriter(path, grid, edition) as writer:
        for kind, level in kinds:
            writer.write(field, kind, level, HOUR, written)
    messages = scan(path)
    assert [(m.field, m.level_type, m.level) for m in messages] == [(field, *kind) for kind in kinds]
    for message in messages:
        assert message.valid_time == HOUR
        assert message.expver == "0001"
        assert np.abs(decode(message, grid) - written).max() <= message.step
        assert 0 < message.step < np.ptp(written) / 2**15


def test_headers_are_era5s(tmp_path):
    path = tmp_path / "x.grib"
    with GribWriter(path, EUROPE) as writer:
        writer.write("2t", "surface", 0, HOUR, values(EUROPE))
        writer.write("tp", "surface", 0, HOUR, values(EUROPE))
    instant, accumulated = scan(path)
    mars = {"class": "ea", "stream": "oper", "expver": "0001", "centre": "ecmf", "bitsPerValue": 16}
    assert keys(instant, *mars, "type", "stepType") == mars | {"type": "an", "stepType": "instant"}
    assert keys(accumulated, *mars, "type", "stepType") == mars | {"type": "fc", "stepType": "accum"}


def test_headers_equal_those_of_a_real_era5_file(tmp_path, shared):
    real = next(
        m for m in scan(shared / "era5_grib/era5_re_resl_20230101_to_20230131.grib") if m.field == "tp"
    )
    with GribWriter(tmp_path / "x.grib", EUROPE) as writer:
        writer.write("tp", "surface", 0, real.valid_time, values(EUROPE))
    assert keys(scan(tmp_path / "x.grib")[0], *ERA5_KEYS) == keys(real, *ERA5_KEYS)


@settings(max_examples=30, deadline=None)
@given(hour=st.integers(0, 24 * 366), edition=st.sampled_from([1, 2]))
def test_accumulations_start_at_06_or_18(tmp_path_factory, hour, edition):
    path = tmp_path_factory.mktemp("tp") / "x.grib"
    time = np.datetime64("2020-01-01T00", "h") + np.timedelta64(hour, "h")
    with GribWriter(path, EUROPE, edition) as writer:
        writer.write("tp", "surface", 0, time, values(EUROPE))
    (message,) = scan(path)
    found = keys(message, "dataTime", "startStep", "endStep")
    assert message.valid_time == time
    assert found["dataTime"] in (600, 1800)
    assert 1 <= found["endStep"] <= 12
    assert found["startStep"] == found["endStep"] - 1


def test_constant_field_does_not_change_the_packing_of_the_next(tmp_path):
    path, rough = tmp_path / "x.grib", values(EUROPE)
    with GribWriter(path, EUROPE) as writer:
        for field in (rough, np.zeros(EUROPE.shape), rough):
            writer.write("2t", "surface", 0, HOUR, field)
    first, constant, last = scan(path)
    assert constant.step == 0
    assert (decode(constant, EUROPE) == 0).all()
    assert keys(last, "bitsPerValue")["bitsPerValue"] == 16
    assert (decode(first, EUROPE) == decode(last, EUROPE)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_and_leaves_nothing(tmp_path, bad):
    broken = values(EUROPE)
    broken[3, 4] = bad
    path = tmp_path / "folder/x.grib"

    def write():
        with GribWriter(path, EUROPE) as writer:
            for field in (values(EUROPE), broken):
                writer.write("2t", "surface", 0, HOUR, field)

    with pytest.raises(DataError, match=r"x\.grib.*2t.*not finite"):
        write()
    assert list(path.parent.iterdir()) == []


def test_wrong_shape_is_refused(tmp_path):
    with pytest.raises(ValueError, match="shape"), GribWriter(tmp_path / "x.grib", EUROPE) as writer:
        writer.write("2t", "surface", 0, HOUR, values(EUROPE).T)


def test_hybrid_coefficients_are_in_the_header(tmp_path):
    hybrid = np.r_[np.linspace(0, 2e4, 138), np.linspace(0, 1, 138)]
    with GribWriter(tmp_path / "x.grib", EUROPE, edition=2, hybrid=hybrid) as writer:
        writer.write("t", "model", 137, HOUR, values(EUROPE))
    handle = eccodes.codes_new_from_message(read(scan(tmp_path / "x.grib")[0]))
    try:
        np.testing.assert_allclose(eccodes.codes_get_array(handle, "pv"), hybrid, rtol=1e-6)
    finally:
        eccodes.codes_release(handle)


@pytest.mark.parametrize("edition", [1, 2])
def test_cfgrib_opens_it(tmp_path, edition):
    path = tmp_path / "x.grib"
    with GribWriter(path, GLOBE, edition) as writer:
        for hour in range(3):
            for level in (850, 500):
                time = HOUR + np.timedelta64(hour, "h")
                writer.write("t", "pressure", level, time, values(GLOBE, seed=hour))
    with xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": ""}) as data:
        assert dict(data.t.sizes) == {"time": 3, "isobaricInhPa": 2, "latitude": 19, "longitude": 36}
        np.testing.assert_allclose(data.latitude, GLOBE.latitude)
        np.testing.assert_allclose(data.longitude, GLOBE.longitude)
        np.testing.assert_allclose(data.t[2, 0], values(GLOBE, seed=2), atol=2e-3)


@pytest.mark.parametrize("edition", [1, 2])
def test_cfgrib_dates_accumulations(tmp_path, edition):
    path = tmp_path / "tp.grib"
    hours = HOUR + np.arange(30).astype("timedelta64[h]")
    with GribWriter(path, EUROPE, edition) as writer:
        for number, hour in enumerate(hours):
            writer.write("tp", "surface", 0, hour, values(EUROPE, seed=number))
    options = {"indexpath": "", "time_dims": ["valid_time"]}
    with xr.open_dataset(path, engine="cfgrib", backend_kwargs=options) as data:
        assert (data.valid_time.values == hours.astype("datetime64[ns]")).all()
