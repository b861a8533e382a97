"""The source 'files': NetCDF and Zarr, in the forms ERA5 has had, and what goes wrong with them."""

from pathlib import Path

import netCDF4
import numpy as np
import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)
import pytest
import xarray as xr
from files_on_disk import DAVOS, EUROPE, SMALL, download, experiment

from atmorep.config import Config
from atmorep.errors import AtmoRepError, DataError, SourceError
from atmorep.paths import Paths
from atmorep.sources import stage
from atmorep.sources.raw import open_raw
from atmorep.timeaxis import Span, data_spans


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
