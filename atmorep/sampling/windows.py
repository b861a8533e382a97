"""Which neighbourhoods are drawn: a pure function of (seed, epoch, index), unbiased in time and area."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atmorep.config.data import Period
from atmorep.config.network import Extent
from atmorep.grids import Grid
from atmorep.timeaxis import TimeAxis


@dataclass(frozen=True)
class Window:
    """A neighbourhood, by indices on the store's axes.

    Attributes:
        start: first time step.
        row: northernmost row.
        column: westernmost column.
    """

    start: int
    row: int
    column: int


def sample_generator(purpose: str, seed: int, epoch: int, index: int, *part: str) -> np.random.Generator:
    """Return the generator of one sample, the same wherever and whenever it is drawn.

    Args:
        purpose: ``train``, ``validation`` or whatever else draws.
        seed: of the experiment.
        epoch: of the sample.
        index: of the sample in its epoch.
        part: what of the sample is drawn, so that its fields do not depend on each other.
    """
    words = [zlib.crc32(word.encode()) for word in (purpose, *part)]
    key = np.random.SeedSequence([words[0], seed, epoch, index, *words[1:]])
    return np.random.Generator(np.random.Philox(key))


def valid_starts(
    axis: TimeAxis, periods: Sequence[Period], steps: int, available: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """First steps of all windows of ``steps`` steps that lie within one period and lack no hour.

    Args:
        axis: the store's time axis.
        periods: where windows may lie.
        steps: time steps of a window.
        available: (axis.size,), True where a state exists.
    """
    starts = []
    for period in periods:
        first = int(axis.index(np.datetime64(period.start, "h")))
        last = int(axis.index(np.datetime64(period.end, "h"))) + axis.per_day  # exclusive
        gaps = np.concatenate([[0], np.cumsum(~available[first:last])])
        whole = gaps[steps:] == gaps[:-steps] if last - first >= steps else np.zeros(0, bool)
        starts.append(first + np.flatnonzero(whole))
    return np.concatenate(starts) if starts else np.zeros(0, np.int64)


@dataclass(frozen=True)
class WindowSampler:
    """Draws windows uniformly in time and, by area, on the sphere.

    Attributes:
        grid: the domain; columns wrap where it is periodic.
        extent: grid points of a neighbourhood.
        starts: first steps to draw from.
    """

    grid: Grid
    extent: Extent
    starts: NDArray[np.int64]

    def draw(self, rng: np.random.Generator) -> Window:
        """Draw time, then latitude of the centre in proportion to area, then longitude."""
        start = int(self.starts[rng.integers(len(self.starts))])
        edges = self._row_edges
        row = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
        rows, columns = self.grid.shape
        places = columns if self.grid.periodic else columns - self.extent.longitude + 1
        return Window(start, min(row, rows - self.extent.latitude), int(rng.integers(places)))

    @cached_property
    def _row_edges(self) -> NDArray[np.float64]:
        """Cumulative area of the rings that centres lie in, one a possible first row."""
        places = self.grid.shape[0] - self.extent.latitude + 1
        rows = np.arange(places + 1) - 0.5 + (self.extent.latitude - 1) / 2
        edge = np.clip(self.grid.north - self.grid.resolution * rows, -90, 90)  # rows at a pole own half
        return np.cumsum(-np.diff(np.sin(np.radians(edge))))
