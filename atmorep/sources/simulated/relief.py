"""An Earth-like surface: smooth mountains and land where the continents are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_BUMPS = (
    # latitude, longitude (degrees), height (m), half-widths in latitude and longitude (degrees)
    (45, -108, 1800, 14, 12),  # Rocky Mountains
    (-20, -68, 2600, 28, 5),  # Andes
    (34, 88, 4500, 9, 18),  # Tibet
    (46, 10, 900, 4, 7),  # Alps
    (72, -40, 2200, 9, 14),  # Greenland
    (-85, 60, 2600, 16, None),  # Antarctica: a cap
    (5, 32, 1000, 28, 9),  # East Africa
    (-25, 133, 350, 13, 16),  # Australia
    (60, 95, 500, 17, 40),  # Siberia
    (50, 30, 200, 12, 22),  # Europe
    (12, 10, 450, 18, 16),  # West Africa
    (52, -90, 300, 14, 18),  # Canada
    (-8, -55, 300, 17, 13),  # Brazil
    (22, 78, 500, 10, 7),  # India
    (24, 46, 700, 10, 10),  # Arabia
)
_COAST_HEIGHT, _COAST_WIDTH = 120.0, 40.0
"""Height of the bumps in m at which land and sea meet, and over which one turns to the other."""


def _bumps(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    height = np.zeros(np.broadcast_shapes(longitude.shape, latitude.shape))
    for north, east, top, wide, long in _BUMPS:
        y = (latitude - np.radians(north)) / np.radians(wide)
        x: NDArray[np.float64] | float = 0.0
        if long is not None:
            turn = (longitude - np.radians(east) + np.pi) % (2 * np.pi) - np.pi
            x = turn * np.cos(latitude) / np.radians(long)
        height = height + top * np.exp(-(x**2 + y**2))
    return height


def land_fraction(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of land, 0 to 1, at coordinates in radians."""
    return 1 / (1 + np.exp(-(_bumps(longitude, latitude) - _COAST_HEIGHT) / _COAST_WIDTH))


def relief(longitude: NDArray[np.float64], latitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height of the surface in m, 0 at sea, at coordinates in radians."""
    return _bumps(longitude, latitude) * land_fraction(longitude, latitude)
