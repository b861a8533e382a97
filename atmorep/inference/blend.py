"""Overlapping neighbourhoods that cover a domain, and their predictions blended without seams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atmorep.grids import Grid


@dataclass(frozen=True)
class Line:
    """Neighbourhoods along one axis: as few as overlap by half or more, evenly spread.

    Attributes:
        size: points of the domain.
        extent: points of a neighbourhood, at most ``size``.
        periodic: whether the last point is followed by the first.
    """

    size: int
    extent: int
    periodic: bool

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First point of each neighbourhood."""
        stride = max(1, self.extent // 2)
        if self.periodic:
            first = np.linspace(0, self.size, -(-self.size // stride), endpoint=False)
        else:
            last = self.size - self.extent
            first = np.linspace(0, last, -(-last // stride) + 1)
        return tuple(first.round().astype(int).tolist())

    def points(self, start: int) -> NDArray[np.int64]:
        """Points of the neighbourhood from ``start`` (extent,)."""
        return (start + np.arange(self.extent)) % self.size

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weights (neighbourhood, extent): a Hann window over the sum of all at the point.

        At every point they add up to one; they are smallest where a neighbourhood ends within the domain.
        """
        window = np.sin(np.pi * (np.arange(self.extent) + 0.5) / self.extent) ** 2
        total = np.zeros(self.size)
        for start in self.starts:
            np.add.at(total, self.points(start), window)
        return np.stack([window / total[self.points(start)] for start in self.starts])


class Tile(NamedTuple):
    """A neighbourhood, by its number along either axis and its first row and column."""

    down: int
    across: int
    row: int
    column: int


@dataclass(frozen=True)
class Cover:
    """Neighbourhoods that cover a domain.

    Attributes:
        rows: from north to south.
        columns: from west to east.
    """

    rows: Line
    columns: Line

    @classmethod
    def of(cls, grid: Grid, rows: int, columns: int) -> Cover:
        """Cover ``grid`` with neighbourhoods of ``rows`` x ``columns`` points, which it holds."""
        return cls(Line(grid.shape[0], rows, False), Line(grid.shape[1], columns, grid.periodic))

    @cached_property
    def tiles(self) -> list[Tile]:
        """The neighbourhoods, row by row."""
        return [
            Tile(down, across, row, column)
            for down, row in enumerate(self.rows.starts)
            for across, column in enumerate(self.columns.starts)
        ]

    def batches(self, size: int) -> Iterator[list[Tile]]:
        """Yield the neighbourhoods, ``size`` at a time."""
        return (self.tiles[first : first + size] for first in range(0, len(self.tiles), size))

    def cut(self, values: NDArray[np.float32], tile: Tile) -> NDArray[np.float32]:
        """Return the values of ``tile`` out of those of the domain (..., row, column)."""
        rows, columns = self.rows.points(tile.row), self.columns.points(tile.column)
        return values[..., rows[0] : rows[-1] + 1, :][..., columns]

    def weights(self, tile: Tile) -> NDArray[np.float32]:
        """Weights (row, column) of ``tile``; those of all tiles at a point add up to one."""
        down, across = self.rows.weights[tile.down], self.columns.weights[tile.across]
        return (down[:, None] * across).astype(np.float32)


class Blend:
    """Predictions of tiles, blended into those of the domain.

    Attributes:
        values: (..., row, column); whole once all tiles were added.
    """

    def __init__(self, cover: Cover, shape: Sequence[int]) -> None:
        """Make room for values of ``shape`` at each point."""
        self._cover = cover
        self.values = np.zeros((*shape, cover.rows.size, cover.columns.size), np.float32)

    def add(self, tile: Tile, values: NDArray[np.float32]) -> None:
        """Add what was predicted of ``tile`` (..., row, column)."""
        rows, columns = self._cover.rows.points(tile.row), self._cover.columns.points(tile.column)
        self.values[..., rows[0] : rows[-1] + 1, columns] += values * self._cover.weights(tile)
