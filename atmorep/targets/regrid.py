"""From the grid of a product to the evaluation grid: weights once, then a sparse product a time."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.targets.geometry import Geometry
from atmorep.targets.interpolate import bilinear, nearest
from atmorep.targets.overlap import box_areas, overlaps

Method = Literal["conservative", "bilinear", "nearest"]
Floats = NDArray[np.float64]


class Regridder:
    """Brings values to a regular grid; cells without enough of them are NaN.

    Attributes:
        coverage: share of each cell (rows, columns) that the product covers; of points 0 or 1.
    """

    def __init__(self, geometry: Geometry, grid: Grid, method: Method, min_coverage: float) -> None:
        """Compute the weights.

        Args:
            geometry: where the values are.
            grid: where they are wanted.
            method: ``conservative``: means over the area of a cell; ``bilinear``: between the four centres
                around a point; ``nearest``: of the cell whose centre is nearest.
            min_coverage: share of a cell, or of the weights of a point, that must have values.

        Raises:
            DataError: if both do not overlap, naming their extents.
        """
        self._matrix, full = _weights(geometry, grid, method)
        self._shape, self._least = grid.shape, min_coverage * full
        covered = self._matrix.sum(1)
        self.coverage = np.divide(covered, full, out=np.zeros_like(full), where=full > 0).reshape(grid.shape)
        if not covered.any():
            there, asked = (_extent(g.longitude, g.latitude) for g in (geometry, grid))
            raise DataError(
                f"the files cover {there}, nothing of the evaluation grid, {asked}; correct 'region' or "
                "the files"
            )

    def __call__(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return ``values`` (..., y, x) on the grid (..., rows, columns).

        NaN is left out: values are weighed by the area that has some.
        """
        cells = values.reshape(-1, self._matrix.shape[1]).astype(np.float64)
        there = np.isfinite(cells)
        weight = (self._matrix @ there.T.astype(np.float64)).T
        total = (self._matrix @ np.where(there, cells, 0).T).T
        # Weights add up to rounding only; a cell that is covered whole must not fail for it.
        enough = (weight > 0) & (weight >= self._least * (1 - 1e-9))
        mean = np.divide(total, weight, out=np.full_like(total, np.nan), where=enough)
        return mean.reshape(*values.shape[:-2], *self._shape).astype(np.float32)


def _weights(geometry: Geometry, grid: Grid, method: Method) -> tuple[csr_array, Floats]:
    """The matrix, and what its rows add up to where nothing is lacking."""
    if method == "conservative":
        matrix = overlaps(geometry.corner_longitude, geometry.corner_latitude, grid)
        return matrix, box_areas(grid).ravel()
    if method == "bilinear":
        matrix = bilinear(geometry.longitude, geometry.latitude, grid)
    else:
        corners = geometry.corner_longitude, geometry.corner_latitude
        matrix = nearest(geometry.longitude, geometry.latitude, corners, grid)
    return matrix, np.ones(matrix.shape[0])


def _extent(longitude: Floats, latitude: Floats) -> str:
    """Say between which latitudes and longitudes points lie; the shortest arc that has them all."""
    turn = np.sort(np.ravel(longitude[np.isfinite(longitude)]) % 360)
    gap = np.diff(turn, append=turn[0] + 360)
    last = int(np.argmax(gap))
    west = turn[(last + 1) % turn.size]
    east = west + (turn[last] - west) % 360
    west, east = (west - 360, east - 360) if west >= 180 else (west, east)
    return f"{np.nanmin(latitude):.2f} to {np.nanmax(latitude):.2f} N, {west:.2f} to {east:.2f} E"
