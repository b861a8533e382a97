"""Damped persistence: the last anomaly, as much of it as lasts on average until the lead time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.evaluation.climatology import Climatology
from atmorep.sampling.windows import valid_starts
from atmorep.store.reader import FieldReader

Values = NDArray[np.float32]

STATES = 256
"""Initial times that the damping is fitted on, evenly over the training days."""


def fit(
    config: Config, field: str, reader: FieldReader, climatology: Climatology, lead_hours: Sequence[int]
) -> NDArray[np.float64]:
    """Return the share ρ (lead, level) of an anomaly that is left after each lead time, on training days.

    Least squares through the origin, by area: ρ = Σ a(t + lead) a(t) / Σ a(t)², which is the autocorrelation
    of a stationary anomaly a. Memory: two states of the domain and their climatology.

    Args:
        config: the experiment.
        field: ERA5 short name.
        reader: the truth.
        climatology: of all months of the training periods.
        lead_hours: lead times, increasing.

    Raises:
        DataError: if no training period holds two states so far apart.
    """
    steps = [hours // reader.axis.step for hours in lead_hours]
    starts = valid_starts(reader.axis, config.data.periods.train, steps[-1] + 1, reader.available())
    if not len(starts):
        raise DataError(
            f"{field}: no training period holds states {lead_hours[-1]} h apart without a missing hour, so "
            "that damped persistence cannot be fitted; shorten rollout_hours or extend data.periods.train"
        )
    chosen = starts[np.unique(np.linspace(0, len(starts) - 1, STATES).round().astype(int))]
    products, squares = np.zeros((len(steps), len(reader.levels))), np.zeros(len(reader.levels))
    for start in chosen.tolist():
        before = _anomaly(reader, climatology, start)
        squares += _mean(reader, before * before)
        for number, ahead in enumerate(steps):
            products[number] += _mean(reader, before * _anomaly(reader, climatology, start + ahead))
    return np.divide(products, squares, out=np.zeros_like(products), where=squares > 0)


def _anomaly(reader: FieldReader, climatology: Climatology, step: int) -> Values:
    """Departure (level, row, column) from the climatology at a time."""
    rows, columns = reader.grid.shape
    normal = climatology.at(reader.axis.times(step, step + 1), slice(0, rows), slice(0, columns))
    departure: Values = (reader.read(step, 1, 0, rows, 0, columns) - normal)[0]
    return departure


def _mean(reader: FieldReader, values: Values) -> NDArray[np.float64]:
    """Mean over the area (level,)."""
    mean: NDArray[np.float64] = (values * reader.grid.weights).mean(axis=(1, 2), dtype=np.float64)
    return mean


def damped(last: Values, climatology: Values, remaining: NDArray[np.float64]) -> Values:
    """Return climatology + ρ (last state - climatology): states (lead, level, row, column).

    Args:
        last: the last state known (level, row, column).
        climatology: of the initial time and the lead times (1 + lead, level, row, column).
        remaining: ρ (lead, level).
    """
    anomaly = remaining[:, :, None, None] * (last - climatology[0])
    return climatology[1:] + anomaly.astype(np.float32)
