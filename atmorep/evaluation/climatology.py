"""The climatological baseline: mean by hour of the day and calendar month, from training days only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config, Period
from atmorep.errors import DataError
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours, Span, training_spans

READ_BYTES = 32 * 2**20
"""Bytes of the field read at a time."""


@dataclass(frozen=True)
class Climatology:
    """Means per grid point by hour of the day and calendar month.

    Attributes:
        months: calendar months (1 to 12) that are held.
        step: hours between two times of a day.
        means: (month, time of day, level, row, column) in physical units; on disk, mapped.
    """

    months: tuple[int, ...]
    step: int
    means: NDArray[np.float32]

    def at(self, times: Hours, rows: slice, columns: slice) -> NDArray[np.float32]:
        """Return the climatology (time, level, row, column) of valid times, for a part of the grid."""
        month = times.astype("datetime64[M]").astype(np.int64) % 12 + 1
        hour = times.astype("datetime64[h]").astype(np.int64) % 24
        entries = zip(np.searchsorted(self.months, month), hour // self.step, strict=True)
        return np.stack([self.means[entry][:, rows, columns] for entry in entries])


def compute(
    config: Config, field: str, reader: FieldReader, path: Path, periods: Iterable[Period] | None = None
) -> Climatology:
    """Compute the climatology of all months of ``periods`` into the file ``path`` (NumPy format).

    Without ``periods`` the months are those of the test periods.

    One pass over the training days of these months, a band of rows at a time, so that memory is bounded
    by a day of a band. Hours recorded missing are left out. A month (or an hour of it) without training
    data takes the mean of all training days at that hour of the day.

    Raises:
        DataError: if an hour of the day is in no training day.
    """
    spanned = config.data.periods.test if periods is None else periods
    months = tuple(sorted({month for p in spanned for month in _months(p.start, p.end)}))
    axis, (rows, columns) = reader.axis, reader.grid.shape
    shape = (len(months), axis.per_day, len(reader.levels), rows, columns)
    means = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    spans = training_spans(config.data)
    height = config.network.neighbourhood.latitude
    for start in range(0, rows, height):
        band = slice(start, min(start + height, rows))
        for number, month in enumerate(months):
            mean = _mean(reader, (s for s in spans if s.start.month == month), band)
            if np.isnan(mean).any():
                mean = np.where(np.isnan(mean), _mean(reader, spans, band), mean)
            means[number, :, :, band] = mean
    if np.isnan(means[..., 0, 0]).any():
        hours = np.flatnonzero(np.isnan(means[0, :, 0, 0, 0])) * axis.step
        raise DataError(
            f"{field}: no training day has data at {', '.join(f'{h:02d}' for h in hours)} UTC, so there is "
            "no climatology to compare with; extend data.periods.train or complete the source"
        )
    return Climatology(months, axis.step, means)


def _months(start: object, end: object) -> set[int]:
    months = np.arange(np.datetime64(start, "M"), np.datetime64(end, "M") + 1)  # type: ignore[call-overload]
    return {int(month) % 12 + 1 for month in months.astype(np.int64)}


def _mean(reader: FieldReader, spans: Iterable[Span], rows: slice) -> NDArray[np.float32]:
    """Mean over days (time of day, level, row, column); NaN at times of the day without data."""
    axis, columns = reader.axis, reader.grid.shape[1]
    shape = (axis.per_day, len(reader.levels), rows.stop - rows.start, columns)
    total, count, available = np.zeros(shape), np.zeros(axis.per_day), reader.available()
    for start, steps in _pieces(reader, spans, 4 * total.size):
        values = reader.read(start, steps, rows.start, shape[2], 0, columns).reshape(-1, *shape)
        known = available[start : start + steps].reshape(-1, axis.per_day)
        total += np.where(known[..., None, None, None], values, 0).sum(axis=0, dtype=np.float64)
        count += known.sum(axis=0)
    with np.errstate(invalid="ignore"):
        return (total / count[:, None, None, None]).astype(np.float32)


def _pieces(reader: FieldReader, spans: Iterable[Span], day_bytes: int) -> Iterator[tuple[int, int]]:
    """First index and number of steps of whole days, at most ``READ_BYTES`` at a time."""
    axis = reader.axis
    longest = max(1, READ_BYTES // day_bytes) * axis.per_day
    for span in spans:
        first = int(axis.index(np.datetime64(span.start, "h")))
        stop = first + span.days * axis.per_day
        for start in range(first, stop, longest):
            yield start, min(longest, stop - start)
