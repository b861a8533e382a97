"""Rounding before compression: below the packing error the values have already."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHIFT = 1.5 * 2.0**52
"""Added to a float64 and taken off again, it leaves the nearest integer (ties to even)."""

_CACHED = 2**16
"""Values worked on at a time, so that they stay in the processor's cache."""


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


def fits_float32(reference: float, step: float) -> bool:
    """True if float32 holds ``reference`` plus any 16-bit multiple of ``step``, to one step exactly."""
    return step > 2.0**-120 and abs(reference) / step < 2**24 - 2**16


def unpack_rounded(
    integers: NDArray[np.uint16], reference: float, step: float, out: NDArray[np.float32]
) -> float:
    """Write ``reference + step * integers``, rounded to multiples of ``step``, to ``out``.

    Rounding the reference rounds all values; the rest is exact in float32.

    Args:
        integers: packed values.
        reference: value of integer 0; :func:`fits_float32` must hold.
        step: a power of two.
        out: of the same shape, float32.

    Returns:
        The error, at most half of ``step``, which all values have.
    """
    rounded = round(reference / step) * step
    rows = max(1, _CACHED // integers.shape[1])
    for start in range(0, integers.shape[0], rows):
        part = out[start : start + rows]
        np.multiply(integers[start : start + rows], np.float32(step), out=part)
        np.add(part, np.float32(rounded), out=part)
    return abs(rounded - reference)
