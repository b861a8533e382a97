"""Shards of a span, a day each, from states that come one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep.store.layout import ArrayLayout
from atmorep.store.shards import write_shard
from atmorep.timeaxis import Hours, Span

Fill = Callable[[NDArray[np.float32], np.datetime64], None]
"""Puts the state at a time into a block (level, rows, columns)."""


def write_days(layout: ArrayLayout, span: Span, missing: Hours, fill: Fill) -> list[dict[str, Any]]:
    """Write the shard of each day of ``span``; a day that is missing whole has none.

    Memory is bounded by a block of as many times as an inner chunk has; a rerun overwrites what an
    earlier run left. Flushing to the disk is left to the caller.

    Args:
        layout: the array, which exists.
        span: the days.
        missing: times without values.
        fill: called for each other time, in order.

    Returns:
        Path within the store, size in bytes and CRC-32C of each shard.
    """
    block = np.empty((layout.chunk[0], len(layout.levels), *layout.grid.shape), np.float32)
    first = int(layout.axis.index(np.datetime64(span.start, "h"))) // layout.axis.per_day
    shards = []
    for day in range(first, first + span.days):
        path, times = layout.shard_path(day), layout.axis.times(*_bounds(layout, day))
        if np.isin(times, missing).all():
            path.unlink(missing_ok=True)
            continue
        size, checksum = write_shard(path, _blocks(block, times, missing, fill), layout.chunk)
        shards.append({"path": str(path.relative_to(layout.store)), "size": size, "crc32c": checksum})
    return shards


def _bounds(layout: ArrayLayout, day: int) -> tuple[int, int]:
    return day * layout.axis.per_day, (day + 1) * layout.axis.per_day


def _blocks(
    block: NDArray[np.float32], times: Hours, missing: Hours, fill: Fill
) -> Iterator[NDArray[np.float32]]:
    """Yield ``block`` with as many times as it holds, in turn."""
    for start in range(0, times.size, len(block)):
        for state, time in zip(block, times[start:], strict=False):
            if time in missing:
                state[...] = np.nan
            else:
                fill(state, time)
        yield block
