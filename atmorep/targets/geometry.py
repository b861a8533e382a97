"""Where the cells of a product lie: centres, corners and the direction of the grid's axes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
from numpy.typing import NDArray

from atmorep.errors import DataError

Degrees = NDArray[np.float64]

_STEP = 1e-3
"""Spacings over which the direction of the x axis is taken."""


@dataclass(frozen=True, eq=False)
class Geometry:
    """Cells of a grid of any kind, in the order of the file's rows and columns.

    Longitudes may be of any turn; those of one cell need not be of the same.

    Attributes:
        longitude: of the centres (y, x), degrees east.
        latitude: of the centres (y, x), degrees north.
        corner_longitude: of the corners (y+1, x+1), degrees east; cell [j, i] lies between corners [j, i] and
            [j+1, i+1].
        corner_latitude: of the corners (y+1, x+1), degrees north.
        angle: from east to the direction of growing x (y, x), radians, counter-clockwise. The grid's y axis
            lies a quarter turn further. A vector (u, v) along the grid's axes has the eastward component
            u cos(angle) - v sin(angle) and the northward u sin(angle) + v cos(angle).
    """

    longitude: Degrees
    latitude: Degrees
    corner_longitude: Degrees
    corner_latitude: Degrees
    angle: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.longitude.shape
        return rows, columns

    @cached_property
    def identity(self) -> str:
        """Ten hex digits that geometries have in common if their corners agree to 1e-5 degrees."""
        digest = hashlib.sha256(repr(self.shape).encode())
        for values in (self.corner_longitude % 360, self.corner_latitude):
            digest.update((np.round(values * 1e5).astype(np.int64) % 36_000_000).tobytes())
        return digest.hexdigest()[:10]

    @classmethod
    def projected(
        cls, crs: pyproj.CRS, x: Degrees, y: Degrees, edges: tuple[Degrees, Degrees] | None = None
    ) -> Geometry:
        """Return the geometry of a grid that is rectangular in the coordinates of ``crs``.

        Args:
            crs: projected, or geographic, with or without a rotated pole.
            x: of the columns (x,), monotonic, in the unit of ``crs``.
            y: of the rows (y,), likewise.
            edges: of columns (x+1,) and rows (y+1,); halfway between centres where absent.
        """
        to_degrees = _inverse(crs)
        x_edges, y_edges = edges or (edges_of(x), edges_of(y))
        if crs.is_geographic:
            y_edges = np.clip(y_edges, -90, 90)
        longitude, latitude = to_degrees(x, y)
        corners = to_degrees(x_edges, y_edges)
        return cls(longitude, latitude, *corners, _axis_angle(crs, x, y, longitude, latitude))

    @classmethod
    def curvilinear(
        cls, longitude: Degrees, latitude: Degrees, corners: tuple[Degrees, Degrees] | None = None
    ) -> Geometry:
        """Return the geometry of a grid of which the centres are known.

        Args:
            longitude: of the centres (y, x), at least 2 x 2.
            latitude: of the centres (y, x).
            corners: longitudes and latitudes (y+1, x+1); the mean of the four centres around where absent.
        """
        centres = unit_vectors(longitude, latitude)
        tangent = np.gradient(centres, axis=1)
        angle = _direction(tangent, longitude, latitude)
        return cls(longitude, latitude, *(corners or _degrees(_corners_between(centres))), angle)


def edges_of(centres: Degrees) -> Degrees:
    """Return the edges (n+1,) halfway between ``centres`` (n,), and as far beyond the first and last."""
    if centres.size < 2:
        raise DataError("a single row or column has no extent without bounds; give bounds")
    between = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(([2 * centres[0] - between[0]], between, [2 * centres[-1] - between[-1]]))


def unit_vectors(longitude: Degrees, latitude: Degrees) -> NDArray[np.float64]:
    """Return points on the unit sphere (..., 3)."""
    east, north = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], -1)


def _degrees(points: NDArray[np.float64]) -> tuple[Degrees, Degrees]:
    x, y, z = np.moveaxis(points, -1, 0)
    return np.degrees(np.arctan2(y, x)), np.degrees(np.arctan2(z, np.hypot(x, y)))


def _corners_between(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means (y+1, x+1, 3) of the four points around each corner; ``centres`` continue by a row each side."""
    for axis in (0, 1):
        first, second, last, before = (np.take(centres, [i], axis) for i in (0, 1, -1, -2))
        centres = np.concatenate([2 * first - second, centres, 2 * last - before], axis)
    return centres[1:, 1:] + centres[1:, :-1] + centres[:-1, 1:] + centres[:-1, :-1]


class _inverse:
    """Turns the coordinates of columns and rows into degrees."""

    def __init__(self, crs: pyproj.CRS) -> None:
        base = crs.source_crs if crs.is_derived and not crs.is_projected else crs.geodetic_crs
        self._plain = base is None or (crs.is_geographic and not crs.is_derived)
        if not self._plain:
            self._transform = pyproj.Transformer.from_crs(crs, base, always_xy=True).transform

    def __call__(self, x: Degrees, y: Degrees) -> tuple[Degrees, Degrees]:
        columns, rows = np.meshgrid(np.asarray(x, np.float64), np.asarray(y, np.float64))
        return (columns, rows) if self._plain else self._transform(columns, rows)


def _axis_angle(
    crs: pyproj.CRS, x: Degrees, y: Degrees, longitude: Degrees, latitude: Degrees
) -> NDArray[np.float64]:
    """Direction of growing x at the centres, from points a little to both sides of them."""
    if crs.is_geographic and not crs.is_derived:
        return np.zeros(longitude.shape)
    step = _STEP * abs(float(x[-1] - x[0])) / max(x.size - 1, 1)
    to_degrees, ellipsoid = _inverse(crs), crs.ellipsoid
    # A rotated pole is turned as if on a sphere, whatever the ellipsoid of the datum.
    flattening = 1 / ellipsoid.inverse_flattening if _is_oblate(crs) and ellipsoid else 0.0
    eccentricity2 = flattening * (2 - flattening)
    after, before = (_positions(*to_degrees(x + s, y), eccentricity2) for s in (step, -step))
    return _direction(after - before, longitude, latitude)


def _is_oblate(crs: pyproj.CRS) -> bool:
    return crs.is_projected and crs.ellipsoid is not None and crs.ellipsoid.inverse_flattening > 0


def _positions(longitude: Degrees, latitude: Degrees, eccentricity2: float) -> NDArray[np.float64]:
    """Points on an ellipsoid of major axis 1, from geodetic coordinates."""
    radius = 1 / np.sqrt(1 - eccentricity2 * np.sin(np.radians(latitude)) ** 2)
    return unit_vectors(longitude, latitude) * radius[..., None] * [1, 1, 1 - eccentricity2]


def _direction(tangent: NDArray[np.float64], longitude: Degrees, latitude: Degrees) -> NDArray[np.float64]:
    """Angle of vectors (..., 3) against east, in the tangent plane at (longitude, latitude)."""
    east, north = np.radians(longitude), np.radians(latitude)
    eastward = -np.sin(east) * tangent[..., 0] + np.cos(east) * tangent[..., 1]
    outward = np.cos(east) * tangent[..., 0] + np.sin(east) * tangent[..., 1]
    return np.arctan2(-np.sin(north) * outward + np.cos(north) * tangent[..., 2], eastward)
