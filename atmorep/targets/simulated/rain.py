"""Hourly rain as radars see it: coarse precipitation with detail, corrected for what it lacks.

Precipitation of the coarse state, interpolated bilinearly, is multiplied by

- what slopes add where air rises, and take where it descends;
- a daily cycle over land, strongest three hours behind the sun, which the simulated atmosphere lacks;
- a lognormal cascade that drifts with the mean wind and has no more than hours of memory.

What is less than a radar sees is no rain. Beyond the range of the radars, and where one is out of order,
nothing is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from atmorep.targets.simulated.geography import MapGrid
from atmorep.targets.simulated.patterns import Evolving, Spectrum, counted
from atmorep.targets.simulated.sun import Sun
from atmorep.targets.simulated.surface import Surface

Array = NDArray[np.float64]

_KEY, _SITES, _OUTAGES = 3, 4, 5
"""Tell the random numbers of the cascade, the radars' places and their outages apart."""
_OROGRAPHIC, _LEAST, _MOST = 5.0, 0.3, 3.0
"""Enhancement for each m / s that air is lifted, and its bounds."""
_DIURNAL, _LATE = 1.5, np.timedelta64(210, "m")
"""Strength of the daily cycle, and how far it is behind the sun (of the middle of the hour)."""
_CASCADE = 0.8
"""Standard deviation of the cascade's logarithm."""
_MEMORY, _SLOPE, _OUTER = 3.0, 1.3, 15.0
"""Hours, slope of the spectrum, and largest scale in points, of the cascade."""
_DRIZZLE = 0.1
"""Least rain in mm / h that is seen."""
_APART, _RANGE = 300e3, 180e3
"""Distance of radars and their range in m."""
_OUTAGE = 0.03
"""Share of days that a radar is out of order."""


class Rain:
    """Makes the field hour by hour."""

    def __init__(self, grid: MapGrid, seed: int) -> None:
        """Prepare surface, cascade and radars of ``seed``; ``grid`` is in metres."""
        self._seed, self._spacing = seed, float(grid.x[1] - grid.x[0])
        self._surface, self._sun = Surface(grid, seed), Sun(grid.longitude, grid.latitude)
        self._cascade = Evolving(Spectrum(grid.shape, _SLOPE, _OUTER), _MEMORY, (seed, _KEY))
        self._seen_by = _in_range(grid, seed)

    def at(self, time: np.datetime64, weather: Mapping[str, Array]) -> Array:
        """Return the rain in mm of the hour that ends at ``time``; NaN where no radar sees it.

        Args:
            time: full hour, not before that of the last call.
            weather: ``tp`` in m of that hour, and wind ``u``, ``v``, interpolated to the grid.
        """
        steps = 3600 / self._spacing
        drift = float(weather["v"].mean()) * steps, float(weather["u"].mean()) * steps
        cascade = np.exp(_CASCADE * self._cascade.at(time, drift) - _CASCADE**2 / 2)
        rain = self.expected(time, weather) * cascade
        return np.where(self.seen(time), np.where(rain < _DRIZZLE, 0, rain), np.nan)

    def expected(self, time: np.datetime64, weather: Mapping[str, Array]) -> Array:
        """Return the mean over cascades in mm, drizzle included; arguments as of :meth:`at`."""
        lift = self._surface.lift(weather["u"], weather["v"])
        enhanced = np.clip(1 + _OROGRAPHIC * lift, _LEAST, _MOST)
        sun = self._sun.altitude(time - _LATE) - self._sun.mean(time - _LATE)
        daily = 1 + _DIURNAL * self._surface.land * sun
        return 1000 * np.maximum(weather["tp"], 0) * enhanced * np.maximum(daily, 0)

    def seen(self, time: np.datetime64) -> NDArray[np.bool_]:
        """Where a radar sees the hour that ends at ``time``."""
        day = counted(time - np.timedelta64(1, "h")) // 24
        draws = np.random.default_rng((self._seed, _OUTAGES, day)).random(len(self._seen_by))
        return np.any(self._seen_by[draws >= _OUTAGE], axis=0)


def _in_range(grid: MapGrid, seed: int) -> NDArray[np.bool_]:
    """Pixels that each radar sees (radar, rows, columns); radars stand on an uneven lattice."""
    axes = [np.arange(axis[0], axis[-1] + _APART, _APART) for axis in (grid.x, grid.y)]
    x, y = np.meshgrid(*axes)
    moved = np.random.default_rng((seed, _SITES)).uniform(-0.2, 0.2, (2, x.size)) * _APART
    east = grid.x - (x.ravel() + moved[0])[:, None]
    north = grid.y - (y.ravel() + moved[1])[:, None]
    return np.hypot(east[:, None, :], north[:, :, None]) <= _RANGE
