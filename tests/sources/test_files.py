"""The source 'files': real samples, then what goes wrong with them."""

import shutil
from pathlib import Path

import netCDF4
import numpy as np
import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)
import pytest
import xarray as xr

import eccodes  # isort: skip

from atmorep.config import Config, parse
from atmorep.errors import AtmoRepError, DataError, SourceError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import grib, open_source, stage
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.raw import open_raw
from atmorep.timeaxis import Span, data_spans

UK = {"north": 58, "south": 50, "west": -10, "east": 2, "resolution": 0.25}
ATLANTIC = {"north": 75, "south": 55, "west": -30, "east": -8, "resolution": 0.25}
YUKON = {"north": 65.7, "south": 64.2, "west": -139, "east": -137.5, "resolution": 0.25}
DAVOS = {"north": 47.201, "south": 46.451, "west": 9.292, "east": 10.292, "resolution": 0.25}
EUROPE = {"north": 60, "south": 40, "west": -10, "east": 20, "resolution": 1}
SMALL = {"north": 3, "south": 0, "west": 0, "east": 4, "resolution": 1}
EDGE = 3
UK_FILE = "era5_grib/era5-2mt-2019-03-uk.grib"


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def experiment(folder, pattern, grid, days, fields, levels=None, step=1, record_missing=False) -> Config:
    """A configuration of three periods between four ``days``."""
    names = ("train", "validation", "test")
    periods = {n: [{"start": a, "end": b}] for n, (a, b) in zip(names, days, strict=True)}
    return parse(
        {
            "experiment": "files",
            "source": {
                "kind": "files",
                "folder": str(folder),
                "pattern": pattern,
                "record_missing": record_missing,
            },
            "data": {"grid": grid, "time_step": step, "levels": levels or {}, "periods": periods},
            "fields": dict.fromkeys(fields),
            "network": {
                "neighbourhood": {"time": 4, "latitude": EDGE, "longitude": EDGE},
                "token_size": {"time": 1, "latitude": EDGE, "longitude": EDGE},
            },
            "evaluation": {"lead_hours": [step]},
        }
    )


def uk(shared, days=None, **options) -> Config:
    days = days or [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    return experiment(shared / "era5_grib", "era5-2mt-*.grib", UK, days, ["2t"], **options)


def bodies(path: Path) -> list[bytes]:
    """The messages of a GRIB file, without the padding old archives put between them."""
    return [grib.read(message) for message in grib.scan(path)]


def download(config: Config) -> None:
    for group in open_source(config).groups():
        for span in data_spans(config.data):
            stage.download(config, group.name, str(span))


# -- real GRIB -----------------------------------------------------------------------------------


def test_messages_are_copied_as_they_are(shared):
    config = uk(shared)
    stage.check(config)
    download(config)
    assert bodies(Paths(config).raw("2t", 0, "2019-03")) == bodies(shared / UK_FILE)
    assert Paths(config).resolved_config.exists()


def test_check_prints_the_groups(shared, capsys):
    stage.check(uk(shared))
    assert capsys.readouterr().out == "2t: 2t\n"


def test_fields_are_taken_out_of_a_file_of_several(shared):
    days = [(f"2011-01-0{day}", f"2011-01-0{day}") for day in (1, 2, 3)]
    config = experiment(shared / "era5_grib", "pypos*", ATLANTIC, days, ["10u", "10v", "msl"])
    download(config)
    for field in ("10u", "10v", "msl"):
        messages = grib.scan(Paths(config).raw(field, 0, "2011-01-01_2011-01-03"))
        assert {m.field for m in messages} == {field}
        hours = Span.parse("2011-01-01_2011-01-03").hours(1)
        np.testing.assert_array_equal([m.valid_time for m in messages], hours)


def test_forecast_steps_of_precipitation_become_valid_times(shared):
    days = [("2023-01-01", "2023-01-20"), ("2023-01-21", "2023-01-25"), ("2023-01-26", "2023-01-31")]
    config = experiment(shared / "era5_grib", "era5_re_resl_{year}*", YUKON, days, ["tp", "2t"])
    download(config)
    raw = open_raw(config, "tp", 0, Span.parse("2023-01"))
    np.testing.assert_array_equal(raw.times, Span.parse("2023-01").hours(1))
    assert raw.read(raw.times[7]).shape == (7, 7)
    for number in (0, 7, 100, 743):
        base, step = forecast_of(bodies(raw.path)[number])
        assert step[1] - step[0] == 1
        assert base.astype(int) % 24 in (6, 18)
        assert base + np.timedelta64(step[1], "h") == raw.times[number]


def forecast_of(message: bytes) -> tuple[np.datetime64, tuple[int, int]]:
    """Start of a forecast, and the steps in hours between which a field is accumulated."""
    handle = eccodes.codes_new_from_message(message)
    keys = ("dataDate", "dataTime", "startStep", "endStep")
    date, time, start, end = (eccodes.codes_get(handle, key, ktype=int) for key in keys)
    eccodes.codes_release(handle)
    text = str(date)
    day = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}", "h")
    return day + np.timedelta64(time // 100, "h"), (start, end)


def test_a_coarser_time_step_takes_every_sixth_hour(shared):
    config = uk(shared, step=6)
    download(config)
    assert len(grib.scan(Paths(config).raw("2t", 0, "2019-03"))) == 124


def test_a_reduced_grid_is_refused(shared):
    config = experiment(
        shared / "era5_grib",
        "*N320*",
        {"north": 90, "south": -90, "west": 0, "east": 359.75, "resolution": 0.25},
        [(f"1979-01-0{d}", f"1979-01-0{d}") for d in (1, 2, 3)],
        ["2t"],
    )
    with pytest.raises(DataError, match=r"N320.*message 1 \(2t.*reduced_gg"):
        stage.check(config)


def test_corrupted_grib_is_refused(shared):
    days = [(f"2017-01-0{d}", f"2017-01-0{d}") for d in (1, 2, 3)]
    grid = {"north": 90, "south": -90, "west": 0, "east": 357, "resolution": 3}
    levels = {"type": "pressure", "values": [850]}
    config = experiment(shared / "corrupted", "*.grib", grid, days, ["t"], levels)
    with pytest.raises(DataError, match=r"era5-levels-corrupted.grib, message 1 at byte 0.*corrupted"):
        stage.check(config)
    with pytest.raises(DataError, match="message 1"):
        stage.download(config, "t", "2017-01-01_2017-01-03")
    assert not Paths(config).raw_folder.joinpath("t").exists()


def test_a_grid_the_source_lacks_is_refused_before_any_job(shared):
    config = uk(shared)
    wrong = config.model_copy(
        update={
            "data": config.data.model_copy(update={"grid": config.data.grid.model_copy(update={"north": 57})})
        }
    )
    with pytest.raises(DataError, match=r"2t.*33 x 49 points.*data\.grid \(29 x 49"):
        stage.check(wrong)


def test_dates_the_source_lacks_are_refused_before_any_job(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-04-01", "2019-04-30")]
    with pytest.raises(DataError, match=r"era5-2mt-2019-03-uk\.grib.*2t.*lacks 720 of 720 hours: 2019-04-01"):
        stage.check(uk(shared, days))


def test_a_field_the_source_lacks_is_refused_before_any_job(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    config = experiment(shared / "era5_grib", "era5-2mt-*.grib", UK, days, ["msl"])
    with pytest.raises(SourceError, match="no message of field msl on surface level 0; the files hold 2t"):
        stage.check(config)


def test_a_pattern_that_fits_nothing_is_refused(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    config = experiment(shared / "era5_grib", "{field}/{year}-{month}.grib", UK, days, ["2t"])
    with pytest.raises(SourceError, match=r"2t/2019-03\.grib: no such file.*source\.pattern"):
        stage.check(config)


# -- GRIB gone wrong -----------------------------------------------------------------------------


def altered(shared, change) -> Config:
    """The UK sample with its list of messages changed by ``change``, in a folder of its own."""
    messages = bodies(shared / UK_FILE)
    change(messages)
    Path("archive").mkdir()
    Path("archive/uk.grib").write_bytes(b"".join(messages))
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    return experiment("archive", "*.grib", UK, days, ["2t"])


def refused(config: Config, match: str) -> None:
    for attempt in (stage.check, download):
        with pytest.raises(AtmoRepError, match=match):
            attempt(config)
    assert not list(Paths(config).raw_folder.rglob("*.grib*"))


def test_a_missing_hour_is_refused(shared):
    config = altered(shared, lambda m: m.pop(100))
    refused(config, r"uk\.grib.*2t.*lacks 1 of 744 hours: 2019-03-05T04:00.*source.record_missing: true")


def test_a_missing_hour_is_recorded(shared):
    config = altered(shared, lambda m: m.pop(100))
    lenient = config.model_copy(update={"source": config.source.model_copy(update={"record_missing": True})})
    download(lenient)
    assert len(grib.scan(Paths(lenient).raw("2t", 0, "2019-03"))) == 743


def test_a_doubled_hour_is_refused(shared):
    config = altered(shared, lambda m: m.insert(50, m[300]))
    refused(config, r"uk\.grib, message 302 \(2t.*2019-03-13T12:00.*message 51")


def test_a_doubled_hour_in_two_files_is_refused(shared):
    config = altered(shared, lambda m: None)
    shutil.copy("archive/uk.grib", "archive/zz.grib")
    refused(config, r"zz\.grib, message 1 \(2t.*there already in archive/uk\.grib, message 1")


def test_order_does_not_matter(shared):
    config = altered(shared, lambda m: m.reverse())
    download(config)
    assert bodies(Paths(config).raw("2t", 0, "2019-03")) == bodies(shared / UK_FILE)


@pytest.mark.parametrize("cut", [1, 1000, 3334])
def test_a_truncated_file_is_refused(shared, cut):
    def change(messages):
        messages[-1] = messages[-1][:-cut]

    refused(altered(shared, change), r"uk\.grib, message 744.*truncated")


def test_a_file_that_ends_between_two_messages_lacks_hours(shared):
    refused(altered(shared, lambda m: m.pop()), r"uk\.grib.*lacks 1 of 744 hours: 2019-03-31T23:00")


def test_an_empty_file_is_refused(shared):
    refused(altered(shared, lambda m: m.clear()), r"uk\.grib: holds no GRIB message")


@pytest.mark.parametrize("edition", [1, 2])
def test_levels_of_both_editions(edition):
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    levels = {"type": "pressure", "values": [500, 850]}
    config = experiment("archive", "{field}_{level}_{year}.grib", SMALL, days, ["t"], levels, step=6)
    grid, rng = Grid.from_config(config.data.grid), np.random.default_rng(0)
    states = rng.normal(280, 5, (12, 2, *grid.shape))
    hours = Span.parse("2020-01-01_2020-01-03").hours(6)
    for number, level in enumerate((500, 850)):
        with GribWriter(Path(f"archive/t_{level}_2020.grib"), grid, edition=edition) as writer:
            for time, state in zip(hours, states, strict=True):
                writer.write("t", "pressure", level, time, state[number])
    stage.check(config)
    download(config)
    for number, level in enumerate((500, 850)):
        raw = open_raw(config, "t", level, data_spans(config.data)[0])
        for time, state in zip(hours, states, strict=True):
            np.testing.assert_allclose(raw.read(time), state[number], atol=raw.step(time))


def test_model_levels_are_not_taken_for_pressure_levels():
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    config = experiment(
        "archive", "*.grib", SMALL, days, ["t"], {"type": "pressure", "values": [100]}, step=6
    )
    grid = Grid.from_config(config.data.grid)
    with GribWriter(Path("archive/t.grib"), grid) as writer:
        for time in Span.parse("2020-01-01_2020-01-03").hours(6):
            writer.write("t", "model", 100, time, np.arange(20.0).reshape(grid.shape))
    refused(config, "no message of field t on pressure level 100; the files hold t model 100")


# -- NetCDF and Zarr -----------------------------------------------------------------------------


def test_old_packed_netcdf_on_pressure_levels(shared):
    days = [("2020-01-01", "2020-01-20"), ("2020-01-21", "2020-01-25"), ("2020-01-26", "2020-01-31")]
    levels = {"type": "pressure", "values": [700, 500]}
    config = experiment(
        shared / "era5_netcdf/davos", "PLEV_{year}{month}.nc", DAVOS, days, ["t", "q"], levels
    )
    stage.check(config)
    download(config)
    with xr.open_dataset(shared / "era5_netcdf/davos/PLEV_202001.nc") as data:
        for field, level in (("t", 700), ("t", 500), ("q", 700)):
            raw = open_raw(config, field, level, Span.parse("2020-01"))
            expected = data[field].sel(time="2020-01-17T05", level=level).values.astype(np.float32)
            np.testing.assert_array_equal(raw.read(np.datetime64("2020-01-17T05", "h")), expected)
            scale = data[field].encoding["scale_factor"]
            assert raw.packing(raw.times[0]) == pytest.approx(scale)
            assert raw.step(raw.times[0]) == 0


def test_new_netcdf_with_valid_time(shared):
    days = [("1985-01-01", "1985-12-31"), ("2020-02-01", "2020-02-29"), ("2022-01-01", "2022-01-31")]
    folder = shared / "era5_netcdf/western_europe_1deg_6h"
    config = experiment(folder, "{year}.nc", EUROPE, days, ["msl", "2t"], step=6)
    stage.check(config)
    stage.download(config, "2t", "2020-02")
    raw = open_raw(config, "2t", 0, Span.parse("2020-02"))
    with xr.open_dataset(folder / "2020.nc") as data:
        for time in raw.times[[0, 57, -1]]:
            np.testing.assert_array_equal(raw.read(time), data["t2m"].sel(valid_time=time).values)


def test_hours_netcdf_lacks_are_refused_before_any_job(shared):
    days = [("1985-01-01", "1985-12-31"), ("2020-02-01", "2020-02-29"), ("2022-01-01", "2022-01-31")]
    folder = shared / "era5_netcdf/western_europe_1deg_6h"
    with pytest.raises(DataError, match=r"1985\.nc.*msl.*lacks 124 of 248 hours, the first 1985-01-01T03:00"):
        stage.check(experiment(folder, "{year}.nc", EUROPE, days, ["msl"], step=3))


def gridded(tmp_path, change=lambda d: d, suffix=".nc", field="t2m", **options) -> Config:
    """A small data set in the newest form, as ``change`` leaves it, and a configuration for it."""
    times = np.arange("2020-01-01T00", "2020-01-04T00", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    values = np.random.default_rng(0).normal(280, 5, (12, 4, 5)).astype(np.float32)
    data = xr.Dataset(
        {field: (("valid_time", "latitude", "longitude"), values, {"units": "K"})},
        coords={"valid_time": times, "latitude": [3.0, 2, 1, 0], "longitude": [0.0, 1, 2, 3, 4]},
    )
    changed = change(data)
    if suffix == ".zarr":
        changed.to_zarr("data.zarr")
    else:
        changed.to_netcdf("data.nc")
    data.to_netcdf("truth.nc")
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    return experiment(
        tmp_path, f"data{suffix}", SMALL, days, options.pop("fields", ["2t"]), step=6, **options
    )


def read_back(config: Config, field="2t", level=0) -> np.ndarray:
    stage.check(config)
    download(config)
    raw = open_raw(config, field, level, data_spans(config.data)[0])
    return np.stack([raw.read(time) for time in raw.times])


def truth() -> np.ndarray:
    with xr.open_dataset("truth.nc") as data:
        return data["t2m"].values


def _expver(data):
    """Old mixtures of ERA5 and ERA5T: a dimension, NaN where the other version holds."""
    final = data.assign(t2m=data["t2m"].where(data["valid_time"] < np.datetime64("2019-01-01")))
    return xr.concat([final, data], xr.DataArray([1, 5], dims="expver", name="expver"))


FORMS = {
    "as it is": lambda d: d,
    "old names": lambda d: d.rename(valid_time="time"),
    "short coordinates": lambda d: d.rename(latitude="lat", longitude="lon"),
    "south to north": lambda d: d.isel(latitude=slice(None, None, -1)),
    "any order of dimensions": lambda d: d.transpose("longitude", "valid_time", "latitude"),
    "canonical name": lambda d: d.rename(t2m="2t"),
    "long name": lambda d: d.rename(t2m="2m_temperature"),
    "celsius": lambda d: d.assign(t2m=(d["t2m"].astype("f8") - 273.15).assign_attrs(units="degC")),
    "member": lambda d: d.expand_dims(number=[0]).assign_coords(expver=("valid_time", ["0001"] * 12)),
    "unordered times": lambda d: d.isel(valid_time=[3, 1, 2, 0, *range(11, 3, -1)]),
    "east of 360": lambda d: d.assign_coords(longitude=d["longitude"] - 360),
    "all preliminary": _expver,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_forms_of_era5(tmp_path, form, suffix):
    config = gridded(tmp_path, FORMS[form], suffix)
    np.testing.assert_allclose(read_back(config), truth(), atol=2e-5 if form == "celsius" else 0)


def test_global_longitudes_from_minus_180(tmp_path):
    lon = np.arange(-180.0, 180, 10)
    times = np.arange("2020-01-01T00", "2020-01-04T00", 6, dtype="datetime64[h]").astype("datetime64[ns]")
    field = lon[None, None] + np.arange(19.0)[None, :, None] * 1000 + np.zeros((12, 1, 1))
    data = xr.Dataset(
        {"u10": (("time", "latitude", "longitude"), field, {"units": "m/s"})},
        coords={"time": times, "latitude": np.arange(90.0, -91, -10), "longitude": lon},
    )
    data.to_netcdf("world.nc")
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    grid = {"north": 90, "south": -90, "west": 0, "east": 350, "resolution": 10}
    got = read_back(experiment(tmp_path, "world.nc", grid, days, ["10u"], step=6), "10u")
    expected = (np.arange(0.0, 360, 10) + 180) % 360 - 180
    np.testing.assert_array_equal(got[0, 1], expected + 1000)


def test_precipitation_in_millimetres(tmp_path):
    def change(data):
        return data.rename(t2m="tp").assign(tp=lambda d: (d["tp"] * 0.01).assign_attrs(units="mm"))

    got = read_back(gridded(tmp_path, change, fields=["tp"]), "tp")
    np.testing.assert_allclose(got, truth() * 1e-5, rtol=1e-6)


def _levels(data, name, values, units):
    data = data.rename(t2m="t").expand_dims({name: values}, axis=1)
    data[name].attrs["units"] = units
    return data.assign(
        t=(data["t"] + xr.DataArray(np.arange(len(values)) * 10.0, dims=name)).assign_attrs(units="K")
    )


@pytest.mark.parametrize(
    ("kind", "name", "values", "units"),
    [
        ("pressure", "pressure_level", [850.0, 500.0], "hPa"),
        ("pressure", "level", [850, 500], "millibars"),
        ("pressure", "isobaricInhPa", [850.0, 500.0], "hPa"),
        ("pressure", "plev", [85000.0, 50000.0], "Pa"),
        ("model", "model_level", [96.0, 137.0], "1"),
        ("model", "hybrid", [96.0, 137.0], "1"),
        ("model", "level", [96, 137], "1"),
    ],
)
def test_names_of_levels(tmp_path, kind, name, values, units):
    wanted = [500, 850] if kind == "pressure" else [137, 96]
    config = gridded(
        tmp_path,
        lambda d: _levels(d, name, values, units),
        fields=["t"],
        levels={"type": kind, "values": wanted},
    )
    np.testing.assert_allclose(read_back(config, "t", wanted[0]), truth() + 10, rtol=1e-6)
    np.testing.assert_allclose(read_back(config, "t", wanted[1]), truth(), rtol=1e-6)


def test_a_level_netcdf_lacks_is_refused(tmp_path):
    config = gridded(
        tmp_path,
        lambda d: _levels(d, "pressure_level", [850.0, 500.0], "hPa"),
        fields=["t"],
        levels={"type": "pressure", "values": [850, 700]},
    )
    with pytest.raises(SourceError, match=r"data\.nc, field t: lacks pressure level 700; it holds 850, 500"):
        stage.check(config)


def test_pressure_levels_are_not_taken_for_model_levels(tmp_path):
    config = gridded(
        tmp_path, lambda d: _levels(d, "level", [100, 50], "hPa"), fields=["t"], levels={"values": [100]}
    )
    with pytest.raises(SourceError, match="no coordinate of model levels"):
        stage.check(config)


def _nan(data):
    data["t2m"][5, 2, 2] = np.nan
    return data.copy(deep=True)


def _half(data):
    return data.assign_coords(valid_time=data["valid_time"] + np.timedelta64(30, "m"))


def _paramid(data):
    data["t2m"].attrs["GRIB_paramId"] = 168
    return data


BAD = {
    "missing hour": (
        lambda d: d.isel(valid_time=[0, 1, 2, *range(4, 12)]),
        "2t.*lacks 1 of 12 hours, the first 2020-01-01T18",
    ),
    "double hour": (
        lambda d: d.isel(valid_time=[0, 1, 1, *range(2, 12)]),
        "2t.*2020-01-01T06:00 is there twice",
    ),
    "ambiguous unit": (lambda d: d.assign(t2m=d["t2m"].assign_attrs(units="F")), "2t: its unit 'F' is not K"),
    "no unit": (lambda d: d.assign(t2m=d["t2m"].drop_attrs()), "2t: its unit '' is not K"),
    "other grid": (lambda d: d.isel(longitude=slice(0, 4)), "2t: its grid of 4 x 4 points"),
    "shifted grid": (lambda d: d.assign_coords(latitude=d["latitude"] + 0.5), r"2t: its grid.*3.5N"),
    "other field": (lambda d: d.rename(t2m="d2m"), "2t: no variable 2t or t2m.*holds d2m"),
    "other paramId": (_paramid, "2t: variable t2m has paramId 168, not 167"),
    "half hours": (_half, "2t: 2020-01-01T00:30.* no full hour"),
    "members": (lambda d: xr.concat([d, d], "number"), r"2t: has the dimension number \(2\)"),
    "mixed versions": (
        lambda d: d.assign_coords(expver=("valid_time", ["0001"] * 6 + ["0005"] * 6)),
        "2t.*mixes experiment versions 0001, 0005",
    ),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_netcdf_is_refused_before_any_job(tmp_path, fault):
    change, match = BAD[fault]
    config = gridded(tmp_path, change)
    for attempt in (stage.check, download):
        with pytest.raises(AtmoRepError, match=rf"data\.nc.*{match}"):
            attempt(config)
    assert not list(Paths(config).raw_folder.rglob("*.nc*"))


def test_nan_is_refused_naming_the_hour(tmp_path):
    config = gridded(tmp_path, _nan)
    with pytest.raises(DataError, match=r"data\.nc, field 2t, level 0, 2020-01-02T06:00: 1 of 20 values"):
        download(config)
    assert not list(Paths(config).raw_folder.rglob("*.nc*"))


def test_an_hour_of_nothing_but_nan_is_missing(tmp_path):
    def change(data):
        return data.assign(t2m=data["t2m"].where(data["valid_time"] != np.datetime64("2020-01-02T06")))

    with pytest.raises(DataError, match=r"2020-01-02T06:00.*record_missing"):
        download(gridded(tmp_path, change))
    lenient = gridded(tmp_path, change, record_missing=True)
    assert read_back(lenient).shape == (11, 4, 5)


def test_old_mixed_versions_are_refused(tmp_path):
    def change(data):
        early = data["valid_time"] < np.datetime64("2020-01-02")
        parts = [data.assign(t2m=data["t2m"].where(keep)) for keep in (early, ~early)]
        return xr.concat(parts, xr.DataArray([1, 5], dims="expver", name="expver"))

    with pytest.raises(DataError, match="mixes experiment versions 1, 5"):
        stage.check(gridded(tmp_path, change))


def test_a_broken_netcdf_is_refused(tmp_path):
    config = gridded(tmp_path)
    data = Path("data.nc").read_bytes()
    Path("data.nc").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"data\.nc: cannot be read"):
        stage.check(config)


def test_a_name_in_the_path_stands_for_the_level(tmp_path):
    config = gridded(tmp_path, lambda d: d.rename(t2m="t"), fields=["t"], levels={"values": [137]})
    Path("t_137.nc").write_bytes(Path("data.nc").read_bytes())
    source = config.source.model_copy(update={"pattern": "{field}_{level}.nc"})
    named = config.model_copy(update={"source": source})
    np.testing.assert_array_equal(read_back(named, "t", 137), truth())
    with pytest.raises(SourceError, match="no coordinate of model levels"):
        stage.check(config)


def test_an_unknown_group_is_refused(tmp_path):
    with pytest.raises(SourceError, match="group 'q' is not one of 2t"):
        stage.download(gridded(tmp_path), "q", "2020-01-01_2020-01-03")


def test_raw_netcdf_describes_itself(tmp_path):
    config = gridded(tmp_path)
    download(config)
    with netCDF4.Dataset(Paths(config).raw("2t", 0, data_spans(config.data)[0])) as file:
        assert file["2t"].dimensions == ("time", "latitude", "longitude")
        assert (file.level, file.span) == (0, "2020-01-01_2020-01-03")
        assert file["2t"].dtype == np.float32
