"""Regular latitude–longitude grids: coordinates, cell areas, periodicity."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atmorep.config.data import GridConfig


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

        N = 360 / resolution cells make a ring; rows at a pole own half a cell.
        """
        half = self.resolution / 2
        upper = np.sin(np.radians(np.minimum(self.latitude + half, 90)))
        lower = np.sin(np.radians(np.maximum(self.latitude - half, -90)))
        return (upper - lower) / 2 * self.resolution / 360

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Area weights of the cells (rows, 1), with mean 1 over the grid."""
        return (self.row_area / self.row_area.mean())[:, None]
