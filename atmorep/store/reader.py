"""Reading from a store by index: what training and evaluation draw from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.store.arrays import open_array, read
from atmorep.store.layout import ArrayLayout, field_layout
from atmorep.timeaxis import Span, data_spans

CACHE_BYTES = 256 * 2**20
"""Decoded inner chunks kept by default."""

_LARGEST_SHARE = 2
"""Of a field this many times as large as the cache, random windows find too little in it: keeping
chunks then costs more than it saves, in time and in memory (docs/benchmarks.md)."""


class ArrayReader:
    """An array of a store, at some of its levels.

    Attributes:
        axis: time axis; ``start`` of a reading counts on it.
        grid: horizontal grid.
        levels: levels read, in order.
    """

    def __init__(
        self,
        layout: ArrayLayout,
        parts: Mapping[Span, Path],
        levels: tuple[int, ...] | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        """Open the array.

        Args:
            layout: the array.
            parts: manifest of the shards of each span.
            levels: levels wanted; all by default.
            cache_bytes: decoded inner chunks are kept up to this size; none are if the array is so
                much larger that they would hardly be met again.

        Raises:
            IntegrityError: if the store has no such array.
        """
        self.axis, self.grid = layout.axis, layout.grid
        self.levels = layout.levels if levels is None else levels
        self._name, self._parts = layout.name, parts
        kept = cache_bytes if 4 * math.prod(layout.shape) <= _LARGEST_SHARE * cache_bytes else 0
        array = open_array(layout.store, layout.name, cache_bytes=kept)
        places = [layout.levels.index(level) for level in self.levels]
        # Selecting levels by a list is slower than taking them as they are.
        self._array = array if self.levels == layout.levels else array[:, places]

    def read(
        self, start: int, steps: int, row: int, rows: int, column: int, columns: int
    ) -> NDArray[np.float32]:
        """Return values (steps, level, rows, columns) in physical units; NaN where there are none.

        Columns go on from the last to the first on a periodic grid.

        Args:
            start: index of the first time on ``axis``.
            steps: number of times.
            row: first row.
            rows: number of rows.
            column: first column, any integer on a periodic grid.
            columns: number of columns.

        Raises:
            IndexError: if the window leaves the time axis or the grid.
            IntegrityError: if a shard is corrupted.
        """
        height, width = self.grid.shape
        if self.grid.periodic and columns > width:  # more than once around
            ring = self.read(start, steps, row, rows, 0, width)
            return ring[..., (column + np.arange(columns)) % width]
        first = column % width if self.grid.periodic else column
        wrapped = max(0, first + columns - width) if self.grid.periodic else 0
        inside = 0 <= start <= start + steps <= self.axis.size and 0 <= row <= row + rows <= height
        if not inside or first < 0 or first + columns - wrapped > width or columns > width:
            raise IndexError(
                f"times {start} + {steps}, rows {row} + {rows}, columns {column} + {columns} are not within "
                f"{self.axis.size} times and {height} x {width} points of {self._name}"
            )
        window = self._array[start : start + steps, :, row : row + rows]
        if not wrapped:
            return read(window[..., first : first + columns])
        return np.concatenate([read(window[..., first:]), read(window[..., :wrapped])], axis=3)

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where the time is in the store and not recorded as missing."""
        there = np.zeros(self.axis.size, bool)
        for span, part in self._parts.items():
            if part.exists():
                there[self.axis.index(span.hours(self.axis.step))] = True
                missing = np.array(integrity.read(part)["missing"], "datetime64[h]")
                there[self.axis.index(missing)] = False
        return there


class FieldReader(ArrayReader):
    """One ERA5 field of the store, at the levels the model uses; ``(0,)`` for a surface field."""

    def __init__(self, config: Config, field: str, cache_bytes: int = CACHE_BYTES) -> None:
        """Open the array of ``field``, an ERA5 short name; see :class:`ArrayReader`.

        Raises:
            IntegrityError: if the store has no such array.
        """
        parts = {span: Paths(config).part(field, span) for span in data_spans(config.data)}
        super().__init__(field_layout(config, field), parts, config.model_levels(field), cache_bytes)
