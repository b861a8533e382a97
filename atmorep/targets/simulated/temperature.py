"""2 m temperature: what a coarse state and the relief say of it, and what they do not.

The temperature of the lowest level of the coarse state, interpolated bilinearly, is brought to the height
of the surface at the standard lapse rate. Sunshine warms the land by day, two hours late; in calm nights
cold air gathers in valleys; air that descends a slope warms. A pattern of some hours' memory is added, twice
as strong in calm air as in a storm.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from atmorep.targets.simulated.geography import MapGrid
from atmorep.targets.simulated.patterns import Evolving, Spectrum
from atmorep.targets.simulated.sun import Sun
from atmorep.targets.simulated.surface import Surface

Array = NDArray[np.float64]

LAPSE_RATE = 0.0065
"""Of the standard atmosphere in K / m."""
_KEY = 2
"""Tells the noise's random numbers from those of other patterns."""
_DIURNAL, _SEA = 8.0, 0.1
"""Warming in K by the sun in the zenith, and the sea's share of it."""
_LATE = np.timedelta64(2, "h")
"""Temperature behind sunshine."""
_POOLING, _CALM = 5.0, 6.0
"""Cooling of deep valleys in still nights in K, and the wind in m / s that lessens it by e."""
_LEE, _LEE_MOST = 8.0, 4.0
"""Warming in K for each m / s that air descends, and at most."""
_NOISE_STORM, _NOISE_CALM = 0.4, 0.8
"""Standard deviation in K of the noise in a storm, and what calm adds."""
_MEMORY, _SLOPE, _OUTER = 6.0, 1.5, 12.0
"""Hours, slope of the spectrum, and largest scale in points, of the noise."""


class Temperature:
    """Makes the field hour by hour.

    Attributes:
        surface: of the same grid.
    """

    def __init__(self, grid: MapGrid, seed: int) -> None:
        """Prepare surface and noise of ``seed``."""
        self.surface, self._sun = Surface(grid, seed), Sun(grid.longitude, grid.latitude)
        self._noise = Evolving(Spectrum(grid.shape, _SLOPE, _OUTER), _MEMORY, (seed, _KEY))

    def at(self, time: np.datetime64, weather: Mapping[str, Array], height: Array) -> Array:
        """Return temperature in K.

        Args:
            time: full hour, not before that of the last call.
            weather: ``t``, ``u`` and ``v`` of a coarse level, interpolated to the grid.
            height: of that level above the sea in m.
        """
        noise = (_NOISE_STORM + _NOISE_CALM * _calm(weather)) * self._noise.at(time)
        return self.expected(time, weather, height) + noise

    def expected(self, time: np.datetime64, weather: Mapping[str, Array], height: Array) -> Array:
        """Return temperature in K without the noise; arguments as of :meth:`at`."""
        surface = self.surface
        level = weather["t"] + LAPSE_RATE * (height - surface.height)
        lee = np.clip(-_LEE * surface.lift(weather["u"], weather["v"]), 0, _LEE_MOST)
        pooled = _POOLING * surface.valley * _calm(weather) * self._night(time) * surface.land
        return level + self._diurnal(time) + lee - pooled

    def _diurnal(self, time: np.datetime64) -> Array:
        time = time - _LATE
        sun = self._sun.altitude(time) - self._sun.mean(time)
        return _DIURNAL * (_SEA + (1 - _SEA) * self.surface.land) * sun

    def _night(self, time: np.datetime64) -> Array:
        """1 while the sun is down, 0 when it is well up."""
        night: Array = np.clip(1 - 5 * self._sun.altitude(time), 0, 1)
        return night


def _calm(weather: Mapping[str, Array]) -> Array:
    """1 in still air, near 0 in a storm."""
    calm: Array = np.exp(-np.hypot(weather["u"], weather["v"]) / _CALM)
    return calm
