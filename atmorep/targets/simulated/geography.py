"""Where the simulated targets are: grids like COSMO-REA6's and RADOLAN's, with longer spacings."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyproj
from numpy.typing import NDArray

Array = NDArray[np.float64]

SOUTHERN_POLE = (-39.25, 18.0)
"""Latitude and longitude of the rotated southern pole of COSMO-REA6 (Bollmeyer et al. 2015)."""
EARTH_RADIUS = 6371229.0
"""Of GRIB in m."""
RADOLAN_RADIUS = 6370040.0
"""Of RADOLAN's sphere in m."""
_ROTATED = (
    f"+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p={-SOUTHERN_POLE[0]} +lon_0={SOUTHERN_POLE[1]} "
    f"+R={EARTH_RADIUS}"
)
_POLAR = f"+proj=stere +lat_0=90 +lat_ts=60 +lon_0=10 +R={RADOLAN_RADIUS}"
_ROTATED_STEP = 0.22
"""Degrees: four of COSMO-REA6's spacings."""
_RADAR_STEP = 20_000.0
"""Metres: twenty of RADOLAN's spacings."""


@dataclass(frozen=True)
class MapGrid:
    """A grid that is regular in a map projection, rows south to north.

    Attributes:
        projection: in PROJ's notation.
        x, y: coordinates in the projection (columns,), (rows,), in degrees or metres.
    """

    projection: str
    x: Array
    y: Array

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.y.size, self.x.size

    @cached_property
    def _geographic(self) -> tuple[Array, Array]:
        x, y = np.meshgrid(self.x, self.y)
        longitude, latitude = self._transformer.transform(x, y, direction="INVERSE")
        return longitude, latitude

    @property
    def longitude(self) -> Array:
        """Degrees east (rows, columns)."""
        return self._geographic[0]

    @property
    def latitude(self) -> Array:
        """Degrees north (rows, columns)."""
        return self._geographic[1]

    @cached_property
    def _transformer(self) -> pyproj.Transformer:
        plain = self.projection.split("+R=")[1]
        return pyproj.Transformer.from_crs(f"+proj=longlat +R={plain}", self.projection, always_xy=True)

    def indices(self, longitude: Array, latitude: Array) -> Array:
        """Return (2, ...) fractional rows and columns of places in degrees."""
        x, y = self._transformer.transform(longitude, latitude)
        return np.stack(
            [(y - self.y[0]) / (self.y[1] - self.y[0]), (x - self.x[0]) / (self.x[1] - self.x[0])]
        )


def rotated_grid(margin: int = 0) -> MapGrid:
    """Return the grid of temperature and relief, with ``margin`` more points on each side."""
    columns = _axis(-17.16, _ROTATED_STEP, -margin, 116 + margin)
    return MapGrid(_ROTATED, columns, _axis(-10.34, _ROTATED_STEP, -margin, 106 + margin))


def radar_grid() -> MapGrid:
    """Return the grid of rain; (0, 0) is the North Pole."""
    return MapGrid(_POLAR, _axis(-1.2e6, _RADAR_STEP, 0, 121), _axis(-5.5e6, _RADAR_STEP, 0, 113))


def _axis(origin: float, step: float, first: int, stop: int) -> Array:
    """Coordinates of the points ``first`` to ``stop`` from ``origin``."""
    return origin + step * np.arange(first, stop, dtype=np.float64)
