"""The sun's altitude, by the usual formulae (Stull 1988, sec. 7.3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_TILT = np.radians(23.44)


class Sun:
    """The sun over some places."""

    def __init__(self, longitude: Array, latitude: Array) -> None:
        """Prepare for places in degrees east and north, of one shape."""
        longitude, latitude = np.radians(longitude), np.radians(latitude)
        self._sine, self._cosine = np.sin(latitude), np.cos(latitude)
        self._east = np.cos(longitude), np.sin(longitude)

    def altitude(self, time: np.datetime64) -> Array:
        """Return the sine of the sun's altitude at ``time`` (UTC, any resolution); 0 at night."""
        declination, hour_angle = _declination(time), 2 * np.pi * (_days(time) % 1) - np.pi
        turned = np.cos(hour_angle) * self._east[0] - np.sin(hour_angle) * self._east[1]
        sine = self._sine * np.sin(declination) + self._cosine * np.cos(declination) * turned
        return np.maximum(sine, 0)

    def mean(self, time: np.datetime64) -> Array:
        """Return the mean over a day of the sine of the sun's altitude, 0 at night."""
        declination = _declination(time)
        sine, cosine = self._sine * np.sin(declination), self._cosine * np.cos(declination)
        sunset = np.arccos(np.clip(-sine / cosine, -1, 1))
        mean: Array = (sunset * sine + cosine * np.sin(sunset)) / np.pi
        return mean


def _days(time: np.datetime64) -> float:
    """Days since the beginning of the year."""
    return float((time - time.astype("datetime64[Y]")) / np.timedelta64(1, "D"))


def _declination(time: np.datetime64) -> float:
    """Of the sun in radians, constant over a day."""
    return float(-_TILT * np.cos(2 * np.pi * (np.floor(_days(time)) + 10) / 365.25))
