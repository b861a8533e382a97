"""A target is swapped by configuration alone: other products, grids and forms, through the same stages.

Hours are added to real files on their own grids, since one of them has a month and the other no temperature.
"""

import bz2
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy.interpolate import RegularGridInterpolator

from atmorep.artefacts import read_json
from atmorep.config import Config, merged, parse
from atmorep.downstream.finetune import finetune
from atmorep.downstream.fitted import fit
from atmorep.downstream.statics import read_static
from atmorep.errors import ConfigError, IntegrityError
from atmorep.evaluation.downstream import evaluate_task
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.stage import download as download_fields
from atmorep.store import convert as fields
from atmorep.store.statistics import merge, partial
from atmorep.targets.convert import convert, open_regridder
from atmorep.targets.product import open_product
from atmorep.targets.stage import download, download_static
from atmorep.targets.statics import static
from atmorep.targets.store import TargetReader, evaluation_grid

from .experiment import DAYS, experiment

import eccodes  # isort: skip  (after pyproj)

CORDEX = "rotated_grid/tas_rotated_grid_EUR11.nc"
COSMO = "rotated_grid/dwd_cosmo_eu_FIS_rotated_ll.grib1"
FIRST = 29 * 24
HOURS = np.arange("2020-01-29T00", "2020-02-03T00", dtype="datetime64[h]")
NORTH_POLE = np.radians(39.25)


def diurnal(time: np.ndarray) -> np.ndarray:
    """Departure in K: three degrees, warmest at 15 UTC."""
    return 3 * np.cos((time.astype("datetime64[h]").astype(int) % 24 - 15) * np.pi / 12)


def rotated(latitude: np.ndarray, longitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latitude and longitude in the rotated frame of the regional model, turned by 18 degrees."""
    y, x = np.radians(latitude), np.radians(longitude - 18)
    sine = np.sin(y) * np.sin(NORTH_POLE) - np.cos(y) * np.cos(x) * np.cos(NORTH_POLE)
    east = np.cos(y) * np.sin(x)
    north = np.cos(y) * np.cos(x) * np.sin(NORTH_POLE) + np.sin(y) * np.cos(NORTH_POLE)
    return np.degrees(np.arcsin(sine)), np.degrees(np.arctan2(east, north))


def brought(config: Config, spans: tuple[str, ...] = DAYS) -> TargetReader:
    """The target through its stages."""
    for span in spans:
        download(config, "fine", span)
        convert(config, "fine", span)
    return TargetReader(config, "fine")


def whole(reader: TargetReader, steps: int = 96) -> np.ndarray:
    return reader.read(FIRST, steps, 0, reader.grid.shape[0], 0, reader.grid.shape[1])


def files(folder: Path, pattern: str) -> dict[str, Any]:
    return {"kind": "files", "folder": str(folder), "pattern": pattern}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# -- a regional climate model, NetCDF --------------------------------------------------------------


def test_a_monthly_mean_regrids_and_makes_no_hours(shared: Path, work: Path) -> None:
    target = {
        "source": files(shared / "rotated_grid", "tas_*.nc"),
        "variable": "tas",
        "time": {"kind": "mean"},
    }
    config = experiment({**target, "method": "bilinear"}, start="2006-01-10")
    grid, declared = evaluation_grid(config, "fine"), config.targets["fine"]
    product = open_product(declared, [shared / CORDEX])
    values = open_regridder("fine", product, declared, grid, 0.5)(product.read(0))
    with xr.open_dataset(shared / CORDEX) as file:
        rlat, rlon, tas = (file[name].to_numpy().squeeze() for name in ("rlat", "rlon", "tas"))
    y, x = rotated(grid.latitude[:, None], grid.longitude[None])
    expected = RegularGridInterpolator((rlat, rlon), tas)((y, x))
    np.testing.assert_allclose(values, expected, atol=0.02)
    assert np.ptp(expected) > 5
    download(config, "fine", "2006-01-10_2006-01-13")
    with pytest.raises(ConfigError, match=r"window_hours = 1: values of the files stand for 44640 minutes"):
        convert(config, "fine", "2006-01-10_2006-01-13")


def hourly_cordex(shared: Path, folder: Path) -> dict[str, Any]:
    """Hourly means in the file's structure, on the part of its grid around the region."""
    folder.mkdir()
    with xr.open_dataset(shared / CORDEX, decode_times=False) as file:
        y, x = rotated(np.array([[45], [57]]), np.arange(3.0, 19)[None])
        part = file.sel(rlat=slice(y.min(), y.max()), rlon=slice(x.min(), x.max())).load()
    origin = np.datetime64("1949-12-01", "h")
    for month in ("2020-01", "2020-02"):
        ends = HOURS[HOURS.astype("datetime64[M]") == np.datetime64(month)]
        ends = ends[1:] if month == "2020-02" else np.append(ends, np.datetime64("2020-02-01T00"))
        days = (ends - origin).astype(float) / 24
        bounds = np.stack([days - 1 / 24, days], 1)
        hourly = part.isel(time=np.zeros(len(days), int)).assign_coords(
            time=("time", bounds.mean(1), part["time"].attrs)
        )
        hourly["time_bnds"] = ("time", "bnds"), bounds, part["time_bnds"].attrs
        hourly["tas"] = (hourly["tas"] + diurnal(ends)[:, None, None, None]).astype("f4")
        hourly["tas"].attrs = part["tas"].attrs
        hourly.to_netcdf(folder / f"tas_{month.replace('-', '')}.nc")
    source = files(folder, "tas_{year}{month}.nc")
    return {"source": source, "variable": "tas", "units": "K", "time": {"kind": "mean"}}


def test_hourly_means_on_the_grid_of_the_regional_model(shared: Path, work: Path) -> None:
    reader = brought(experiment(hourly_cordex(shared, work / "cordex") | {"method": "bilinear"}))
    assert reader.available()[FIRST:].all()
    with xr.open_dataset(shared / CORDEX) as file:
        rlat, rlon, tas = (file[name].to_numpy().squeeze() for name in ("rlat", "rlon", "tas"))
    y, x = rotated(reader.grid.latitude[:, None], reader.grid.longitude[None])
    expected = RegularGridInterpolator((rlat, rlon), tas)((y, x))
    times = reader.axis.at(np.arange(FIRST, FIRST + 96))
    np.testing.assert_allclose(whole(reader), expected + diurnal(times)[:, None, None], atol=0.02)


# -- a weather service's model, GRIB 1 packed by bzip2, with its geopotential as a static field ------


ROWS, COLUMNS = slice(208, 347), slice(188, 325)
"""The part of the grid around the region: 3.125 S to 5.5 N, 4 W to 4.5 E, rotated."""
PART = {
    "Ni": 137,
    "Nj": 139,
    "latitudeOfFirstGridPointInDegrees": -3.125,
    "latitudeOfLastGridPointInDegrees": 5.5,
    "longitudeOfFirstGridPointInDegrees": -4.0,
    "longitudeOfLastGridPointInDegrees": 4.5,
}
TEMPERATURE = {"indicatorOfParameter": 11, "indicatorOfTypeOfLevel": 105, "level": 2, "bitsPerValue": 16}


def geopotential_and_template(path: Path) -> tuple[np.ndarray, int]:
    """Values of a part of the grid, from south to north, and a message of temperature there."""
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
    values = eccodes.codes_get_values(handle).reshape(415, 511)[ROWS, COLUMNS]
    for key, value in (PART | TEMPERATURE).items():
        eccodes.codes_set(handle, key, value)
    return values, handle


def cosmo(shared: Path, folder: Path) -> dict[str, Any]:
    """Hourly 2 m temperature on the grid of the file, colder with height; a bz2 of GRIB a month."""
    folder.mkdir()
    geopotential, handle = geopotential_and_template(shared / COSMO)
    for month in ("2020-01", "2020-02"):
        messages = b""
        for time in HOURS[HOURS.astype("datetime64[M]") == np.datetime64(month)]:
            moment = time.item()
            eccodes.codes_set(handle, "dataDate", int(f"{moment:%Y%m%d}"))
            eccodes.codes_set(handle, "dataTime", 100 * moment.hour)
            eccodes.codes_set_values(handle, (285 - 0.0065 * geopotential / 9.80665 + diurnal(time)).ravel())
            messages += eccodes.codes_get_message(handle)
        packed = folder / f"T_2M.2D.{month.replace('-', '')}.grb.bz2"
        packed.write_bytes(bz2.compress(messages, 1))
    eccodes.codes_release(handle)
    return {"source": files(folder, "T_2M.2D.{year}{month}.grb.bz2"), "variable": "2t", "units": "K"}


def hilly(shared: Path) -> dict[str, Any]:
    source = files(shared / "rotated_grid", "dwd_cosmo_eu_FIS_rotated_ll.grib1")
    return {"hsurf": {"source": source, "variable": "FIS", "units": "m"}}


TASK = {
    "kind": "target",
    "target": "fine",
    "guess": {"field": "2t"},
    "fields": ["2t"],
    "statics": ["hsurf"],
    "core": "scratch",
    "head": {"embed_dim": 16, "heads": 2, "blocks": 1, "channels": 4, "layers": 1, "tails": 3},
    "baselines": ["bilinear", "lapse_rate"],
    "scores": {"every_hours": 1},
    "training": {
        "epochs": 1, "samples_per_epoch": 8, "validation_samples": 4, "batch_size": 4, "warmup_epochs": 0
    },
}  # fmt: skip


def coarse(config: Config, height: np.ndarray) -> np.ndarray:
    """Heights of the points of ``data.grid``, those outside the region as the nearest within."""
    grid = Grid.from_config(config.data.grid)
    points = height.reshape(height.shape[0] // 2, 2, -1, 2).mean((1, 3))
    parts = zip(grid.part(config.targets["fine"].region), grid.shape, strict=True)
    return np.pad(points, [(part.start, size - part.stop) for part, size in parts], mode="edge")


def deliver(config: Config, height: np.ndarray) -> None:
    """Bring the field that is downscaled to its store: the same weather over hills of ``height``."""
    grid = Grid.from_config(config.data.grid)
    config.source.folder.mkdir()
    for month in ("2020-01", "2020-02"):
        path = config.source.folder / f"2t_{month.replace('-', '')}.grib"
        with GribWriter(path, grid) as writer:
            for time in HOURS[HOURS.astype("datetime64[M]") == np.datetime64(month)]:
                writer.write("2t", "surface", 0, time, 285 - 0.0065 * height + diurnal(time))
    for span in DAYS:
        download_fields(config, "2t", span)
        fields.convert(config, "2t", span)
    partial(config, "2t", DAYS[0])
    merge(config, "2t")


def test_downscaling_to_a_weather_service_s_grid(shared: Path, work: Path) -> None:
    network = {
        "embed_dim": 16,
        "info_dim": 4,
        "heads": 2,
        "encoder_blocks": 1,
        "decoder_blocks": 1,
        "tails": 2,
    }
    plain = experiment(cosmo(shared, work / "cosmo")).model_dump(mode="json")
    changes = {
        "statics": hilly(shared),
        "finetune": {"hills": TASK},
        "network": network,
    }
    config = parse(merged(plain, changes))
    download_static(config, "hsurf")
    static(config, "hsurf", "fine")
    reader = brought(config)
    grid = evaluation_grid(config, "fine")
    height = read_static(Paths(config).static("hsurf", "fine"), grid)
    times = reader.axis.at(np.arange(FIRST, FIRST + 96))
    # What is linear in the height is so after regridding; 16 bits pack temperature to a thousandth.
    expected = 285 - 0.0065 * height + diurnal(times)[:, None, None]
    np.testing.assert_allclose(whole(reader), expected, atol=2e-3)
    assert np.nanmax(height) > 900  # the Alps
    deliver(config, coarse(config, height))
    finetune(config, "hills")
    fit(config, "hills")
    evaluate_task(config, "hills")
    fitted = read_json(Paths(config).baseline("hills") / "fitted.json")["lapse_rate"]
    assert fitted["rate"] == pytest.approx(-0.0065, rel=0.01)
    metrics = pd.read_csv(Paths(config).task_evaluation("hills") / "metrics.csv")
    rmse = metrics[metrics.metric == "rmse"].groupby("model").value.first()
    assert rmse["lapse_rate"] < 0.02 < rmse["bilinear"]
    assert np.isfinite(rmse["atmorep"])


# -- a plain grid in Zarr: other order of latitudes, other longitudes --------------------------------


def test_a_zarr_store_from_south_to_north_and_from_greenwich_eastward(work: Path) -> None:
    latitude, longitude = np.arange(40, 60, 0.25), np.arange(0, 360, 1.0)

    def celsius(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
        return 10 - 0.5 * (latitude - 50) + 4 * np.sin(np.radians(longitude))

    values = celsius(latitude[:, None], longitude) + diurnal(HOURS)[:, None, None]
    axes = {"time": HOURS.astype("datetime64[ns]"), "lat": latitude, "lon": longitude}
    data = xr.DataArray(values.astype("f4"), axes, ("time", "lat", "lon"), attrs={"units": "degC"})
    data.to_dataset(name="tas").to_zarr(work / "plain.zarr")
    target = {"source": files(work, "plain.zarr"), "variable": "tas", "units": "degC"}
    target["region"] = {"north": 54.2, "south": 47.8, "west": -4.1, "east": 3.1}
    plain = experiment(target).model_dump(mode="json")
    config = parse(merged(plain, {"data": {"grid": {"west": -6, "east": 6}}}))
    reader = brought(config)
    assert reader.grid.longitude[0] < 0 < reader.grid.longitude[-1]
    expected = celsius(reader.grid.latitude[:, None], reader.grid.longitude) + 273.15
    times = reader.axis.at(np.arange(FIRST, FIRST + 96))
    # Means over cells of a degree in longitude may be half a degree off: 4 K * pi / 360.
    np.testing.assert_allclose(whole(reader), expected + diurnal(times)[:, None, None], atol=0.04)


# -- radar, an hour that ends at minute 50 -----------------------------------------------------------


def test_an_hour_of_operational_radar(shared: Path, work: Path) -> None:
    """RADOLAN RW of 20:50 UTC is the hour of 21 UTC but for ten minutes; all other hours are missing."""
    target = {
        "source": files(shared / "radar_precip/radolan_wradlib", "raa01-rw_10000-14{month}{day}*-bin.gz"),
        "variable": "RW",
        "units": "mm",
        "field": "tp",
        "time": {"kind": "sum", "offset_minutes": 10},
    }
    span = "2014-08-10_2014-08-13"
    reader = brought(experiment(target, start="2014-08-10"), (span,))
    (there,) = np.flatnonzero(reader.available())
    assert reader.axis.at(there) == np.datetime64("2014-08-10T21")
    got = reader.read(int(there), 1, 0, reader.grid.shape[0], 0, reader.grid.shape[1])[0]
    config = experiment(target, start="2014-08-10")
    (listed,) = read_json(Paths(config).target_raw("fine", span))["files"]
    product = open_product(config.targets["fine"], [Path(listed["path"])])
    y, x, rain = product.geometry.latitude, product.geometry.longitude, product.read(0)
    for row, column in zip(
        *np.unravel_index(np.argsort(np.nan_to_num(got).ravel())[-3:], got.shape), strict=True
    ):
        centre = reader.grid.latitude[row], reader.grid.longitude[column]
        inside = (np.abs(y - centre[0]) < 0.25) & (np.abs(x - centre[1]) < 0.25)
        assert got[row, column] == pytest.approx(np.nanmean(rain[inside]), rel=0.05)
        assert got[row, column] > 1e-4


# -- wind of which each component has files of its own, and what is absent ---------------------------


def test_components_of_wind_in_files_of_their_own_are_turned(shared: Path, work: Path) -> None:
    """An eastward wind of 10 m/s, in the axes of the regional model, at the angle between meridians."""
    target = hourly_cordex(shared, work / "temperature")
    for name in ("uas", "vas"):
        (work / name).mkdir()
    for path in (work / "temperature").iterdir():
        with xr.open_dataset(path, decode_times=False) as file:
            product = open_product(experiment(target).targets["fine"], [path])
            angle = product.geometry.angle
            for name, part in (("uas", np.cos(angle)), ("vas", -np.sin(angle))):
                wind = file.rename(tas=name)
                wind[name] = (file["tas"].dims, np.broadcast_to(10 * part, file["tas"].shape).astype("f4"),
                              file["tas"].attrs | {"units": "m s-1", "standard_name": name})  # fmt: skip
                wind.to_netcdf(work / name / path.name)
    sources = {name: files(work / name, "tas_{year}{month}.nc") for name in ("uas", "vas")}
    east, north = (
        {**target, "source": sources[name], "partner_source": sources[other], "variable": name,
         "partner": other, "vector": name[0], "units": "m s-1", "field": f"10{name[0]}"}
        for name, other in (("uas", "vas"), ("vas", "uas"))
    )  # fmt: skip
    np.testing.assert_allclose(whole(brought(experiment(east))), 10, rtol=1e-5)
    np.testing.assert_allclose(whole(brought(experiment(north))), 0, atol=1e-4)


def test_a_month_that_was_not_downloaded_is_named(work: Path) -> None:
    config = experiment()
    with pytest.raises(IntegrityError) as error:
        convert(config, "fine", DAYS[1])
    assert str(Paths(config).target_raw("fine", DAYS[1])) in str(error.value)
    assert DAYS[1] in str(error.value)
