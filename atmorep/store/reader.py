"""Reading a field from the store by index: what training and evaluation draw from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atmorep.artefacts import read_json
from atmorep.config import Config
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.arrays import open_array, read
from atmorep.timeaxis import TimeAxis, data_spans

CACHE_BYTES = 256 * 2**20
"""Decoded inner chunks kept by default."""

_LARGEST_SHARE = 8
"""Of a field this many times as large as the cache, random windows find too little in it: keeping
chunks then costs more than it saves (a fifth of the rate, measured on a global 0.25 degree field)."""


class FieldReader:
    """One field of the store, at the levels the model uses.

    Attributes:
        axis: time axis of the configuration; ``start`` of a reading counts on it.
        grid: horizontal grid.
        levels: levels read, in order; ``(0,)`` for a surface field.
    """

    def __init__(self, config: Config, field: str, cache_bytes: int = CACHE_BYTES) -> None:
        """Open the array of ``field``.

        Args:
            config: the experiment.
            field: ERA5 short name.
            cache_bytes: decoded inner chunks are kept up to this size; none are if the field is so
                much larger that they would hardly be met again.

        Raises:
            IntegrityError: if the store has no such array.
        """
        self.axis = TimeAxis.of(config.data)
        self.grid = Grid.from_config(config.data.grid)
        self.levels = config.model_levels(field)
        self._config, self._field = config, field
        stored = config.store_levels(field)
        whole = 4 * self.axis.size * len(stored) * self.grid.shape[0] * self.grid.shape[1]
        kept = cache_bytes if whole <= _LARGEST_SHARE * cache_bytes else 0
        array = open_array(Paths(config).store, field, cache_bytes=kept)
        places = [stored.index(level) for level in self.levels]
        # Selecting levels by a list is slower than taking them as they are.
        self._array = array if self.levels == stored else array[:, places]

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
        first = column % width if self.grid.periodic else column
        wrapped = max(0, first + columns - width) if self.grid.periodic else 0
        inside = 0 <= start <= start + steps <= self.axis.size and 0 <= row <= row + rows <= height
        if not inside or first < 0 or first + columns - wrapped > width or columns > width:
            raise IndexError(
                f"times {start} + {steps}, rows {row} + {rows}, columns {column} + {columns} are not within "
                f"{self.axis.size} times and {height} x {width} points of {self._field}"
            )
        window = self._array[start : start + steps, :, row : row + rows]
        if not wrapped:
            return read(window[..., first : first + columns])
        return np.concatenate([read(window[..., first:]), read(window[..., :wrapped])], axis=3)

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where the hour is in the store and not recorded as missing."""
        there = np.zeros(self.axis.size, bool)
        for span in data_spans(self._config.data):
            part = Paths(self._config).part(self._field, span)
            if part.exists():
                there[self.axis.index(span.hours(self.axis.step))] = True
                missing = np.array(read_json(part)["missing"], "datetime64[h]")
                there[self.axis.index(missing)] = False
        return there
