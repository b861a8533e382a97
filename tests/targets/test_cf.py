"""Products in NetCDF and Zarr: grids, times, units, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from atmorep.config import Target
from atmorep.errors import DataError
from atmorep.targets.product import open_product
from atmorep.targets.radolan import CRS, composite_geometry
from tests.targets.products import static, target

ROTATED = "rotated_grid/tas_rotated_grid_EUR11.nc"
TEMPERATURE = target("t", "degC", "2t")


def dataset(**attributes: Any) -> xr.Dataset:
    """Two times on a plain grid of 3 x 4 points, rows from south to north."""
    values = np.arange(24.0).reshape(2, 3, 4)
    values[0, 1, 2] = np.nan
    return xr.Dataset(
        {"t": (("time", "lat", "lon"), values, {"units": "degC", **attributes})},
        {
            "time": np.array(["2020-01-01T01", "2020-01-01T00"], "M8[ns]"),
            "lat": ("lat", [50.0, 51, 52], {"standard_name": "latitude", "units": "degrees_north"}),
            "lon": ("lon", [358.0, 359, 360, 361], {"standard_name": "longitude", "units": "degrees_east"}),
        },
    )


def written(data: xr.Dataset, path: Path, **encoding: Any) -> Path:
    """Write a dataset."""
    data.to_netcdf(path, encoding={"t": encoding} if encoding else None)
    return path


def test_monthly_mean_of_the_european_model(shared: Path) -> None:
    """Corner of CORDEX's domain EUR-11: rotated by the spherical formula; its value read by xarray."""
    product = open_product(target("tas", "K", "2t", kind="mean"), [shared / ROTATED])
    np.testing.assert_array_equal(product.intervals, np.array([["2006-01-01", "2006-02-01"]], "M8[m]"))
    geometry = product.geometry
    assert geometry.shape == (412, 424)
    pole, x, y = np.radians(39.25), np.radians(-28.375), np.radians(-23.375)
    north = np.arcsin(np.sin(y) * np.sin(pole) + np.cos(y) * np.cos(x) * np.cos(pole))
    east = 18 + np.degrees(
        np.arctan2(np.cos(y) * np.sin(x), np.sin(pole) * np.cos(y) * np.cos(x) - np.cos(pole) * np.sin(y))
    )
    assert geometry.latitude[0, 0] == pytest.approx(np.degrees(north), abs=1e-8)
    assert geometry.longitude[0, 0] == pytest.approx(east, abs=1e-8)
    with xr.open_dataset(shared / ROTATED) as file:
        np.testing.assert_array_equal(product.read(0), file["tas"].to_numpy()[0, 0])


def test_static_field_has_coordinates_of_both_kinds(shared: Path) -> None:
    product = open_product(static("HSURF", "m"), [shared / "rotated_grid/HSURF_regional_model_0.11deg.nc"])
    assert len(product.intervals) == 1
    with xr.open_dataset(shared / "rotated_grid/HSURF_regional_model_0.11deg.nc") as file:
        np.testing.assert_allclose(product.geometry.latitude, file["lat"], atol=2e-5)
        np.testing.assert_allclose(product.geometry.longitude, file["lon"], atol=2e-5)
        np.testing.assert_array_equal(product.read(0), file["HSURF"].to_numpy()[0])


@pytest.mark.parametrize("suffix", ["nc", "zarr"])
def test_regular_grid(tmp_path: Path, suffix: str) -> None:
    path, data = tmp_path / f"a.{suffix}", dataset()
    if suffix == "zarr":
        data.to_zarr(path)
    else:
        written(data, path, dtype="i2", scale_factor=0.5, add_offset=3.0, _FillValue=-9)
    product = open_product(TEMPERATURE, [path])
    np.testing.assert_array_equal(
        product.intervals[:, 0], np.array(["2020-01-01T00", "2020-01-01T01"], "M8[m]")
    )
    np.testing.assert_allclose(product.read(0)[0], np.arange(12, 16) + 273.15, rtol=1e-6)
    assert np.isnan(product.read(1)).sum() == 1
    np.testing.assert_array_equal(product.geometry.corner_latitude[:, 0], [49.5, 50.5, 51.5, 52.5])
    np.testing.assert_array_equal(product.geometry.angle, 0)


def radklim(folder: Path, kilometres: str) -> Path:
    """RADKLIM's NetCDF: RR in kg m-2, x and y in m, but a projection that counts in ``kilometres``."""
    geometry = composite_geometry((1100, 900))
    x, y = (f + 1000 * (np.arange(n) + 0.5) for f, n in ((-443462.16692, 900), (-4758644.72427, 1100)))
    wkt = CRS.to_wkt().replace('LENGTHUNIT["metre",1]', kilometres)
    values = np.zeros((1, 1100, 900), np.float32)
    values[0, 3, 5] = 1.2
    data = xr.Dataset(
        {
            "t": (("time", "y", "x"), values, {"units": "kg m-2", "grid_mapping": "crs"}),
            "crs": ((), 0, {"crs_wkt": wkt}),
            "lat": (("y", "x"), geometry.latitude, {"standard_name": "latitude"}),
            "lon": (("y", "x"), geometry.longitude, {"standard_name": "longitude"}),
        },
        {
            "time": np.array(["2017-08-16T01:50"], "M8[ns]"),
            "x": ("x", x, {"standard_name": "projection_x_coordinate", "units": "m"}),
            "y": ("y", y, {"standard_name": "projection_y_coordinate", "units": "m"}),
        },
    )
    return written(data, folder / "RW_2017.002_201708.nc")


def test_radklim_in_netcdf_lies_where_the_binaries_do(tmp_path: Path) -> None:
    path = radklim(tmp_path, 'LENGTHUNIT["kilometre",1000]')
    product = open_product(target("t", "mm", "tp", kind="sum"), [path])
    np.testing.assert_array_equal(
        product.intervals, np.array([["2017-08-16T00:50", "2017-08-16T01:50"]], "M8[m]")
    )
    assert product.read(0)[3, 5] == pytest.approx(1.2e-3)
    expected = composite_geometry((1100, 900))
    np.testing.assert_allclose(product.geometry.corner_latitude, expected.corner_latitude, atol=1e-6)
    np.testing.assert_allclose(product.geometry.angle, expected.angle, atol=1e-8)


@pytest.mark.parametrize(
    ("label", "start", "end"),
    [
        ("end", "2019-12-31T23:30", "2020-01-01T00:00"),
        ("start", "2020-01-01T00:00", "2020-01-01T00:30"),
    ],
)
def test_labels_without_bounds(tmp_path: Path, label: str, start: str, end: str) -> None:
    declared = target("t", "degC", "2t", kind="mean", interval_minutes=30, label=label)
    intervals = open_product(declared, [written(dataset(), tmp_path / "a.nc")]).intervals
    np.testing.assert_array_equal(intervals[0], np.array([start, end], "M8[m]"))


def test_two_dimensional_bounds_are_the_corners(tmp_path: Path) -> None:
    y, x = np.mgrid[50.0:53, 5.0:9]
    corners = [(-0.5, 0.5), (0.5, 0.5), (0.5, -0.5), (-0.5, -0.5)]
    data = xr.Dataset(
        {
            "t": (("time", "j", "i"), dataset()["t"].to_numpy(), {"units": "K"}),
            "lat_b": (("j", "i", "v"), np.stack([y + dy for dy, _ in corners], -1)),
            "lon_b": (("j", "i", "v"), np.stack([x + dx for _, dx in corners], -1)),
        },
        {
            "time": dataset()["time"],
            "lat": (("j", "i"), y, {"standard_name": "latitude", "bounds": "lat_b"}),
            "lon": (("j", "i"), x, {"standard_name": "longitude", "bounds": "lon_b"}),
        },
    )
    geometry = open_product(target("t", "K", "2t"), [written(data, tmp_path / "a.nc")]).geometry
    expected_y, expected_x = np.mgrid[49.5:53, 4.5:9]
    np.testing.assert_array_equal(geometry.corner_latitude, expected_y)
    np.testing.assert_array_equal(geometry.corner_longitude, expected_x)


def late(data: xr.Dataset) -> xr.Dataset:
    return data.assign_coords(time=data["time"] + np.timedelta64(20, "s"))


def levels(data: xr.Dataset) -> xr.Dataset:
    return data.expand_dims(height=[2.0, 10.0])


@pytest.mark.parametrize(
    ("declared", "change", "message"),
    [
        (target("q", "1", "q"), dataset, "has no variable q, but t; correct 'variable'"),
        (target("t", "degC", "msl"), dataset, "declared by the configuration: its unit 'degC' is not Pa"),
        (target("t", "Pa", "msl"), dataset, "its unit 'degC' is not Pa"),
        (TEMPERATURE, lambda: levels(dataset()), r"dimension height \(2\) besides time and space"),
        (TEMPERATURE, lambda: dataset(cell_methods="time: mean"), "kind mean, but the target"),
        (TEMPERATURE, lambda: dataset(grid_mapping="crs"), "grid mapping crs, which the file lacks"),
        (TEMPERATURE, lambda: dataset().drop_vars(["lat", "lon"]), "neither coordinates of rows"),
        (TEMPERATURE, lambda: dataset().isel(time=[0, 0]), "2020-01-01T01:00, as .* does; keep one"),
        (TEMPERATURE, lambda: late(dataset()), "2020-01-01T01:00:20.* is no full minute"),
        (static("t", "degC"), dataset, "holds 2 times of t; a static field has one"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, declared: Target, change: Any, message: str
) -> None:
    path = written(change(), tmp_path / "bad.nc")
    with pytest.raises(DataError, match=message) as error:
        open_product(declared, [path])
    assert str(path) in str(error.value)


def test_mixed_grids_and_broken_files_are_refused(tmp_path: Path) -> None:
    one = written(dataset(), tmp_path / "one.nc")
    moved = dataset().assign_coords(lat=dataset()["lat"] + 1, time=dataset()["time"] + np.timedelta64(1, "D"))
    with pytest.raises(DataError, match=r"moved\.nc: lies on another grid"):
        open_product(TEMPERATURE, [one, written(moved, tmp_path / "moved.nc")])
    (tmp_path / "cut.nc").write_bytes(one.read_bytes()[:3000])
    with pytest.raises(DataError, match=r"cut\.nc: cannot be read"):
        open_product(TEMPERATURE, [tmp_path / "cut.nc"])
