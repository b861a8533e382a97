"""How much of each cell of a regular grid each cell of another grid covers, as a sparse matrix.

In the plane of longitude and sine of latitude areas are those of the sphere (the cylindrical equal-area
projection), and cells of a regular grid are rectangles. Edges of the other cells are straight lines there
between their corners, so that neighbours share them and nothing is covered twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from atmorep.grids import Grid

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Pieces = tuple[Indices, Indices, Floats]
"""Cells of the regular grid, other cells, and the areas that each two have in common."""

_PAIRS = 100_000
"""Pairs of cells that are looked at together: what bounds the memory."""

_POLE = 90 - 1e-9
"""Absolute latitude from which on a corner is a pole, whose longitude means nothing."""


def overlaps(longitude: Floats, latitude: Floats, grid: Grid) -> csr_array:
    """Return the areas (cells of ``grid``, other cells) that both have in common.

    In degrees of longitude times sine of latitude: the whole sphere has 720.

    Args:
        longitude: of the corners (y + 1, x + 1) of the other cells in degrees; NaN where a cell has no
            place on the globe.
        latitude: likewise.
        grid: the regular grid; what lies beyond a pole has no area.
    """
    boxes = _Boxes.of(grid)
    turned = (part for rings in _rings(longitude, latitude) for part in rings.turned(boxes.x[0]))
    pieces = [piece for part in turned for piece in _pieces(part, boxes)]
    cells, others, areas = (np.concatenate(part) for part in zip(*pieces, strict=True))
    shape = (grid.shape[0] * grid.shape[1], (longitude.shape[0] - 1) * (longitude.shape[1] - 1))
    some = areas > 0
    return csr_array((areas[some], (cells[some], others[some])), shape=shape)


def box_areas(grid: Grid) -> Floats:
    """Areas (rows, columns) of the cells of ``grid`` in the same unit."""
    boxes = _Boxes.of(grid)
    return np.abs(np.diff(boxes.y))[:, None] * np.diff(boxes.x)[None]


@dataclass(frozen=True)
class _Boxes:
    """Edges of the cells of a regular grid in the plane.

    Attributes:
        x: longitudes, from west to east.
        y: sines of the latitudes, from north to south.
    """

    x: Floats
    y: Floats

    @classmethod
    def of(cls, grid: Grid) -> _Boxes:
        half, (rows, columns) = grid.resolution / 2, grid.shape
        latitude = grid.north + half - grid.resolution * np.arange(rows + 1)
        x = grid.west - half + grid.resolution * np.arange(columns + 1)
        y = np.sin(np.radians(np.clip(latitude, -90, 90)))
        return cls(np.asarray(x, np.float64), y)


@dataclass(frozen=True)
class _Rings:
    """Outlines of cells in the plane.

    Attributes:
        index: number of the cell (n,).
        x: longitudes of the corners (n, m), without jumps.
        y: sines of their latitudes.
    """

    index: Indices
    x: Floats
    y: Floats

    def turned(self, west: float) -> Iterator[_Rings]:
        """Yield the outlines with their westernmost corner in [west, west + 360), and a turn west of that."""
        x = self.x - 360 * np.floor((self.x.min(1, keepdims=True) - west) / 360)
        yield _Rings(self.index, x, self.y)
        across = x.max(1) > west + 360
        yield _Rings(self.index[across], x[across] - 360, self.y[across])


def _rings(longitude: Floats, latitude: Floats) -> tuple[_Rings, _Rings]:
    """Outlines of the cells, those at a pole apart."""
    x, degrees = _around(longitude), _around(latitude)
    index = np.flatnonzero(np.isfinite(x).all(1) & np.isfinite(degrees).all(1))
    x, degrees = x[index], degrees[index]
    step = _shortest(np.roll(x, -1, 1) - x)
    x = np.concatenate([x[:, :1], x[:, :1] + np.cumsum(step[:, :-1], 1)], 1)
    odd = (np.abs(step.sum(1)) > 180) | ((np.abs(degrees) > _POLE).sum(1) == 1)
    polar = [_polar(x[cell], degrees[cell]) for cell in np.flatnonzero(odd)]
    corners = np.array(polar, np.float64).reshape(-1, 7, 2)
    return (
        _Rings(index[~odd], x[~odd], np.sin(np.radians(degrees[~odd]))),
        _Rings(index[odd], corners[..., 0], np.sin(np.radians(corners[..., 1]))),
    )


def _around(corners: Floats) -> Floats:
    """Return the four corners (cells, 4) of each cell, one after the other around it."""
    parts = (corners[:-1, :-1], corners[:-1, 1:], corners[1:, 1:], corners[1:, :-1])
    return np.stack([np.asarray(part, np.float64).ravel() for part in parts], 1)


def _shortest(degrees: Floats) -> Floats:
    """Return differences of longitude within half a turn; there and back they are opposite."""
    return degrees - 360 * np.round(degrees / 360)


def _polar(x: Floats, latitude: Floats) -> list[tuple[float, float]]:
    """Seven corners of a cell with a pole in it or as its corner; in the plane a pole is a line."""
    highest = int(np.argmax(np.abs(latitude)))
    pole = float(np.copysign(90, latitude[highest]))
    inside = abs(latitude[highest]) <= _POLE
    # From the corner after the pole around to the one before it; or, around it, to the first again.
    order = np.arange(highest + 1, highest + (6 if inside else 4)) % 4
    around = x[order[0]] + np.concatenate([[0], np.cumsum(_shortest(np.diff(x[order])))])
    ring = [*zip(around.tolist(), latitude[order].tolist(), strict=True)]
    ring += [(ring[-1][0], pole), (ring[0][0], pole)]
    return ring + ring[-1:] * (7 - len(ring))


def _pieces(rings: _Rings, boxes: _Boxes) -> Iterator[Pieces]:
    """Yield the areas that outlines and boxes have in common; only two whose extents meet are looked at."""
    west, east = _between(boxes.x, rings.x.min(1), rings.x.max(1))
    north, south = _between(-boxes.y, -rings.y.max(1), -rings.y.min(1))
    count = np.maximum(east - west, 0) * np.maximum(south - north, 0)
    columns = boxes.x.size - 1
    whole = np.flatnonzero((count == 1) & _within(rings, boxes, north, west))
    yield north[whole] * columns + west[whole], rings.index[whole], _area(rings, whole)
    count[whole] = 0
    for some in _portions(count):
        ring = np.repeat(some, count[some])
        number = np.arange(ring.size) - np.repeat(np.cumsum(count[some]) - count[some], count[some])
        width = (east - west)[ring]
        row, column = north[ring] + number // width, west[ring] + number % width
        sides = boxes.x[column], boxes.x[column + 1], boxes.y[row + 1], boxes.y[row]
        area = _common(rings.x[ring], rings.y[ring], *(side[:, None] for side in sides))
        yield row * columns + column, rings.index[ring], area


def _between(edges: Floats, low: Floats, high: Floats) -> tuple[Indices, Indices]:
    """First and last (not included) interval between increasing ``edges`` that [low, high] meets."""
    first = np.searchsorted(edges, low, "right") - 1
    last = np.searchsorted(edges, high, "left")
    return np.maximum(first, 0), np.minimum(last, edges.size - 1)


def _within(rings: _Rings, boxes: _Boxes, row: Indices, column: Indices) -> NDArray[np.bool_]:
    """Whether each outline lies within its first box."""
    row, column = np.clip(row, 0, boxes.y.size - 2), np.clip(column, 0, boxes.x.size - 2)
    inside = (rings.x.min(1) >= boxes.x[column]) & (rings.x.max(1) <= boxes.x[column + 1])
    return inside & (rings.y.max(1) <= boxes.y[row]) & (rings.y.min(1) >= boxes.y[row + 1])


def _area(rings: _Rings, which: Indices) -> Floats:
    """Areas of some outlines, by the shoelace formula."""
    x, y = (a[which] - a[which, :1] for a in (rings.x, rings.y))
    return np.abs((x * np.roll(y, -1, 1) - np.roll(x, -1, 1) * y).sum(1)) / 2


def _portions(count: Indices) -> Iterator[Indices]:
    """Yield the numbers of outlines with boxes to look at, about as many pairs at a time as allowed."""
    some = np.flatnonzero(count)
    portion = (np.cumsum(count[some]) - 1) // _PAIRS
    yield from (np.split(some, np.flatnonzero(np.diff(portion)) + 1) if some.size else ())


def _common(x: Floats, y: Floats, west: Floats, east: Floats, south: Floats, north: Floats) -> Floats:
    """Area (n,) of outlines (n, m) within a box (n, 1) each.

    The integral along the outline of its height over the box's lower edge, cut off at both edges. Along a
    side that is linear in parts, between where it meets the lines of the box, so that the sum is exact.
    """
    dx, dy = np.roll(x, -1, 1) - x, np.roll(y, -1, 1) - y
    low, high = _met((west, east), x, dx, 0.0, 1.0)
    knots = [low, *_met((south, north), y, dy, low, high), high]
    height = [np.clip(y + knot * dy, south, north) - south for knot in knots]
    parts = ((b - a) * (g + h) for a, b, g, h in zip(knots, knots[1:], height, height[1:], strict=False))
    return np.abs((sum(parts) * dx).sum(1)) / 2


def _met(
    lines: tuple[Floats, Floats], start: Floats, step: Floats, low: Floats | float, high: Floats | float
) -> tuple[Floats, Floats]:
    """Shares of sides, in order and within bounds, at which they meet two parallel lines; else a bound."""
    shares = (
        np.divide(line - start, step, out=np.zeros_like(step), where=step != 0).clip(low, high)
        for line in lines
    )
    one, other = shares
    return np.minimum(one, other), np.maximum(one, other)
