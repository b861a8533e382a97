"""From the model's spectral and Gaussian representation to a regular latitude-longitude grid."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from dinosaur.associated_legendre import evaluate as legendre
from dinosaur.spherical_harmonic import Grid as SpectralGrid
from jax import Array
from numpy.typing import NDArray

from atmorep.grids import Grid

_NEAREST_POLE = 89.9
"""Rows at a pole are evaluated here in degrees: winds are divided by cos(latitude)."""


class Horizontal:
    """Evaluates spectral arrays exactly, and Gaussian ones bilinearly, on a regular grid.

    Results are (..., rows, columns), north to south and west to east.

    Attributes:
        latitude, longitude: in radians, (rows, 1) and (1, columns).
    """

    def __init__(self, source: SpectralGrid, target: Grid) -> None:
        """Prepare the operators from ``source`` to ``target``."""
        latitude = np.radians(np.clip(target.latitude, -_NEAREST_POLE, _NEAREST_POLE))
        longitude = np.radians(target.longitude)
        self.latitude, self.longitude = latitude[:, None], longitude[None, :]
        waves = source.longitude_wavenumbers
        polynomials = legendre(waves, source.total_wavenumbers, np.sin(latitude))
        # Both the cosine and the sine of a wavenumber belong to the same polynomials.
        self._legendre = np.repeat(polynomials, 2, axis=0)[1:].astype(np.float32)
        self._fourier = _fourier(longitude, waves).astype(np.float32)
        rows = _linear(np.degrees(source.latitudes), target.latitude)
        self._rows = rows.astype(np.float32)
        around = np.append(np.degrees(source.longitudes), 360.0)
        columns = _linear(around, target.longitude % 360)
        columns[:, 0] += columns[:, -1]
        self._columns = columns[:, :-1].astype(np.float32)

    def spectral(self, x: Array) -> Array:
        """Evaluate the spectral array ``x`` (..., m, l)."""
        return jnp.einsum("cm,...rm->...rc", self._fourier, jnp.einsum("mrl,...ml->...rm", self._legendre, x))

    def gaussian(self, x: Array) -> Array:
        """Interpolate ``x`` (..., longitude, latitude); nothing positive turns negative."""
        return jnp.einsum("cx,...xy,ry->...rc", self._columns, x, self._rows)


def _fourier(longitude: NDArray[np.float64], waves: int) -> NDArray[np.float64]:
    """Real Fourier basis (longitude, m): constant, then cosine and sine of each wavenumber."""
    angles = longitude[:, None] * np.arange(1, waves)
    pairs = np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(len(longitude), -1)
    constant = np.full((len(longitude), 1), np.sqrt(0.5))
    basis: NDArray[np.float64] = np.concatenate([constant, pairs], axis=1) / np.sqrt(np.pi)
    return basis


def _linear(nodes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (points, nodes) of linear interpolation; constant beyond the ends."""
    return np.stack([np.interp(points, nodes, unit) for unit in np.eye(len(nodes))], axis=1)
