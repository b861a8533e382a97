"""Interpolation from the points of the grid to the cells of a target's region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config, Target
from atmorep.grids import Grid

Kernel = Literal["nearest", "bilinear", "bicubic"]
Values = NDArray[np.float32]


def taps(kernel: Kernel, places: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Points (place, tap) that each place is interpolated from, and their weights.

    ``bicubic`` is the cubic convolution of Keys 1981, doi:10.1109/TASSP.1981.1163711, with a = -1/2, exact
    for polynomials of second degree.

    Args:
        kernel: which interpolation.
        places: in spacings from point 0.
    """
    before = np.floor(places).astype(np.int64)
    part = (places - before)[:, None]
    if kernel == "nearest":
        return np.floor(places + 0.5).astype(np.int64)[:, None], np.ones((len(places), 1))
    if kernel == "bilinear":
        return before[:, None] + np.arange(2), np.concatenate([1 - part, part], axis=1)
    distance = np.abs(part - np.arange(-1, 3))
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((-0.5 * distance + 2.5) * distance - 4) * distance + 2
    return before[:, None] + np.arange(-1, 3), np.where(distance <= 1, near, far)


@dataclass(frozen=True)
class Axis:
    """Cells along one axis, and the points around them.

    Attributes:
        points: points of the region.
        refine: cells a point.
        size: points of the grid; None where it is periodic.
        part: the cells wanted, among those of the region.
    """

    points: tuple[int, int]
    refine: int
    size: int | None
    part: tuple[int, int]

    @property
    def places(self) -> NDArray[np.float64]:
        """Centres of the cells in spacings from point 0."""
        return self.points[0] - 0.5 + (np.arange(*self.part) + 0.5) / self.refine

    @property
    def read(self) -> slice:
        """Points to be read: two more on either side than the cells belong to, where the grid has them."""
        first = int(np.floor(self.places[0])) - 1
        last = int(np.floor(self.places[-1])) + 2
        if self.size is None:
            return slice(first, last + 1)
        return slice(max(first, 0), min(last, self.size - 1) + 1)


@cache
def matrix(axis: Axis, kernel: Kernel) -> NDArray[np.float32]:
    """Weights (cell, point read); beyond the grid's end its last point is repeated."""
    points, weights = taps(kernel, axis.places)
    read = axis.read
    found = np.zeros((len(points), read.stop - read.start))
    cells = np.arange(len(points))[:, None]
    np.add.at(found, (cells, np.clip(points, read.start, read.stop - 1) - read.start), weights)
    return found.astype(np.float32)


@dataclass(frozen=True)
class Between:
    """From points to the cells of a region, or of some rows of them."""

    rows: Axis
    columns: Axis

    @classmethod
    def of(cls, config: Config, target: Target) -> Between:
        """To all cells of ``target``."""
        grid = Grid.from_config(config.data.grid)
        sizes = (grid.shape[0], None if grid.periodic else grid.shape[1])
        both = (
            Axis((p.start, p.stop), target.refine, size, (0, (p.stop - p.start) * target.refine))
            for p, size in zip(grid.part(target.region), sizes, strict=True)
        )
        return cls(*both)

    def part(self, rows: slice, columns: slice | None = None) -> Between:
        """To the cells of ``rows`` and, where they are given, ``columns`` only."""
        part = replace(self.rows, part=(rows.start, rows.stop))
        across = (
            self.columns if columns is None else replace(self.columns, part=(columns.start, columns.stop))
        )
        return Between(part, across)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return len(self.rows.places), len(self.columns.places)

    def __call__(self, values: Values, kernel: Kernel = "bilinear") -> Values:
        """Interpolate values (..., row, column) at the points of ``rows.read`` and ``columns.read``."""
        rows, columns = matrix(self.rows, kernel), matrix(self.columns, kernel)
        return np.asarray(rows @ values @ columns.T, np.float32)

    def alone(self, values: Values) -> Values:
        """Interpolate values of the region's points (row, column) only, the outer ones repeated beyond it."""
        pads = (
            (axis.points[0] - axis.read.start, axis.read.stop - axis.points[1])
            for axis in (self.rows, self.columns)
        )
        return self(np.pad(values, tuple((max(a, 0), max(b, 0)) for a, b in pads), mode="edge"))
