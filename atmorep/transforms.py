"""Transforms of field values before normalisation, and back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atmorep.fields import field

LOG_SCALE = 1e-4
"""Precipitation in m where the log transform turns from linear to logarithmic (0.1 mm)."""


def forward(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Transform values of field ``name``: log(1 + x / LOG_SCALE) where the field says so.

    Negative values (GRIB packing leaves some of precipitation below zero) count as zero.
    """
    if field(name).transform == "log":
        return np.log1p(np.maximum(values, 0) / np.float32(LOG_SCALE))
    return values


def inverse(name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Undo :func:`forward`; values below the field's floor are raised to it."""
    spec = field(name)
    if spec.transform == "log":
        values = np.expm1(values) * np.float32(LOG_SCALE)
    return values if spec.floor is None else np.maximum(values, np.float32(spec.floor))
