"""Rounding before compression: below the packing error the values have already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHIFT = 1.5 * 2.0**52
"""Added to a float64 and taken off again, it leaves the nearest integer (ties to even)."""


def rounding_step(step: float) -> float:
    """Return the largest power of two that is not above ``step``; 0 stays 0 (no rounding)."""
    return 2.0 ** np.floor(np.log2(step)) if step > 0 else 0.0


def round_to(values: NDArray[np.floating], step: float, out: NDArray[np.float32]) -> None:
    """Write ``values``, rounded to multiples of a power of two, to ``out``.

    The zero bits this leaves at the end of each mantissa are what lets the store compress.

    Args:
        values: float64 or float32.
        step: a power of two, or 0 for no rounding.
        out: of the same shape, float32.
    """
    if step == 0:
        out[...] = values
        return
    shift = _SHIFT * step
    shifted = np.add(values, shift, dtype=np.float64)
    np.subtract(shifted, shift, out=out, casting="same_kind")


def tolerance(step: float, largest: float) -> float:
    """Bound of the error of :func:`round_to` for float64 values up to ``largest`` in magnitude.

    Half a step, and half a unit in the last place of float32 where that does not resolve the step.
    """
    unit = float(np.spacing(np.float32(largest)))
    return step / 2 + (unit / 2 if unit > step else 0.0)
