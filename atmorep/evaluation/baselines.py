"""Baselines in time: what is known without a model from the visible points of the same place.

Arrays have the axes (step, level, row, column); time is the first one. Where no step of a place is
visible there is nothing to persist or interpolate: the climatology stands in.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]


def persistence(values: Values, hidden: Mask, climatology: Values) -> Values:
    """Repeat the nearest earlier visible step; where there is none, the nearest later one.

    Args:
        values: the field; hidden points are not looked at.
        hidden: True where a point is hidden.
        climatology: stands in where no step is visible.
    """
    before, after = _neighbours(hidden)
    nearest = np.where(before < 0, np.minimum(after, len(hidden) - 1), before)
    return np.where(hidden.all(axis=0), climatology, _at(values, nearest))


def linear(values: Values, hidden: Mask, climatology: Values) -> Values:
    """Interpolate linearly in time between the nearest visible steps on both sides.

    Where only one side has a visible step, this one is repeated. Arguments as in :func:`persistence`.
    """
    before, after = _neighbours(hidden)
    last = len(hidden) - 1
    first, second = np.where(before < 0, after, before), np.where(after > last, before, after)
    first, second = np.clip(first, 0, last), np.clip(second, 0, last)
    steps = np.arange(last + 1)[:, None, None, None]
    weight = (np.clip(steps - first, 0, None) / np.maximum(second - first, 1)).astype(np.float32)
    start = _at(values, first)
    filled = start + weight * (_at(values, second) - start)
    return np.where(hidden.all(axis=0), climatology, filled)


def climatology(values: Values, hidden: Mask, climatology: Values) -> Values:
    """Return the climatology itself. Arguments as in :func:`persistence`."""
    return climatology


BASELINES: dict[str, Callable[[Values, Mask, Values], Values]] = {
    "persistence": persistence,
    "climatology": climatology,
    "linear": linear,
}
"""Baselines by the name they have in ``metrics.csv``."""


def _neighbours(hidden: Mask) -> tuple[Indices, Indices]:
    """Nearest visible step at or before (-1: none) and at or after (number of steps: none)."""
    size = len(hidden)
    steps = np.arange(size)[:, None, None, None]
    before = np.maximum.accumulate(np.where(hidden, -1, steps), axis=0)
    after = np.minimum.accumulate(np.where(hidden, size, steps)[::-1], axis=0)[::-1]
    return before, after


def _at(values: Values, steps: Indices) -> Values:
    return np.take_along_axis(values, steps, axis=0)
