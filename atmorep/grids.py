"""Regular latitude–longitude grids: coordinates, cell areas, periodicity."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atmorep.config.data import GridConfig
from atmorep.config.target import Box
from atmorep.errors import ConfigError

_TOLERANCE = 1e-6
"""Spacings by which a point may lie outside a box."""


def _length(places: slice) -> int:
    return int(places.stop - places.start)


@dataclass(frozen=True)
class Grid:
    """A regular grid, rows north to south, columns west to east; all in degrees.

    Attributes:
        north: latitude of the first row.
        west: longitude of the first column.
        resolution: spacing of rows and columns.
        shape: (rows, columns).
    """

    north: float
    west: float
    resolution: float
    shape: tuple[int, int]

    @classmethod
    def from_config(cls, config: GridConfig) -> Grid:
        """Build the grid a configuration describes."""
        rows = round((config.north - config.south) / config.resolution) + 1
        columns = round((config.east - config.west) / config.resolution) + 1
        return cls(config.north, config.west, config.resolution, (rows, columns))

    def part(self, box: Box | None) -> tuple[slice, slice]:
        """Return the rows and columns of the points within ``box``; all where there is none.

        On a periodic grid the columns may go on past the last one.

        Raises:
            ConfigError: if there are none.
        """
        if box is None:
            return slice(0, self.shape[0]), slice(0, self.shape[1])
        rows = self._between(self.north - box.north, self.north - box.south, self.shape[0])
        columns = max((self._columns(box, turn) for turn in (-360, 0, 360)), key=_length)
        if _length(rows) <= 0 or _length(columns) <= 0:
            raise ConfigError(f"{box!r} holds no point of {self}; correct the region or data.grid")
        return rows, columns

    def inside(self, box: Box) -> NDArray[np.bool_]:
        """Return (rows, columns) True at the points within ``box``."""
        rows, columns = self.part(box)
        found = np.zeros(self.shape, bool)
        found[rows, np.arange(columns.start, columns.stop) % self.shape[1]] = True
        return found

    def _columns(self, box: Box, turn: float) -> slice:
        if not self.periodic:
            return self._between(box.west + turn - self.west, box.east + turn - self.west, self.shape[1])
        found = self._between(
            (box.west - self.west) % 360, (box.west - self.west) % 360 + box.east - box.west
        )
        return slice(found.start, min(found.stop, found.start + self.shape[1]))

    def _between(self, first: float, last: float, points: float = math.inf) -> slice:
        """Numbers of the points between two distances in degrees from the first one."""
        start = math.ceil(first / self.resolution - _TOLERANCE)
        stop = math.floor(last / self.resolution + _TOLERANCE) + 1
        return slice(max(start, 0), int(min(stop, points)))

    def refined(self, factor: int, rows: slice, columns: slice) -> Grid:
        """Return the grid of the cells that points at ``rows`` and ``columns`` are cut into.

        Each point stands for the cell around it, cut into ``factor`` x ``factor``. At a pole half of a cell
        lies beyond it.
        """
        shift = (factor - 1) / (2 * factor) * self.resolution
        return Grid(
            self.north - self.resolution * rows.start + shift,
            self.west + self.resolution * columns.start - shift,
            self.resolution / factor,
            (_length(rows) * factor, _length(columns) * factor),
        )

    @cached_property
    def latitude(self) -> NDArray[np.float64]:
        """Latitudes of the rows (rows,), decreasing."""
        return self.north - self.resolution * np.arange(self.shape[0], dtype=np.float64)

    @cached_property
    def longitude(self) -> NDArray[np.float64]:
        """Longitudes of the columns (columns,), increasing."""
        return self.west + self.resolution * np.arange(self.shape[1], dtype=np.float64)

    @property
    def periodic(self) -> bool:
        """True if the last column is followed by the first."""
        return abs(self.shape[1] * self.resolution - 360) < 1e-6

    @cached_property
    def row_area(self) -> NDArray[np.float64]:
        """Share of the sphere of a cell of each row (rows,): sin(upper) - sin(lower) edge, over 2 N.

        N = 360 / resolution cells make a ring; rows at a pole own half a cell, those beyond it nothing.
        """
        half = self.resolution / 2
        edges = (np.clip(self.latitude + sign * half, -90, 90) for sign in (1, -1))
        upper, lower = (np.sin(np.radians(edge)) for edge in edges)
        return (upper - lower) / 2 * self.resolution / 360

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Area weights of the cells (rows, 1), with mean 1 over the grid."""
        return (self.row_area / self.row_area.mean())[:, None]
