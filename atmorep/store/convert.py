"""Raw files of one field and span to shards of the store, a day at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.fields import Field
from atmorep.fields import field as known_field
from atmorep.memory import keep_freed_memory
from atmorep.paths import Paths
from atmorep.sources import raw
from atmorep.sources.raw import RawFile, open_raw
from atmorep.store.days import write_days
from atmorep.store.layout import create, field_layout
from atmorep.timeaxis import Hours, Span

_RESIDUE = 1e-9
"""How far below its floor a value may lie, in the field's unit, besides its packing step."""


def convert(config: Config, field: str, span: str) -> None:
    """Write the shards of ``field`` for the days of ``span``, then their manifest.

    Values of packed GRIB are rounded to a power of two not above their packing step; NetCDF is kept
    as it is. Memory is bounded by a block of as many hours as a chunk has; a rerun overwrites what an
    earlier run left.

    Raises:
        DataError: naming file, message and field, if the raw files are not what they should be.
        IntegrityError: if a raw file is not what was delivered.
    """
    keep_freed_memory()
    days, layout = Span.parse(span), field_layout(config, field)
    part = Paths(config).part(field, days)
    files = [open_raw(config, field, level, days) for level in config.store_levels(field)]
    sources = [raw.describe(file) for file in files]
    part.unlink(missing_ok=True)  # it would stand for shards that are being written
    create(layout)
    missing = _missing(files, days.hours(config.data.time_step))
    conversion = _Conversion(field, files)
    shards = write_days(layout, days, missing, conversion.fill)
    os.sync()  # shards before their manifest; once for all, since each on its own takes far longer
    integrity.write(
        part,
        shards,
        base=layout.store,
        remedy=f"rerun 'atmorep convert --field {field} --span {days}'",
        sources=sources,
        arrays={field: {"shape": [layout.axis.per_day * days.days, *layout.shape[1:]], "dtype": "float32"}},
        field=field,
        span=str(days),
        missing=[str(hour) for hour in missing],
        tolerance=conversion.tolerance,
    )


def _missing(files: Sequence[RawFile], hours: Hours) -> Hours:
    """Hours that at least one level lacks; that they may be missing, ``open_raw`` has checked."""
    there = hours
    for file in files:
        there = np.intersect1d(there, file.times)
    return np.setdiff1d(hours, there)


class _Conversion:
    """One field and span on its way from raw files to shards.

    Attributes:
        tolerance: bound of the rounding error of all values so far.
    """

    def __init__(self, field: str, files: Sequence[RawFile]) -> None:
        self._spec, self._files = known_field(field), files
        self.tolerance = 0.0

    def fill(self, block: NDArray[np.float32], time: np.datetime64) -> None:
        """Put the rounded values of all levels at ``time`` into ``block`` (level, rows, columns)."""
        for level, file in zip(block, self._files, strict=True):
            lowest, error = file.rounded(time, out=level)
            check_floor(self._spec, lowest, file, time)
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
