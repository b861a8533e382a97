"""What neighbourhoods are read from: the store, or a dataset of a user's own."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atmorep.grids import Grid
from atmorep.timeaxis import TimeAxis


class StateReader(Protocol):
    """States of one field by index.

    Attributes:
        axis: time axis; ``start`` of a reading counts on it.
        grid: horizontal grid.
        levels: levels read, in order; (0,) at the surface.
    """

    axis: TimeAxis
    grid: Grid
    levels: tuple[int, ...]

    def read(
        self, start: int, steps: int, row: int, rows: int, column: int, columns: int
    ) -> NDArray[np.float32]:
        """Return values (steps, level, rows, columns) in physical units; NaN where there are none.

        Columns go on from the last to the first on a periodic grid.
        """

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where there is a state."""
