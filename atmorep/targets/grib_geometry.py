"""Where the cells of a GRIB message lie, and in which order it holds them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
from numpy.typing import NDArray

from atmorep.errors import DataError
from atmorep.targets.geometry import Degrees, Geometry

import eccodes  # isort: skip  (after pyproj)


def message_geometry(handle: int, where: str) -> Geometry:
    """Return the geometry of a message, rows and columns in the order of :func:`arranged`.

    Raises:
        DataError: if it is on a grid of another kind than latitude-longitude, with rotated pole or without,
            polar-stereographic or Lambert's.
    """
    kind = eccodes.codes_get(handle, "gridType", ktype=str)
    try:
        if kind in ("regular_ll", "rotated_ll"):
            return Geometry.projected(_rotation(handle, kind, where), *_degrees(handle))
        if kind in ("polar_stereographic", "lambert"):
            crs = pyproj.CRS.from_cf(_cone(handle) if kind == "lambert" else _plane(handle))
            return Geometry.projected(crs, *_metres(handle, crs))
    except eccodes.CodesInternalError as error:
        raise DataError(f"{where}: its grid cannot be read ({error}); fetch the file again") from None
    raise DataError(f"{where}: is on a grid {kind}; interpolate it to a regular grid first")


def arranged(handle: int, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as rows and columns, in the direction in which they are scanned."""
    columns, rows = (_get(handle, k, int) for k in ("Nx", "Ny"))
    if _get(handle, "jPointsAreConsecutive", int):
        lines = values.reshape(columns, rows)
    else:
        lines = values.reshape(rows, columns)
    if _get(handle, "alternativeRowScanning", int):
        lines = lines.copy()
        lines[1::2] = lines[1::2, ::-1]
    return lines.T if _get(handle, "jPointsAreConsecutive", int) else lines


def _get(handle: int, key: str, kind: type = float) -> Any:
    return eccodes.codes_get(handle, key, ktype=kind)


def _signs(handle: int) -> tuple[int, int]:
    """Directions in which columns and rows are scanned."""
    west, north = (_get(handle, k, int) for k in ("iScansNegatively", "jScansPositively"))
    return (-1 if west else 1), (1 if north else -1)


def _rotation(handle: int, kind: str, where: str) -> pyproj.CRS:
    if kind == "regular_ll":
        return pyproj.CRS.from_cf({"grid_mapping_name": "latitude_longitude"})
    if _get(handle, "angleOfRotationInDegrees"):
        raise DataError(
            f"{where}: its pole has an angle of rotation, which is not known; interpolate it first"
        )
    south, east = (_get(handle, f"{k}OfSouthernPoleInDegrees") for k in ("latitude", "longitude"))
    return pyproj.CRS.from_cf(
        {
            "grid_mapping_name": "rotated_latitude_longitude",
            "grid_north_pole_latitude": -south,
            "grid_north_pole_longitude": east + 180 if east <= 0 else east - 180,
            "north_pole_grid_longitude": 0.0,
        }
    )


def _degrees(handle: int) -> tuple[Degrees, Degrees]:
    """Longitudes of columns and latitudes of rows, from the first to the last: increments may be rounded."""
    (right, up), (columns, rows) = _signs(handle), (_get(handle, k, int) for k in ("Nx", "Ny"))
    west, east, first, last = (
        _get(handle, f"{axis}Of{end}GridPointInDegrees")
        for axis in ("longitude", "latitude")
        for end in ("First", "Last")
    )
    if (last - first) * up < 0:
        raise DataError("its rows run against its scanning mode")
    span = right * (((east - west) * right) % 360)
    return west + np.linspace(0, span, columns), np.linspace(first, last, rows)


def _sphere(handle: int) -> dict[str, float]:
    if _get(handle, "earthIsOblate", int):
        axes = (_get(handle, f"earth{k}AxisInMetres") for k in ("Major", "Minor"))
        return dict(zip(("semi_major_axis", "semi_minor_axis"), axes, strict=True))
    return {"earth_radius": _get(handle, "radius")}


def _plane(handle: int) -> dict[str, Any]:
    south = _get(handle, "projectionCentreFlag", int) & 128
    return {
        "grid_mapping_name": "polar_stereographic",
        "latitude_of_projection_origin": -90.0 if south else 90.0,
        "straight_vertical_longitude_from_pole": _get(handle, "orientationOfTheGridInDegrees"),
        "standard_parallel": abs(_get(handle, "LaDInDegrees")) * (-1 if south else 1),
        **_sphere(handle),
    }


def _cone(handle: int) -> dict[str, Any]:
    return {
        "grid_mapping_name": "lambert_conformal_conic",
        "standard_parallel": [_get(handle, f"Latin{k}InDegrees") for k in (1, 2)],
        "longitude_of_central_meridian": _get(handle, "LoVInDegrees"),
        "latitude_of_projection_origin": _get(handle, "LaDInDegrees"),
        **_sphere(handle),
    }


def _metres(handle: int, crs: pyproj.CRS) -> tuple[Degrees, Degrees]:
    """Coordinates of columns and rows on the plane, from the first point."""
    to_plane = pyproj.Transformer.from_crs(crs.geodetic_crs, crs, always_xy=True)
    x, y = to_plane.transform(
        *(_get(handle, f"{k}OfFirstGridPointInDegrees") for k in ("longitude", "latitude"))
    )
    (right, up), (columns, rows) = _signs(handle), (_get(handle, k, int) for k in ("Nx", "Ny"))
    along, across = (_get(handle, f"D{k}InMetres") for k in ("x", "y"))
    return x + right * along * np.arange(columns), y + up * across * np.arange(rows)
