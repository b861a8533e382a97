"""Values at points from centres of cells around them, as sparse matrices: bilinear, and the nearest one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from atmorep.grids import Grid

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

_ITERATIONS = 12
"""Of Newton's method; four or five reach rounding in cells that are nearly parallelograms."""

_EDGE = 1e-6
"""Share of a cell by which a point may lie outside it, so that none falls between two."""

_JOINED = 1.5
"""Columns are next to each other if they are at most this many typical spacings apart."""


def nearest(longitude: Floats, latitude: Floats, corners: tuple[Floats, Floats], grid: Grid) -> csr_array:
    """Return the matrix (points of ``grid``, cells) that takes the cell whose centre is nearest.

    Points farther from it than its farthest corner lie in none and get an empty row.

    Args:
        longitude: of the centres (y, x) in degrees; NaN where there is none.
        latitude: likewise.
        corners: longitudes and latitudes of the corners (y + 1, x + 1).
        grid: where values are wanted.
    """
    centres, points = _unit(longitude, latitude).reshape(-1, 3), _points(grid)
    distance, cell = _nearest(centres, points)
    vertex = _unit(*corners)
    around = (vertex[:-1, :-1], vertex[:-1, 1:], vertex[1:, :-1], vertex[1:, 1:])
    reach = np.max([np.linalg.norm(v.reshape(-1, 3) - centres, axis=1) for v in around], axis=0)
    met = np.flatnonzero(distance <= reach[cell] * (1 + _EDGE))
    return csr_array((np.ones(met.size), (met, cell[met])), shape=(len(points), len(centres)))


def bilinear(longitude: Floats, latitude: Floats, grid: Grid) -> csr_array:
    """Return the matrix (points of ``grid``, cells) that interpolates between four centres.

    Sides between centres are great circles, straight lines in the gnomonic projection around a point.
    Points outside all of the squares get an empty row. Columns go on from the last to the first where these
    are neighbours.

    Args:
        longitude: of the centres (y, x) in degrees; NaN where there is none.
        latitude: likewise.
        grid: where values are wanted.
    """
    centres, points = _unit(longitude, latitude), _points(grid)
    rows, columns = longitude.shape
    squares = rows - 1, columns if _joined(centres) else columns - 1
    _, cell = _nearest(centres.reshape(-1, 3), points)
    left, found = np.arange(len(points)), []
    for down, right in ((-1, -1), (-1, 0), (0, -1), (0, 0)):  # the squares that have the nearest centre
        row, column = cell[left] // columns + down, cell[left] % columns + right
        column = column % columns if squares[1] == columns else column
        there = (row >= 0) & (row < squares[0]) & (column >= 0) & (column < squares[1])
        who, row, column = left[there], row[there], column[there]
        corner = [(row + i) * columns + (column + j) % columns for i in (0, 1) for j in (0, 1)]
        weight, inside = _weights(points[who], [centres.reshape(-1, 3)[c] for c in corner])
        found += [(who[inside], c[inside], w[inside]) for c, w in zip(corner, weight, strict=True)]
        left = np.setdiff1d(left, who[inside])
    who, corner_of, weights = (np.concatenate(part) for part in zip(*found, strict=True))
    return csr_array((weights, (who, corner_of)), shape=(len(points), rows * columns))


def _weights(point: Floats, corners: list[Floats]) -> tuple[list[Floats], NDArray[np.bool_]]:
    """Weights of four corners (n, 3) at points (n, 3), and whether the points lie between them.

    Newton's method for the inverse of the bilinear map, in the plane that touches the sphere at the point.
    """
    a, b, c, d = (_tangent(point, corner) for corner in corners)
    ab, ac, twist = b - a, c - a, a - b - c + d
    s = t = np.full(len(point), 0.5)
    with np.errstate(all="ignore"):  # what does not converge is not inside
        for _ in range(_ITERATIONS):
            along, across = ab + twist * t[:, None], ac + twist * s[:, None]
            left = a + ab * s[:, None] + ac * t[:, None] + twist * (s * t)[:, None]
            area = _cross(along, across)
            s, t = s - _cross(left, across) / area, t - _cross(along, left) / area
        inside = (np.abs(s - 0.5) <= 0.5 + _EDGE) & (np.abs(t - 0.5) <= 0.5 + _EDGE)
    s, t = s.clip(0, 1), t.clip(0, 1)
    return [(1 - s) * (1 - t), s * (1 - t), (1 - s) * t, s * t], inside


def _tangent(point: Floats, other: Floats) -> Floats:
    """Gnomonic coordinates (n, 2) of ``other`` around ``point``, both unit vectors (n, 3)."""
    axis = np.where(np.abs(point[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    first = np.cross(axis, point)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(point, first)
    up = (point * other).sum(1)
    up = np.where(up > 0, up, np.nan)  # beyond the horizon
    return np.stack([(first * other).sum(1) / up, (second * other).sum(1) / up], 1)


def _cross(one: Floats, other: Floats) -> Floats:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]


def _unit(longitude: Floats, latitude: Floats) -> Floats:
    """Unit vectors (..., 3)."""
    x, y = np.radians(longitude), np.radians(latitude)
    return np.stack([np.cos(y) * np.cos(x), np.cos(y) * np.sin(x), np.sin(y)], -1)


def _points(grid: Grid) -> Floats:
    """Unit vectors (points, 3) of the points of a grid; NaN beyond a pole."""
    latitude = np.where(np.abs(grid.latitude) <= 90, grid.latitude, np.nan)
    return _unit(*np.meshgrid(grid.longitude, latitude)).reshape(-1, 3)


def _nearest(centres: Floats, points: Floats) -> tuple[Floats, Indices]:
    """Distance to (infinite where there is none) and number of the nearest centre of each point."""
    known, there = np.isfinite(centres).all(1), np.isfinite(points).all(1)
    distance, cell = np.full(len(points), np.inf), np.zeros(len(points), np.int64)
    distance[there], place = KDTree(centres[known]).query(points[there])
    cell[there] = np.flatnonzero(known)[place]
    return distance, cell


def _joined(centres: Floats) -> bool:
    """Whether the last column of centres (y, x, 3) is followed by the first."""
    gap = np.linalg.norm(centres[:, 0] - centres[:, -1], axis=1)
    spacing = np.linalg.norm(np.diff(centres, axis=1), axis=2).mean(1)
    return bool(np.nanmax(gap - _JOINED * spacing) <= 0)
