"""Baselines: what is known without a model from the visible points, of the same place or of those around.

Arrays have the axes (step, level, row, column); time is the first one. Where nothing is visible to persist
or interpolate, the climatology stands in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.linalg import LaplacianNd, splu

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


def harmonic(values: Values, hidden: Mask, climatology: Values) -> Values:
    """Fill gaps in space: the anomaly within is the harmonic function of that around.

    Each hidden point has the mean of its neighbours' anomalies (the discrete Laplace equation), those at the
    edge of what is looked at of as many as they have. A state without a visible point gets the climatology.
    Arguments as in :func:`persistence`.
    """
    anomaly, filled = values - climatology, climatology.copy()
    states = hidden.reshape(-1, *hidden.shape[2:])
    for gap in np.unique(states, axis=0):
        alike = (hidden == gap).all(axis=(2, 3))
        if not gap.all():
            filled[alike] += _harmonic(anomaly[alike], gap)
    return np.where(hidden, filled, values)


@lru_cache(maxsize=8)
def _laplacian(rows: int, columns: int) -> csr_array:
    """Discrete Laplace operator, with no flow through the edges."""
    operator = LaplacianNd((rows, columns), boundary_conditions="neumann", dtype=np.float64)
    return csr_array(operator.tosparse())


def _harmonic(states: Values, gap: Mask) -> Values:
    """Fill ``gap`` (row, column) of states (state, row, column)."""
    flat, inside = states.reshape(len(states), -1).copy(), gap.ravel()
    if not inside.any():
        return states
    matrix = _laplacian(*gap.shape)[inside]
    around = matrix[:, ~inside] @ flat[:, ~inside].T
    flat[:, inside] = splu(matrix[:, inside].tocsc()).solve(-around.astype(np.float64)).T
    return flat.reshape(states.shape)


BASELINES: dict[str, Callable[[Values, Mask, Values], Values]] = {
    "persistence": persistence,
    "climatology": climatology,
    "linear": linear,
    "harmonic": harmonic,
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
