"""Products in GRIB: grids and scanning modes, times of sums and means, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pyproj
import pytest

from atmorep.errors import DataError
from atmorep.targets.product import open_product
from tests.targets.products import static, target

import eccodes  # isort: skip  (after pyproj)

COSMO = "rotated_grid/dwd_cosmo_eu_FIS_rotated_ll.grib1"


def message(sample: str, values: np.ndarray, **keys: Any) -> bytes:
    """A message made of ecCodes' ``sample``."""
    handle = eccodes.codes_grib_new_from_samples(sample)
    try:
        for key, value in keys.items():
            eccodes.codes_set(handle, key, value)
        eccodes.codes_set_values(handle, values.ravel())
        return bytes(eccodes.codes_get_message(handle))
    finally:
        eccodes.codes_release(handle)


def regular(values: np.ndarray, **keys: Any) -> bytes:
    """A message of 2 m temperature on 3 x 4 points from 52 N 358 E."""
    return message(
        "regular_ll_sfc_grib1",
        values,
        **{
            **{"Ni": 4, "Nj": 3},
            **{"latitudeOfFirstGridPointInDegrees": 52, "latitudeOfLastGridPointInDegrees": 50},
            **{"longitudeOfFirstGridPointInDegrees": 358, "longitudeOfLastGridPointInDegrees": 1},
            **{"iDirectionIncrementInDegrees": 1, "jDirectionIncrementInDegrees": 1},
            **{"indicatorOfParameter": 167, "dataDate": 20200101, "dataTime": 600, **keys},
        },
    )  # fmt: skip


def test_geopotential_of_the_german_model(shared: Path) -> None:
    """Coordinates as ecCodes' own iterator unrotates them."""
    path = shared / COSMO
    product = open_product(static("FIS", "m2 s-2"), [path])
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
    latitude, longitude, values = (
        eccodes.codes_get_array(handle, key).reshape(415, 511)
        for key in ("latitudes", "longitudes", "values")
    )
    eccodes.codes_release(handle)
    np.testing.assert_allclose(product.geometry.latitude, latitude, atol=2e-6)
    np.testing.assert_allclose((product.geometry.longitude - longitude + 180) % 360 - 180, 0, atol=2e-6)
    np.testing.assert_allclose(product.read(0), values, rtol=1e-6)


@pytest.mark.parametrize(
    "keys", [{}, {"jScansPositively": 1}, {"iScansNegatively": 1}, {"jPointsAreConsecutive": 1}]
)
def test_scanning_modes_give_the_same_field(tmp_path: Path, keys: dict[str, int]) -> None:
    """The value of each point is 10 times its latitude plus its longitude, however it is scanned."""
    latitude, longitude = np.array([52, 51, 50]), np.array([358, 359, 360, 361])
    ends: dict[str, Any] = {}
    if "jScansPositively" in keys:
        latitude = latitude[::-1]
        ends = {"latitudeOfFirstGridPointInDegrees": 50, "latitudeOfLastGridPointInDegrees": 52}
    if "iScansNegatively" in keys:
        longitude = longitude[::-1]
        ends = {"longitudeOfFirstGridPointInDegrees": 1, "longitudeOfLastGridPointInDegrees": 358}
    field = 10.0 * latitude[:, None] + longitude
    scanned = field.T if "jPointsAreConsecutive" in keys else field
    path = tmp_path / "a.grib"
    path.write_bytes(regular(scanned, **keys, **ends))
    product = open_product(target("2t", "K", "2t"), [path])
    geometry = product.geometry
    east = (geometry.longitude - 180) % 360 + 180
    np.testing.assert_allclose(product.read(0), 10 * geometry.latitude + east, atol=2e-3)
    np.testing.assert_array_equal(geometry.angle, 0)


@pytest.mark.parametrize(
    ("indicator", "kind", "bounds"),
    [
        (4, "sum", ("2020-01-01T06", "2020-01-01T07")),
        (3, "mean", ("2020-01-01T06", "2020-01-01T07")),
        (0, "instant", ("2020-01-01T06", "2020-01-01T06")),
    ],
)
def test_times(tmp_path: Path, indicator: int, kind: str, bounds: tuple[str, str]) -> None:
    last = 0 if kind == "instant" else 1
    path = tmp_path / "a.grib"
    path.write_bytes(regular(np.ones(12), timeRangeIndicator=indicator, P1=0, P2=last))
    product = open_product(target("2t", "K", "2t", kind=kind), [path])
    np.testing.assert_array_equal(product.intervals, np.array([bounds], "M8[m]"))
    if kind == "instant":  # a state may be the label of an interval
        return
    with pytest.raises(DataError, match=f"message 1: holds values of kind {kind}"):
        open_product(target("2t", "K", "2t"), [path])


def test_missing_values_are_nan(tmp_path: Path) -> None:
    values = np.arange(12.0)
    values[5] = 9999
    path = tmp_path / "a.grib"
    path.write_bytes(regular(values, bitmapPresent=1, missingValue=9999))
    read = open_product(target("2t", "K", "2t"), [path]).read(0)
    assert np.isnan(read[1, 1])
    assert np.isnan(read).sum() == 1


def test_polar_stereographic_as_the_iterator_has_it(tmp_path: Path) -> None:
    """Points 10 km apart on the plane that is true at 60 N, along 10 E, as ecCodes' iterator finds them."""
    keys = {"Nx": 16, "Ny": 31, "LaDInDegrees": 60.0, "orientationOfTheGridInDegrees": 10.0}
    keys |= {"latitudeOfFirstGridPointInDegrees": 47.0, "longitudeOfFirstGridPointInDegrees": 4.0}
    keys |= {"DxInMetres": 10_000, "DyInMetres": 10_000, "jScansPositively": 1, "shapeOfTheEarth": 6}
    path = tmp_path / "a.grib"
    path.write_bytes(message("polar_stereographic_pl_grib2", np.ones(496), **keys))
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
    latitude, longitude = (eccodes.codes_get_array(handle, k) for k in ("latitudes", "longitudes"))
    eccodes.codes_release(handle)
    geometry = open_product(static(_name(path), "K"), [path]).geometry
    np.testing.assert_allclose(geometry.latitude.ravel(), latitude, atol=1e-5)
    np.testing.assert_allclose((geometry.longitude.ravel() - longitude + 180) % 360 - 180, 0, atol=1e-5)


def test_lambert_as_projected(tmp_path: Path) -> None:
    """Points 10 km apart on the cone that is true at 48.5 N, along 8 E; the sphere is GRIB's of 6371229 m."""
    keys = {
        "Nx": 5,
        "Ny": 4,
        "latitudeOfFirstGridPointInDegrees": 46.0,
        "longitudeOfFirstGridPointInDegrees": 5.0,
    }
    keys |= {"LaDInDegrees": 48.5, "LoVInDegrees": 8.0, "Latin1InDegrees": 48.5, "Latin2InDegrees": 48.5}
    keys |= {"DxInMetres": 10_000, "DyInMetres": 10_000, "jScansPositively": 1, "shapeOfTheEarth": 6}
    path = tmp_path / "a.grib"
    path.write_bytes(message("GRIB2", np.ones(20), gridType="lambert", numberOfValues=20, **keys))
    name = _name(path)
    geometry = open_product(static(name, "K"), [path]).geometry
    cone = pyproj.Proj(proj="lcc", lat_1=48.5, lat_2=48.5, lat_0=48.5, lon_0=8, R=6_371_229)
    x, y = cone(geometry.longitude, geometry.latitude)
    np.testing.assert_allclose(np.diff(x, axis=1), 10_000, atol=1e-2)
    np.testing.assert_allclose(np.diff(y, axis=0), 10_000, atol=1e-2)
    np.testing.assert_allclose([geometry.longitude[0, 0], geometry.latitude[0, 0]], [5, 46], atol=1e-6)


def _name(path: Path) -> str:
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
    name = str(eccodes.codes_get(handle, "shortName"))
    eccodes.codes_release(handle)
    return name


def test_bad_files_are_refused(tmp_path: Path, shared: Path) -> None:
    one, again, cut = (tmp_path / f"{name}.grib" for name in ("one", "again", "cut"))
    for path in (one, again):
        path.write_bytes(regular(np.ones(12)))
    cut.write_bytes(one.read_bytes()[:-5])
    temperature = target("2t", "K", "2t")
    for files, text in [
        ([cut], r"cut\.grib, message 1 at byte 0: is truncated"),
        ([one, again], r"again\.grib, message 1: holds 2020-01-01T06:00, as .*one\.grib.* does"),
        ([one, shared / COSMO], "holds no 2t, but FIS; correct 'variable'"),
    ]:
        with pytest.raises(DataError, match=text):
            open_product(temperature, files)
    with pytest.raises(DataError, match="its unit 'K' is not Pa"):
        open_product(target("2t", "Pa", "msl"), [one])
    moved = tmp_path / "moved.grib"
    moved.write_bytes(regular(np.ones(12), dataTime=700, longitudeOfFirstGridPointInDegrees=357))
    with pytest.raises(DataError, match=r"moved\.grib: lies on another grid"):
        open_product(temperature, [one, moved])
