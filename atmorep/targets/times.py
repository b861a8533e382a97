"""Which of a product's values make the value of a target at a time, by the rules of ``time``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atmorep.config.target import TargetTime
from atmorep.errors import ConfigError, DataError
from atmorep.timeaxis import Hours

Indices = NDArray[np.int64]
Intervals = NDArray[np.datetime64]
"""Start and end (n, 2) of what each value of a product stands for, datetime64[m]; equal for instants."""


class Tiling:
    """The intervals of a product, put together to the windows of a target.

    A window has a value only where intervals fill it exactly, without gap and without going beyond.
    """

    def __init__(self, name: str, time: TargetTime, intervals: Intervals) -> None:
        """Bind the intervals, in any order.

        Args:
            name: the target, for messages.
            time: what its values stand for.
            intervals: of the product.

        Raises:
            DataError: if intervals overlap, or do not go with ``time.kind``.
        """
        self._name, self._time = name, time
        edges = intervals.astype("datetime64[m]").astype(np.int64)
        self._order = np.lexsort((edges[:, 1], edges[:, 0]))
        self._start, self._end = edges[self._order].T
        self._check_kind()
        self._check_overlap()

    def _check_kind(self) -> None:
        instant = self._start == self._end
        if instant.all() == (self._time.kind == "instant") and instant.all() == instant.any():
            return
        said, other = self._time.kind, "instant" if instant.any() else "sum or mean"
        raise DataError(
            f"targets.{self._name}.time.kind = {said}: the files hold values of kind {other}; set it to that"
        )

    def _check_overlap(self) -> None:
        instants = self._time.kind == "instant"
        late = self._end[:-1] >= self._start[1:] if instants else self._end[:-1] > self._start[1:]
        if late.any():
            when = self._end[1:][late][0].astype("datetime64[m]")
            raise DataError(
                f"targets.{self._name}: two values for {when}; correct source.pattern so that files do not "
                "hold the same times"
            )

    def members(self, times: Hours) -> list[Indices]:
        """Return the numbers of the intervals of the window of each time; none where it is missing.

        Raises:
            ConfigError: if no window can be made of such intervals at all, naming the remedy.
        """
        end = times.astype("datetime64[m]").astype(np.int64) - self._time.offset_minutes
        window = 0 if self._time.kind == "instant" else 60 * self._time.window_hours
        first = np.searchsorted(self._start, end - window)
        last = np.searchsorted(self._end, end)
        found = [self._filled(a, b, e - window, e) for a, b, e in zip(first, last, end, strict=True)]
        if not any(some.size for some in found):
            self._refuse(end, window)
        return [self._order[some] for some in found]

    def _filled(self, first: int, last: int, start: int, end: int) -> Indices:
        """Numbers ``first`` to ``last`` if they fill the window exactly, else none."""
        some = np.arange(first, last + 1)
        if last >= self._end.size or not some.size:
            return np.array([], np.int64)
        whole = self._start[first] == start and self._end[last] == end
        joined = (self._end[some[:-1]] == self._start[some[1:]]).all()
        return some if whole and joined else np.array([], np.int64)

    def weights(self, members: Indices) -> NDArray[np.float64]:
        """Weights of the values in order of ``members``: 1 for sums, shares of the window for means."""
        if self._time.kind == "sum":
            return np.ones(members.size)
        place = np.argsort(self._order)[members]
        length = np.maximum(self._end[place] - self._start[place], 1)
        return length / length.sum()

    def _refuse(self, end: NDArray[np.int64], window: int) -> None:
        """Say why no window is filled."""
        key = f"targets.{self._name}.time"
        first, last = (
            edge.astype("datetime64[m]") for edge in (np.int64(self._start.min()), np.int64(self._end.max()))
        )
        asked = f"{end[0].astype('datetime64[m]')} to {end[-1].astype('datetime64[m]')}"
        inside = end[(end - window >= self._start.min()) & (end <= self._end.max())]
        if not inside.size:
            raise DataError(
                f"targets.{self._name}: the files hold {first} to {last}, nothing of {asked}; correct "
                "source.pattern or shorten data.periods"
            )
        longest = int((self._end - self._start).max())
        if window and longest > window:
            raise ConfigError(
                f"{key}.window_hours = {self._time.window_hours}: values of the files stand for {longest} "
                "minutes; use windows as long or several times as long"
            )
        late = int(inside[0] - self._end[np.abs(self._end - inside[0]).argmin()])
        raise ConfigError(
            f"{key}.offset_minutes = {self._time.offset_minutes}: values of the files end {abs(late)} "
            f"minutes {'before' if late > 0 else 'after'} the windows; accept that by offset_minutes: "
            f"{self._time.offset_minutes + late}, or use files of shorter intervals, such as RADKLIM YW"
        )
