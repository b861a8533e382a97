"""Where the points of a user's dataset are: latitudes and longitudes in any order become a regular grid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from atmorep.errors import DataError
from atmorep.grids import Grid

Degrees = NDArray[np.float64]

_TOLERANCE = 2e-3
"""Degrees by which a coordinate may be off: old files have three decimals."""


@dataclass(frozen=True)
class Placed:
    """A regular grid, and which rows and columns of a dataset are its own.

    Attributes:
        grid: north to south and west to east.
        rows: of the dataset, for each row of the grid.
        columns: of the dataset, for each column of the grid.
    """

    grid: Grid
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]

    @classmethod
    def of(cls, latitude: Degrees, longitude: Degrees, model: Grid, where: str) -> Placed:
        """Order the points; longitudes count from any meridian and may begin anywhere.

        Points within 0.002 degrees of those of ``model``, continued over the globe, are taken to be them.

        Args:
            latitude: of the dataset's rows, degrees north.
            longitude: of its columns, degrees east.
            model: grid that the model was trained on.
            where: what errors name.

        Raises:
            DataError: if they make no regular grid of the model's resolution.
        """
        rows, columns = np.argsort(-latitude), _eastward(longitude)
        north = _snapped(latitude[rows[0]], model.north, model.resolution)
        west = _snapped(longitude[columns[0]], model.west, model.resolution)
        grid = Grid(north, west, model.resolution, (rows.size, columns.size))
        if grid.longitude[-1] >= 360 and not grid.periodic:  # the region lies across the prime meridian
            grid = replace(grid, west=west - 360)
        off = np.abs(latitude[rows] - grid.latitude), np.abs(_turned(longitude[columns] - grid.longitude))
        if max(off[0].max(), off[1].max()) > _TOLERANCE:
            raise DataError(
                f"{where}: its {latitude.size} latitudes from {latitude[0]:g} to {latitude[-1]:g} and "
                f"{longitude.size} longitudes from {longitude[0]:g} to {longitude[-1]:g} are not every "
                f"{model.resolution:g} degrees, as the model has learnt; regrid it, by "
                "Dataset.interp of xarray for example"
            )
        return cls(grid, rows, columns)

    @property
    def turned(self) -> bool:
        """Whether the dataset's rows run south to north, or its longitudes begin elsewhere."""
        return bool((np.diff(self.rows) < 0).any() or (np.diff(self.columns) < 0).any())


def _eastward(longitude: Degrees) -> NDArray[np.int64]:
    """Indices of the columns from west to east; a meridian that is there twice counts once.

    A ring begins where the dataset does, anything else behind its widest gap.
    """
    _, first = np.unique(np.round(longitude % 360, 3) % 360, return_index=True)
    around = longitude[first] % 360
    gaps = np.diff(around, append=around[:1] + 360)
    ring = gaps.max() - gaps.min() <= 2 * _TOLERANCE
    begin = int(np.argmin(longitude[first])) if ring else int(np.argmax(gaps)) + 1
    return np.roll(first, -begin)


def _turned(degrees: Degrees) -> Degrees:
    """Differences of longitudes, from -180 to 180."""
    return (degrees + 180) % 360 - 180


def _snapped(degrees: float, origin: float, resolution: float) -> float:
    """Return the nearest point of a lattice where it is within the tolerance, else ``degrees``."""
    nearest = origin + round((degrees - origin) / resolution) * resolution
    return float(nearest if abs(nearest - degrees) <= _TOLERANCE else degrees)


def offset(inner: Grid, outer: Grid) -> tuple[int, int] | None:
    """Return the row and column of ``outer`` where ``inner`` begins; None where their points differ.

    Columns may lie behind the last one, rows before the first.
    """
    row = (outer.north - inner.north) / outer.resolution
    column = ((inner.west - outer.west) % 360) / outer.resolution
    places = round(row), round(column)
    off = max(abs(row - places[0]), abs(column - places[1])) * outer.resolution
    return (places[0], places[1] % round(360 / outer.resolution)) if off <= _TOLERANCE else None
