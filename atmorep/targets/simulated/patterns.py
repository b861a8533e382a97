"""Random fields with a power law for a spectrum, as functions of a seed and the hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FIRST_HOUR = np.datetime64("1900-01-01T00", "h")
_SPIN_UP = 8
"""Times its memory that a pattern is followed before the first hour: the rest is below exp(-8)."""


@dataclass(frozen=True)
class Spectrum:
    """Of a Gaussian field of mean 0 and variance 1 on a doubly periodic grid.

    Attributes:
        shape: (rows, columns).
        slope: amplitude falls with wavenumber k as k ** -slope.
        outer: wavelength in points beyond which it does not grow any more.
    """

    shape: tuple[int, int]
    slope: float
    outer: float

    @property
    def frequencies(self) -> tuple[Array, Array]:
        """Cycles a point along rows (rows, 1) and along columns (1, columns // 2 + 1)."""
        rows, columns = self.shape
        return _cycles(rows)[:, None], _cycles(columns)[None, : columns // 2 + 1]

    @cached_property
    def amplitude(self) -> Array:
        """Of the real transform of white noise, (rows, columns // 2 + 1)."""
        along, across = self.frequencies
        level = self._level(along, across)
        full = self._level(along, _cycles(self.shape[1])[None])
        return level / np.sqrt((full**2).mean())

    def _level(self, along: Array, across: Array) -> Array:
        level = (along**2 + across**2 + self.outer**-2.0) ** (-self.slope / 2)
        level[0, 0] = 0
        return level

    def draw(self, *key: int) -> NDArray[np.complex128]:
        """Return the real Fourier transform of a field that ``key`` determines."""
        white = np.random.default_rng(key).standard_normal(self.shape)
        return np.fft.rfft2(white) * self.amplitude


def _cycles(points: int) -> Array:
    """Cycles a point, up or down alike at half a cycle."""
    return np.asarray(np.fft.fftfreq(points), np.float64)


def counted(time: np.datetime64) -> int:
    """Return the hours since 1900, which random numbers are counted by."""
    return int((time - _FIRST_HOUR).astype("timedelta64[h]").astype(np.int64))


def field(spectrum: Spectrum, *key: int) -> Array:
    """Return a random field that ``key`` determines."""
    return np.fft.irfft2(spectrum.draw(*key), spectrum.shape)


class Evolving:
    """A pattern that drifts, fades and is renewed from hour to hour.

    Each hour's renewal is a function of key and hour. Before the first hour asked for the pattern drifts as
    in that hour, since what came before is not known.
    """

    def __init__(self, spectrum: Spectrum, memory: float, key: Sequence[int]) -> None:
        """Set up a pattern whose correlation falls by e in ``memory`` hours."""
        self._spectrum, self._memory, self._key = spectrum, memory, tuple(key)
        self._kept = np.exp(-1 / memory)
        self._state: NDArray[np.complex128] | None = None
        self._time: np.datetime64 = _FIRST_HOUR

    def at(self, time: np.datetime64, drift: tuple[float, float] = (0.0, 0.0)) -> Array:
        """Return the pattern (rows, columns) at ``time``, not before the time of the last call.

        Args:
            time: full hour.
            drift: rows and columns by which it moved in each hour since.
        """
        if self._state is None:
            self._time = time - np.timedelta64(round(_SPIN_UP * self._memory), "h")
            self._state = self._renewal()
        moved = self._shift(drift)
        while self._time < time:
            self._time = self._time + np.timedelta64(1, "h")
            self._state = self._state * moved * self._kept + self._renewal() * np.sqrt(1 - self._kept**2)
        return np.fft.irfft2(self._state, self._spectrum.shape)

    def _renewal(self) -> NDArray[np.complex128]:
        return self._spectrum.draw(*self._key, counted(self._time))

    def _shift(self, drift: tuple[float, float]) -> NDArray[np.complex128]:
        along, across = self._spectrum.frequencies
        turned: NDArray[np.complex128] = np.exp(-2j * np.pi * (along * drift[0] + across * drift[1]))
        return turned
