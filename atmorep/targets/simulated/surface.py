"""The surface under the simulated targets: the model's relief in the large, with detail of its own."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from atmorep.sources.simulated.relief import land_fraction, relief
from atmorep.targets.simulated.geography import MapGrid, rotated_grid
from atmorep.targets.simulated.patterns import Spectrum, field

Array = NDArray[np.float64]

_KEY = 1
"""Tells the relief's random numbers from those of other patterns."""
_MARGIN = 20
"""Points around the grid, so that neither smoothing nor slopes meet an edge, nor rain leaves it."""
_SPACING = 24.5
"""Of the grid in km."""
_ROUGHNESS, _PLAIN = 0.55, 50.0
"""Standard deviation of the detail: share of the relief's height, and m where that is none."""
_RIDGE_HEIGHT, _RIDGE_WIDTH, _RIDGE_LENGTH = 1600.0, 0.8, 5.0
"""Of the alpine ridge in m, and its half-widths in degrees of latitude and longitude."""
_DETAIL = 250.0
"""Standard deviation in km of the smoothing beyond which the detail changes nothing."""
_VALLEY, _VALLEY_DEPTH = 40.0, 400.0
"""Standard deviation in km of the smoothing that a valley is below, and m below that make a full one."""
_SLOPE = 30.0
"""Standard deviation in km of the smoothing of the relief that air flows over."""


def heights(seed: int) -> tuple[MapGrid, Array]:
    """Return the height of the surface in m and its grid, wider than that of the targets."""
    grid = rotated_grid(_MARGIN)
    longitude, latitude = np.radians(grid.longitude), np.radians(grid.latitude)
    large = relief(longitude, latitude)
    rough = field(Spectrum(grid.shape, slope=1.8, outer=_DETAIL / _SPACING), seed, _KEY)
    detail = (_ROUGHNESS * large + _PLAIN) * rough + _ridge(grid)
    detail -= gaussian_filter(detail, _DETAIL / _SPACING)
    return grid, np.maximum(large + land_fraction(longitude, latitude) * detail, 0)


def _ridge(grid: MapGrid) -> Array:
    """An arc from the western to the eastern Alps."""
    east, north = grid.longitude - 10.5, grid.latitude - 46.5
    across = (north + 0.06 * (east - 1) ** 2 * (east < 1)) / _RIDGE_WIDTH
    along = east / _RIDGE_LENGTH
    return _RIDGE_HEIGHT * np.exp(-(across**2) - along**2)


class Surface:
    """What the targets know of the surface, at the points of a grid; all (rows, columns)."""

    def __init__(self, grid: MapGrid, seed: int) -> None:
        """Bring the relief of ``seed`` to ``grid``."""
        self._places = np.radians(grid.longitude), np.radians(grid.latitude)
        self._relief, self._heights = heights(seed)
        self._at = grid.longitude, grid.latitude

    def _read(self, values: Array, east: float = 0.0, north: float = 0.0) -> Array:
        """Interpolate ``values`` of the relief's grid to places that many degrees away."""
        longitude, latitude = self._at
        indices = self._relief.indices(longitude + east / np.cos(np.radians(latitude)), latitude + north)
        found: Array = map_coordinates(values, indices, order=1, mode="nearest")
        return found

    @cached_property
    def height(self) -> Array:
        """M above the sea."""
        return self._read(self._heights)

    @cached_property
    def land(self) -> Array:
        """Share of land."""
        return land_fraction(*self._places)

    @cached_property
    def valley(self) -> Array:
        """Depth below what is around: 0 on slopes and ridges, 1 in deep valleys."""
        around = gaussian_filter(self._heights, _VALLEY / _SPACING)
        return self._read(np.clip((around - self._heights) / _VALLEY_DEPTH, 0, 1))

    @cached_property
    def slopes(self) -> tuple[Array, Array]:
        """Rise eastward and northward in m / m of the relief that air flows over."""
        smooth, far = gaussian_filter(self._heights, _SLOPE / _SPACING), _SPACING / 111.2
        metres = 2 * _SPACING * 1000
        east = self._read(smooth, east=far) - self._read(smooth, east=-far)
        north = self._read(smooth, north=far) - self._read(smooth, north=-far)
        return east / metres, north / metres

    def lift(self, u: Array, v: Array) -> Array:
        """Vertical wind in m / s of air that follows the surface with wind ``u``, ``v``."""
        east, north = self.slopes
        return u * east + v * north
