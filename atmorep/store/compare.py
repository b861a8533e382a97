"""Proof that the shards of one field and span are whole and equal the raw files within the rounding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.paths import Paths
from atmorep.sources.raw import RawFile, open_raw
from atmorep.store.arrays import open_array, read
from atmorep.store.layout import check_layout, field_layout
from atmorep.timeaxis import Span


def compare(config: Config, field: str, span: str) -> None:
    """Decode the raw files again, compare with the store, and write the outcome.

    Every hour must be in the store within half a packing step of the raw value (and half a unit in
    the last place of float32), or be recorded as missing and hold no value. Every shard must have
    the size and checksum its manifest says.

    Raises:
        DataError: if a raw file is not what it should be.
        IntegrityError: naming shard, or level and hour, that differ.
    """
    days, paths = Span.parse(span), Paths(config)
    part = paths.part(field, days)
    manifest = integrity.read(part)
    check_layout(field_layout(config, field).described)
    comparison = _Comparison(config, field, days, manifest)
    comparison.check_shards()
    comparison.compare()
    integrity.write(
        paths.compared(field, days),
        [],
        remedy=f"rerun 'atmorep compare --field {field} --span {days}'",
        sources=[integrity.entry(part)],
        field=field,
        span=str(days),
        max_abs_error=comparison.error,
        tolerance=comparison.tolerance,
        hours=comparison.hours,
        missing=manifest["missing"],
    )


class _Comparison:
    """Store and raw files of one field and span, side by side.

    Attributes:
        error: largest difference seen.
        tolerance: largest difference allowed anywhere.
        hours: number of hours compared.
    """

    def __init__(self, config: Config, field: str, span: Span, manifest: dict[str, Any]) -> None:
        self._config, self._field, self._span, self._manifest = config, field, span, manifest
        self._layout = field_layout(config, field)
        self._store, self._axis = self._layout.store, self._layout.axis
        self._times = span.hours(config.data.time_step)
        self._missing = set(np.array(manifest["missing"], "datetime64[h]"))
        self.error, self.tolerance, self.hours = 0.0, 0.0, 0

    def _remedy(self) -> str:
        return f"rerun 'atmorep convert --field {self._field} --span {self._span}'"

    def check_shards(self) -> None:
        """Compare the shards on disk with the manifest, by name, size and checksum."""
        there = np.array([t for t in self._times if t not in self._missing], "datetime64[h]")
        days = np.unique(self._axis.index(there) // self._axis.per_day)
        expected = {str(self._layout.shard_path(int(day)).relative_to(self._store)) for day in days}
        listed = {shard["path"] for shard in self._manifest.get("files", ())}
        if expected != listed:
            odd = ", ".join(sorted(expected ^ listed)[:3])
            raise IntegrityError(
                f"{Paths(self._config).part(self._field, self._span)}: lists {len(listed)} shards instead of "
                f"{len(expected)} (differing: {odd}); {self._remedy()}"
            )
        integrity.check(Paths(self._config).part(self._field, self._span))

    def compare(self) -> None:
        """Compare all hours, as many at a time as an inner chunk has."""
        array = open_array(self._store, self._field)
        levels = self._config.store_levels(self._field)
        files = [open_raw(self._config, self._field, level, self._span) for level in levels]
        first, block = int(self._axis.index(self._times[0])), self._layout.chunk[0]
        for start in range(first, first + self._times.size, block):
            stored = read(array[start : start + block])
            for time, state in zip(self._axis.times(start, start + block), stored, strict=True):
                self._compare_hour(state, time, levels, files)

    def _compare_hour(
        self,
        stored: NDArray[np.float32],
        time: np.datetime64,
        levels: Sequence[int],
        files: Sequence[RawFile],
    ) -> None:
        if time in self._missing:
            self._compare_missing(stored, time, files)
            return
        for level, values, file in zip(levels, stored, files, strict=True):
            self._compare(values, file, level, time)
        self.hours += 1

    def _compare_missing(
        self, stored: NDArray[np.float32], time: np.datetime64, files: Sequence[RawFile]
    ) -> None:
        if not np.isnan(stored).all() or all(time in file.times for file in files):
            raise IntegrityError(
                f"{self._store}/{self._field}, {time}:00: is recorded as missing but has values in the store "
                f"or at all levels of the raw files; {self._remedy()}"
            )

    def _compare(self, stored: NDArray[np.float32], file: RawFile, level: int, time: np.datetime64) -> None:
        values = file.read(time)
        error = np.abs(values - stored).max()  # NaN in the store makes it NaN, which no bound admits
        allowed = _allowed(values, file.step(time))
        if not error <= allowed:
            raise IntegrityError(
                f"{self._store}/{self._field}, level {level}, {time}:00: differs from {file.name(time)} by "
                f"{error:g}, more than {allowed:g}; {self._remedy()}"
            )
        self.error, self.tolerance = max(self.error, float(error)), max(self.tolerance, allowed)


def _allowed(values: NDArray[np.floating], step: float) -> float:
    """Largest error admitted: none for float32, else half a packing step or half a unit of float32."""
    if values.dtype == np.float32:
        return 0.0
    unit = float(np.spacing(np.abs(values).max().astype(np.float32)))
    step = step if values.min() < values.max() else 0.0  # the step of a constant field says nothing
    return step / 2 + (unit / 2 if step < unit else 0.0)
