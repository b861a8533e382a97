"""Where the cells of a CF variable lie: by grid mapping, or by latitude and longitude."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyproj
from pyproj.exceptions import CRSError

from atmorep.errors import DataError
from atmorep.targets.geometry import Degrees, Geometry, unit_vectors

_X = {"projection_x_coordinate", "grid_longitude", "longitude", "X", "x", "rlon", "lon"}
_Y = {"projection_y_coordinate", "grid_latitude", "latitude", "Y", "y", "rlat", "lat"}
_METRES = {"m": 1.0, "metre": 1.0, "meter": 1.0, "metres": 1.0, "meters": 1.0, "km": 1000.0}
_GEOGRAPHIC = pyproj.CRS.from_cf({"grid_mapping_name": "latitude_longitude"})


def horizontal(dataset: Any, variable: Any, where: str) -> tuple[str, str]:
    """Return the dimensions of rows and columns.

    Raises:
        DataError: if they cannot be told.
    """
    rows, columns = (_dimension(variable, names) for names in (_Y, _X))
    if rows and columns:
        return rows, columns
    both = _plane(dataset, "latitude", ("lat", "latitude"))
    if both is not None and set(both.dims) <= set(variable.dims):
        return str(both.dims[0]), str(both.dims[1])
    raise DataError(
        f"{where}: has neither coordinates of rows and columns nor two-dimensional latitude and longitude "
        f"for its dimensions {', '.join(str(d) for d in variable.dims)}; add them"
    )


def variable_geometry(dataset: Any, variable: Any, where: str) -> Geometry:
    """Return the geometry of a variable of which the last dimensions are rows and columns.

    Coordinates of a projection are preferred, being exact, and must agree with two-dimensional latitude and
    longitude to half a cell.

    Raises:
        DataError: if there is none, or they do not agree.
    """
    rows, columns = variable.dims[-2:]
    try:
        crs = _crs(dataset, variable, where)
        plane = _planes(dataset, rows, columns)
        if rows in variable.coords and columns in variable.coords and (crs or plane is None):
            geometry = _rectangular(dataset, variable, crs or _GEOGRAPHIC, where)
            if plane is not None:
                _verify(geometry, *plane[:2], where)
            return geometry
    except DataError as error:
        raise DataError(str(error) if where in str(error) else f"{where}: {error}") from None
    if plane is None:
        raise DataError(f"{where}: has no latitude and longitude; add them or a grid mapping")
    return Geometry.curvilinear(*plane)


def _dimension(variable: Any, names: set[str]) -> str | None:
    for dimension in variable.dims:
        if dimension in variable.coords:
            attributes = variable[dimension].attrs
            if {attributes.get("standard_name"), attributes.get("axis"), dimension} & names:
                return str(dimension)
    return None


def _crs(dataset: Any, variable: Any, where: str) -> pyproj.CRS | None:
    mapping = variable.attrs.get("grid_mapping", variable.encoding.get("grid_mapping"))
    if mapping is None:
        return None
    name = str(mapping).split(":")[0].split()[0]
    if name not in dataset.variables:
        raise DataError(f"{where}: has the grid mapping {name}, which the file lacks; add it")
    try:
        return pyproj.CRS.from_cf(dataset[name].attrs)
    except (CRSError, KeyError, ValueError) as error:
        raise DataError(f"{where}: its grid mapping {name} is not understood ({error}); correct it") from None


def _rectangular(dataset: Any, variable: Any, crs: pyproj.CRS, where: str) -> Geometry:
    rows, columns = (variable[d] for d in variable.dims[-2:])
    factors = [_factor(coordinate, crs, where) for coordinate in (columns, rows)]
    x, y = (c.to_numpy().astype(np.float64) * f for c, f in zip((columns, rows), factors, strict=True))
    edges = [_edges(dataset, c, f) for c, f in zip((columns, rows), factors, strict=True)]
    if edges[0] is None or edges[1] is None:
        return Geometry.projected(crs, x, y)
    return Geometry.projected(crs, x, y, (edges[0], edges[1]))


def _factor(coordinate: Any, crs: pyproj.CRS, where: str) -> float:
    """From the unit of a coordinate to that of the projection, which may be another."""
    units = coordinate.attrs.get("units")
    if not crs.is_projected or units is None:
        return 1.0
    if units not in _METRES:
        raise DataError(f"{where}: coordinate {coordinate.name} is in '{units}'; give it in m or km")
    return _METRES[units] / crs.axis_info[0].unit_conversion_factor


def _edges(dataset: Any, coordinate: Any, factor: float) -> Degrees | None:
    name = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
    if name not in dataset.variables:
        return None
    bounds = dataset[name].to_numpy().astype(np.float64) * factor
    if (np.diff(coordinate.to_numpy())[:1] < 0) != (np.diff(bounds[0]) < 0):
        bounds = bounds[:, ::-1]
    if not np.allclose(bounds[1:, 0], bounds[:-1, 1]):
        raise DataError(f"the bounds {name} leave gaps between cells; correct them")
    return np.append(bounds[:, 0], bounds[-1, 1])


def _plane(dataset: Any, standard_name: str, names: tuple[str, ...]) -> Any:
    for name in dataset.variables:
        found = dataset[name]
        if found.ndim == 2 and (found.attrs.get("standard_name") == standard_name or name in names):
            return found
    return None


def _planes(dataset: Any, rows: str, columns: str) -> tuple[Degrees, Degrees, Any] | None:
    """Two-dimensional longitude and latitude, and their corners where there are bounds."""
    found = [_plane(dataset, n, (n[:3], n)) for n in ("longitude", "latitude")]
    if any(f is None or set(f.dims) != {rows, columns} for f in found):
        return None
    planes = [f.transpose(rows, columns) for f in found]
    longitude, latitude = (f.to_numpy().astype(np.float64) for f in planes)
    bounds = [f.attrs.get("bounds", f.encoding.get("bounds")) for f in planes]
    if any(b not in dataset.variables for b in bounds):
        return longitude, latitude, None
    vertices = [dataset[b].transpose(rows, columns, ...).to_numpy().astype(np.float64) for b in bounds]
    return longitude, latitude, _joined(vertices[0], vertices[1])


def _joined(longitude: Degrees, latitude: Degrees) -> tuple[Degrees, Degrees]:
    """Corners (y+1, x+1) from the four vertices (y, x, 4) of each cell, whichever they begin with."""
    points = unit_vectors(longitude[:2, :2], latitude[:2, :2])

    def shared(row: int, column: int) -> set[int]:
        distance = np.abs(points[0, 0][:, None] - points[row, column][None]).max(-1)
        return set(np.flatnonzero(distance.min(1) < 1e-6).tolist())

    far = shared(1, 1)
    right, below = shared(0, 1) - far, shared(1, 0) - far
    near = {0, 1, 2, 3} - far - right - below
    if [len(s) for s in (near, right, below, far)] != [1, 1, 1, 1]:
        raise DataError("the bounds of latitude and longitude leave gaps between cells; correct them")
    n, r, b, f = (s.pop() for s in (near, right, below, far))
    upper, lower = (np.append(v[:, :, n], v[:, -1:, r], 1) for v in (longitude, latitude))
    last, least = (np.append(v[-1:, :, b], v[-1:, -1:, f], 1) for v in (longitude, latitude))
    return np.append(upper, last, 0), np.append(lower, least, 0)


def _verify(geometry: Geometry, longitude: Degrees, latitude: Degrees, where: str) -> None:
    """Check that projected coordinates lie where the file's latitudes and longitudes do."""
    here = unit_vectors(geometry.longitude, geometry.latitude)
    distance = np.linalg.norm(here - unit_vectors(longitude, latitude), axis=-1).max()
    spacing = np.linalg.norm(np.diff(here, axis=1), axis=-1).min()
    if not distance < spacing / 2:
        raise DataError(
            f"{where}: its grid mapping and its latitudes and longitudes differ by up to "
            f"{distance / spacing:.1f} cells; correct the one that is wrong"
        )
