"""Which part of a target's region is predicted from which neighbourhood.

A patch is what is predicted at once: as much of the region as a neighbourhood holds with a margin, so that
cells at its edge are interpolated between points that are seen. Patches all have one size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config, TargetTask
from atmorep.grids import Grid
from atmorep.sampling.windows import Window

MARGIN = 1
"""Points of a neighbourhood around a patch, but where the grid ends with it."""


@dataclass(frozen=True)
class Patch:
    """What is predicted of one neighbourhood.

    Attributes:
        window: the neighbourhood.
        row: northernmost row of the patch on ``data.grid``.
        column: westernmost column; counted on from the last one where the region does on a periodic grid.
    """

    window: Window
    row: int
    column: int


class Tile(NamedTuple):
    """A patch along one axis, and which of its points it is to stand for among overlapping ones."""

    first: int
    own: slice


@dataclass(frozen=True)
class Line:
    """Patches along one axis, in points of ``data.grid``.

    Attributes:
        region: points of the region.
        extent: points of a neighbourhood.
        points: points of the grid; None where it is periodic.
    """

    region: slice
    extent: int
    points: int | None

    @property
    def size(self) -> int:
        """Points of a patch."""
        whole = int(self.region.stop - self.region.start)
        return whole if self.points == self.extent else min(whole, max(1, self.extent - 2 * MARGIN))

    @property
    def starts(self) -> range:
        """First points of all patches."""
        return range(self.region.start, self.region.stop - self.size + 1)

    def windows(self, start: int) -> range:
        """First points of the neighbourhoods that hold the patch from ``start`` with its margin."""
        margin = min(MARGIN, (self.extent - self.size) // 2)
        first, last = start + self.size + margin - self.extent, start - margin
        if self.points is None:
            return range(first, last + 1)
        end = self.points - self.extent
        return range(min(max(first, 0), end), min(max(last, 0), end) + 1)

    def tiles(self) -> list[Tile]:
        """Fewest patches that cover the region, evenly spread; each point belongs to one of them."""
        starts, size = self.starts, self.size
        number = -(-(self.region.stop - self.region.start) // size)
        first = np.linspace(starts[0], starts[-1], number).round().astype(int).tolist()
        inner = [(one + size + other) // 2 for one, other in pairwise(first)]
        edges = [self.region.start, *inner, self.region.stop]
        return [Tile(start, slice(*own)) for start, own in zip(first, pairwise(edges), strict=True)]


@dataclass(frozen=True)
class Patches:
    """All patches of a target's region.

    Attributes:
        rows: from north to south.
        columns: from west to east.
        refine: cells along each side of a point.
    """

    rows: Line
    columns: Line
    refine: int

    @classmethod
    def of(cls, config: Config, task: TargetTask) -> Patches:
        """The patches of the target of ``task``."""
        grid, target, extent = (
            Grid.from_config(config.data.grid),
            config.targets[task.target],
            config.network.neighbourhood,
        )
        rows, columns = grid.part(target.region)
        points = None if grid.periodic else grid.shape[1]
        lines = Line(rows, extent.latitude, grid.shape[0]), Line(columns, extent.longitude, points)
        return cls(*lines, target.refine)

    @property
    def shape(self) -> tuple[int, int]:
        """Points of a patch."""
        return self.rows.size, self.columns.size

    def draw(self, starts: NDArray[np.int64], rng: np.random.Generator) -> Patch:
        """Draw a patch uniformly, and uniformly one of the neighbourhoods that hold it.

        Args:
            starts: first time steps of neighbourhoods to draw from.
            rng: draws.
        """
        start = int(starts[rng.integers(len(starts))])
        (row, window_row), (column, window_column) = (_drawn(line, rng) for line in (self.rows, self.columns))
        return Patch(Window(start, window_row, window_column), row, column)

    def tiles(self, start: int) -> Iterator[tuple[Patch, slice, slice]]:
        """Yield patches at a time that cover the region, each with the rows and columns that are its own."""
        for row in self.rows.tiles():
            for column in self.columns.tiles():
                places = (_middle(self.rows.windows(row.first)), _middle(self.columns.windows(column.first)))
                yield Patch(Window(start, *places), row.first, column.first), row.own, column.own

    def cells(self, patch: Patch) -> tuple[int, int]:
        """First row and column of a patch on the evaluation grid."""
        row, column = patch.row - self.rows.region.start, patch.column - self.columns.region.start
        return row * self.refine, column * self.refine


def _drawn(line: Line, rng: np.random.Generator) -> tuple[int, int]:
    """First point of a patch, and of a neighbourhood that holds it."""
    start = line.starts[rng.integers(len(line.starts))]
    windows = line.windows(start)
    return start, windows[rng.integers(len(windows))]


def _middle(places: range) -> int:
    return places[len(places) // 2]


class Steps(NamedTuple):
    """Time steps of a neighbourhood that are predicted.

    Attributes:
        tokens: token steps.
        steps: the time steps of these.
    """

    tokens: slice
    steps: slice

    @classmethod
    def of(cls, config: Config, task: TargetTask) -> Steps:
        """Those of the middle token, which sees both sides, or all."""
        field = config.tokens_read(task)[0]
        length, number = config.token_size(field).time, config.tokens(field).time
        first, stop = (number // 2, number // 2 + 1) if task.steps == "middle" else (0, number)
        return cls(slice(first, stop), slice(first * length, stop * length))
