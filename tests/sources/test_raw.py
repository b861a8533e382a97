"""Raw files are checked again when they are read: anything may have happened to them meanwhile."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)
import pytest

import eccodes  # isort: skip

from atmorep.config import Config, parse
from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import grib
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.raw import GribFile, open_raw, verify_hours
from atmorep.timeaxis import Span

SPAN = Span.parse("2020-01-01_2020-01-03")
HOURS = SPAN.hours(6)


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def configuration(suffix: str = "grib", record_missing: bool = False) -> Config:
        days = [{"start": f"2020-01-0{d}", "end": f"2020-01-0{d}"} for d in (1, 2, 3)]
        return parse(
            {
                "experiment": "raw",
                "source": {
                    "kind": "files",
                    "folder": "archive",
                    "pattern": f"*.{suffix}",
                    "record_missing": record_missing,
                },
                "data": {
                    "grid": {"north": 3, "south": 0, "west": 0, "east": 4, "resolution": 1},
                    "time_step": 6,
                    "levels": {"values": [137]},
                    "periods": dict(zip(("train", "validation", "test"), ([d] for d in days), strict=True)),
                },
                "fields": {"t": None},
                "network": {
                    "neighbourhood": {"time": 4, "latitude": 3, "longitude": 3},
                    "token_size": {"time": 1, "latitude": 3, "longitude": 3},
                },
                "evaluation": {"lead_hours": [6]},
            }
        )

    return configuration


def state(number: int) -> np.ndarray:
    return 250 + number + np.arange(20.0).reshape(4, 5)


def write_grib(config: Config, numbers=range(12)) -> Path:
    path = Paths(config).raw("t", 137, SPAN)
    with GribWriter(path, Grid.from_config(config.data.grid)) as writer:
        for number in numbers:
            writer.write("t", "model", 137, HOURS[number], state(number))
    return path


def write_netcdf(config: Config, numbers=range(12), level=137, name="t") -> Path:
    path = Paths(config).raw("t", 137, SPAN)
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.level, file.packing_step = level, 0.25
        for dimension, size in (("time", None), ("latitude", 4), ("longitude", 5)):
            file.createDimension(dimension, size)
        file.createVariable("time", "i8", ("time",))[:] = HOURS[list(numbers)].astype(np.int64)
        variable = file.createVariable(name, "f4", ("time", "latitude", "longitude"))
        variable[:] = [state(n) for n in numbers]
    return path


@pytest.mark.parametrize(("suffix", "write"), [("grib", write_grib), ("nc", write_netcdf)])
def test_reads_hour_by_hour(make, suffix, write):
    config = make(suffix)
    path = write(config)
    raw = open_raw(config, "t", 137, SPAN)
    assert raw.path == path
    np.testing.assert_array_equal(raw.times, HOURS)
    for number in (11, 0, 5):
        step = raw.step(HOURS[number])
        np.testing.assert_allclose(raw.read(HOURS[number]), state(number), atol=step)
        assert str(HOURS[number]) in raw.name(HOURS[number])
        assert raw.packing(HOURS[number]) == (step if suffix == "grib" else 0.25)


def repacked(message: bytes, keys: dict[str, int | str]) -> bytes:
    """The same values, packed or scanned otherwise."""
    handle = eccodes.codes_new_from_message(message)
    values = eccodes.codes_get_values(handle)
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
    if "changeDecimalPrecision" not in keys:  # which packs by itself
        eccodes.codes_set_values(handle, values)
    changed = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return changed


@pytest.mark.parametrize("edition", [1, 2])
@pytest.mark.parametrize(
    ("keys", "own"),
    [
        ({}, True),
        ({"jScansPositively": 1, "latitudeOfFirstGridPoint": 0, "latitudeOfLastGridPoint": None}, True),
        ({"bitsPerValue": 8}, False),
        ({"bitsPerValue": 24}, False),
        ({"changeDecimalPrecision": 2}, False),
        ({"packingType": "grid_second_order"}, False),
    ],
)
def test_rounding_keeps_within_half_a_step_of_what_eccodes_decodes(make, edition, keys, own):
    config = make()
    path = Paths(config).raw("t", 137, SPAN)
    rng = np.random.default_rng(0)
    with GribWriter(path, Grid.from_config(config.data.grid), edition=edition) as writer:
        for hour in HOURS:
            writer.write("t", "model", 137, hour, rng.normal(280, 10, (4, 5)))
    if "jScansPositively" in keys:
        north = 3000 if edition == 1 else 3_000_000
        keys = keys | {"latitudeOfLastGridPoint": north}
    if keys.get("packingType") == "grid_second_order" and edition == 2:
        keys = {"packingType": "grid_ccsds"}
    path.write_bytes(b"".join(repacked(grib.read(m), keys) for m in grib.scan(path)))
    assert {m.integers is not None for m in grib.scan(path)} == {own}
    raw, out = open_raw(config, "t", 137, SPAN), np.empty((4, 5), np.float32)
    for hour in HOURS:
        lowest, bound = raw.rounded(hour, out)
        values, step = raw.read(hour), raw.step(hour)
        assert np.abs(out - values).max() <= bound * (1 + 1e-9) <= step / 2 + 2e-5
        assert values.min() - step <= lowest <= values.min()


def test_global_grids_are_turned_to_where_the_configured_one_starts(tmp_path):
    world = Grid(90, -180, 10, (19, 36))
    values = np.random.default_rng(0).normal(280, 10, world.shape)
    with GribWriter(tmp_path / "world.grib", world) as writer:
        writer.write("t", "model", 137, HOURS[0], values)
    raw = GribFile(tmp_path / "world.grib", Grid(90, 0, 10, (19, 36)), grib.scan(tmp_path / "world.grib"))
    out = np.empty(world.shape, np.float32)
    _, bound = raw.rounded(HOURS[0], out)
    assert np.abs(out - raw.read(HOURS[0])).max() <= bound * (1 + 1e-9)
    np.testing.assert_allclose(out, np.roll(values, 18, axis=1), atol=1e-2)


def test_netcdf_is_not_rounded(make):
    config = make("nc")
    write_netcdf(config)
    raw, out = open_raw(config, "t", 137, SPAN), np.empty((4, 5), np.float32)
    assert raw.rounded(HOURS[4], out) == (254, 0)
    np.testing.assert_array_equal(out, state(4))


def test_the_step_is_that_of_the_message(make):
    config = make()
    (message, *_) = grib.scan(write_grib(config))
    assert open_raw(config, "t", 137, SPAN).step(HOURS[0]) == message.step > 0


@pytest.mark.parametrize(("suffix", "write"), [("grib", write_grib), ("nc", write_netcdf)])
def test_hours_must_be_complete_unless_recorded(make, suffix, write):
    strict, lenient = make(suffix), make(suffix, record_missing=True)
    write(strict, [0, 1, 2, *range(4, 12)])
    write(lenient, [0, 1, 2, *range(4, 12)])
    with pytest.raises(DataError, match=r"2020-01-03.*lacks 1 of 12 hours.*2020-01-01T18"):
        open_raw(strict, "t", 137, SPAN)
    assert open_raw(lenient, "t", 137, SPAN).times.size == 11


def test_an_absent_file_is_named(make):
    with pytest.raises(DataError, match=r"t/137/2020-01-01_2020-01-03\.grib.*absent.*atmorep download"):
        open_raw(make(), "t", 137, SPAN)


@pytest.mark.parametrize("suffix", ["grib", "nc"])
def test_a_broken_file_is_named(make, suffix):
    config = make(suffix)
    path = (write_grib if suffix == "grib" else write_netcdf)(config)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"2020-01-03\.{suffix}"):
        open_raw(config, "t", 137, SPAN)


@pytest.mark.parametrize("wrong", [{"level": 96}, {"name": "u"}])
def test_another_field_or_level_is_refused(make, wrong):
    config = make("nc")
    write_netcdf(config, **wrong)
    with pytest.raises(DataError, match=r"2020-01-03\.nc.*fetch it again"):
        open_raw(config, "t", 137, SPAN)


def test_nan_is_refused(make):
    config = make("nc")
    with netCDF4.Dataset(write_netcdf(config), "a") as file:
        file["t"][3, 1, 2] = np.nan
    raw = open_raw(config, "t", 137, SPAN)
    raw.read(HOURS[2])
    with pytest.raises(DataError, match=r"time 3 \(t, level 137, 2020-01-01T18:00\).*non-finite"):
        raw.read(HOURS[3])


@pytest.mark.parametrize(
    ("times", "match"),
    [
        (HOURS[[0, 0, 1]], "2020-01-01T00:00 is there twice"),
        (HOURS[[1, 0]], "2020-01-01T00:00 is there twice or out of order"),
        (HOURS[:3] + np.timedelta64(1, "h"), "2020-01-01T01:00 was not asked for"),
        (HOURS[:0], "lacks 12 of 12 hours"),
    ],
)
def test_wrong_hours_are_refused(times, match):
    with pytest.raises(DataError, match=f"here: {match}"):
        verify_hours(times, HOURS, "here", record_missing=False)
