"""Time as integers: a regular axis, and spans of days that never cross a month."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep.config.data import Data, Period
from atmorep.errors import ConfigError

Hours = NDArray[np.datetime64]


@dataclass(frozen=True, order=True)
class Span:
    """Days of one calendar month, both ends included: the unit that is fetched and converted.

    Written ``2011-01`` for a whole month, else ``2011-01-01_2011-01-03``.
    """

    start: dt.date
    end: dt.date

    def __post_init__(self) -> None:
        if self.end < self.start or (self.start.year, self.start.month) != (self.end.year, self.end.month):
            raise ValueError(f"{self.start} to {self.end} is not a span of days of one month")

    @classmethod
    def parse(cls, text: str) -> Span:
        """Read what ``str(span)`` wrote.

        Raises:
            ConfigError: if ``text`` is neither YYYY-MM nor YYYY-MM-DD_YYYY-MM-DD.
        """
        try:
            if re.fullmatch(r"\d{4}-\d{2}", text):
                return cls.month(int(text[:4]), int(text[5:]))
            start, end = text.split("_")
            return cls(dt.date.fromisoformat(start), dt.date.fromisoformat(end))
        except ValueError as error:
            raise ConfigError(
                f"span '{text}' is not YYYY-MM or YYYY-MM-DD_YYYY-MM-DD within a month: {error}"
            ) from None

    @classmethod
    def month(cls, year: int, month: int) -> Span:
        """The whole of a month."""
        return cls(dt.date(year, month, 1), _last_day(dt.date(year, month, 1)))

    def __str__(self) -> str:
        if self == Span.month(self.start.year, self.start.month):
            return f"{self.start:%Y-%m}"
        return f"{self.start}_{self.end}"

    @property
    def days(self) -> int:
        """Number of days."""
        return (self.end - self.start).days + 1

    def hours(self, step: int) -> Hours:
        """Valid times at every ``step`` hours from 00 UTC of the first day, datetime64[h]."""
        start = np.datetime64(self.start, "h")
        return start + np.arange(0, 24 * self.days, step).astype("timedelta64[h]")


def _last_day(day: dt.date) -> dt.date:
    following = (day.replace(day=28) + dt.timedelta(days=4)).replace(day=1)
    return following - dt.timedelta(days=1)


def _pieces(period: Period) -> Iterator[Span]:
    start = period.start
    while start <= period.end:
        end = min(period.end, _last_day(start))
        yield Span(start, end)
        start = end + dt.timedelta(days=1)


def spans(periods: Iterable[Period]) -> list[Span]:
    """Spans that cover ``periods``, one a month (days between two periods of a month included)."""
    months: dict[tuple[int, int], Span] = {}
    for piece in (p for period in periods for p in _pieces(period)):
        key = (piece.start.year, piece.start.month)
        old = months.get(key, piece)
        months[key] = Span(min(old.start, piece.start), max(old.end, piece.end))
    return [months[key] for key in sorted(months)]


def training_spans(data: Data) -> list[Span]:
    """Spans of exactly the training days, one a month and period."""
    return sorted(piece for period in data.periods.train for piece in _pieces(period))


def data_spans(data: Data) -> list[Span]:
    """Spans of all days a configuration uses."""
    p = data.periods
    return spans((*p.train, *p.validation, *p.test))


@dataclass(frozen=True)
class TimeAxis:
    """A regular axis of valid times.

    Attributes:
        origin: first valid time, 00 UTC of the first of a month.
        step: hours between two times.
        size: number of times.
    """

    origin: np.datetime64
    step: int
    size: int

    @classmethod
    def of(cls, data: Data) -> TimeAxis:
        """The axis of the store: from the first configured month to the last configured day."""
        used = data_spans(data)
        origin = np.datetime64(used[0].start.replace(day=1), "h")
        end = np.datetime64(used[-1].end + dt.timedelta(days=1), "h")
        return cls(origin, data.time_step, int((end - origin).astype(int)) // data.time_step)

    @property
    def per_day(self) -> int:
        """Times a day."""
        return 24 // self.step

    def index(self, time: np.datetime64 | Hours) -> NDArray[np.int64]:
        """Indices of valid times; exact.

        Raises:
            ValueError: for a time off the axis.
        """
        hours = (np.asarray(time, "datetime64[h]") - self.origin).astype(np.int64)
        if np.any(hours % self.step) or np.any(hours < 0) or np.any(hours >= self.size * self.step):
            raise ValueError(f"{time} is not on the axis {self}")
        return hours // self.step

    def times(self, start: int = 0, stop: int | None = None) -> Hours:
        """Valid times of indices ``start`` to ``stop`` (default all), datetime64[h]."""
        stop = self.size if stop is None else stop
        return self.at(np.arange(start, stop))

    def at(self, index: Any) -> Any:
        """Valid times datetime64[h] of integer indices, of any shape."""
        return self.origin + (index * self.step).astype("timedelta64[h]")
