"""Raw files of one field and span to shards of the store, a day at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep import __version__
from atmorep.artefacts import write_json
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.fields import Field
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import raw
from atmorep.sources.raw import RawFile, open_raw
from atmorep.store import layout
from atmorep.store.layout import chunk_shape, shard_path
from atmorep.store.shards import write_shard
from atmorep.timeaxis import Hours, Span, TimeAxis

_RESIDUE = 1e-9
"""How far below its floor a value may lie, in the field's unit, besides its packing step."""


def convert(config: Config, field: str, span: str) -> None:
    """Write the shards of ``field`` for the days of ``span``, then their manifest.

    Values of packed GRIB are rounded to a power of two not above their packing step; NetCDF is kept
    as it is. Memory is bounded by a block of as many hours as a chunk has; a rerun overwrites what an
    earlier run left.

    Raises:
        DataError: naming file, message and field, if the raw files are not what they should be.
    """
    days, paths = Span.parse(span), Paths(config)
    layout.create(config, field)
    files = [open_raw(config, field, level, days) for level in config.store_levels(field)]
    missing = _missing(files, days.hours(config.data.time_step))
    conversion = _Conversion(config, field, files, missing)
    shards = conversion.write(days)
    os.sync()  # shards before their manifest; once for all, since each on its own takes far longer
    manifest = {
        "field": field,
        "span": str(days),
        "missing": [str(hour) for hour in missing],
        "shards": shards,
        "raw": [raw.describe(file) for file in files],
        "tolerance": conversion.tolerance,
        "code_version": __version__,
    }
    write_json(paths.part(field, days), manifest)


def _missing(files: Sequence[RawFile], hours: Hours) -> Hours:
    """Hours that at least one level lacks; that they may be missing, ``open_raw`` has checked."""
    there = hours
    for file in files:
        there = np.intersect1d(there, file.times)
    return np.setdiff1d(hours, there)


class _Conversion:
    """One field and span on its way from raw files to shards.

    Attributes:
        tolerance: bound of the rounding error of all values written so far.
    """

    def __init__(self, config: Config, field: str, files: Sequence[RawFile], missing: Hours) -> None:
        self._config, self._field, self._files = config, field, files
        self._axis = TimeAxis.of(config.data)
        self._missing = set(missing)
        self._chunk = chunk_shape(config, field)
        grid = Grid.from_config(config.data.grid)
        self._block = np.empty((self._chunk[0], len(files), *grid.shape), np.float32)
        self.tolerance = 0.0

    def write(self, span: Span) -> list[dict[str, Any]]:
        """Write the shard of each day of ``span``; returns their description."""
        first = int(self._axis.index(np.datetime64(span.start, "h")))
        days = range(first // self._axis.per_day, first // self._axis.per_day + span.days)
        return [shard for day in days if (shard := self._write_day(day))]

    def _write_day(self, day: int) -> dict[str, Any] | None:
        """Write the shard of a day; none (and an older one removed) if all its hours are missing."""
        path, start = shard_path(self._config, self._field, day), day * self._axis.per_day
        times = self._axis.times(start, start + self._axis.per_day)
        if self._missing.issuperset(times):
            path.unlink(missing_ok=True)
            return None
        size, checksum = write_shard(path, self._blocks(times), self._chunk)
        name = path.relative_to(Paths(self._config).store)
        return {"path": str(name), "size": size, "crc32c": checksum}

    def _blocks(self, times: Hours) -> Iterator[NDArray[np.float32]]:
        """Yield the values (time, level, rows, columns) of as many times as a chunk has, in turn."""
        for start in range(0, times.size, self._chunk[0]):
            for block, time in zip(self._block, times[start:], strict=False):
                self._fill(block, time)
            yield self._block

    def _fill(self, block: NDArray[np.float32], time: np.datetime64) -> None:
        """Put the rounded values of all levels at ``time`` into ``block`` (level, rows, columns)."""
        if time in self._missing:
            block[...] = np.nan
            return
        spec = known_field(self._field)
        for level, file in zip(block, self._files, strict=True):
            lowest, error = file.rounded(time, out=level)
            check_floor(spec, lowest, file, time)
            self.tolerance = max(self.tolerance, error)


def check_floor(field: Field, lowest: float, file: RawFile, time: np.datetime64) -> None:
    """Refuse values below what is physically possible.

    Raises:
        DataError: naming file, field and hour.
    """
    if field.floor is not None and lowest < field.floor - max(file.packing(time), _RESIDUE):
        raise DataError(
            f"{file.name(time)}: {lowest:g} {field.units} is below {field.floor:g}, which is impossible; "
            "check what the file holds and in which unit, or fetch it again"
        )
