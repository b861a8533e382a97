"""What the configuration declares of a product's values, against what its files say."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Static, Target
from atmorep.errors import DataError
from atmorep.fields import field
from atmorep.sources.units import conversion

Minutes = NDArray[np.datetime64]
"""Times, datetime64[m]."""

_Step = TypeVar("_Step")

_STANDARD_GRAVITY = 9.80665
"""In m s-2; what a geopotential is divided by to be a height (ISO 80000-3, WMO)."""
_GEOPOTENTIAL = frozenset({"geopotential", "surface_geopotential"})
"""CF standard names of it."""


def scale(
    gridded: Target | Static, units: str | None, where: str, standard_name: str | None = None
) -> tuple[float, float]:
    """Return factor and offset from what the file holds to the unit of the field, or of a static field.

    A static field declared in m of which the file says that it is a geopotential becomes a height.

    Args:
        gridded: declares the unit of the values.
        units: what the file says, if it does.
        where: names file and variable, for messages.
        standard_name: of CF, if the file has one.

    Raises:
        DataError: if file, declaration and field have units that do not agree without doubt.
    """
    if isinstance(gridded, Static) and gridded.units == "m" and standard_name in _GEOPOTENTIAL:
        return conversion(units, "m2 s-2", where)[0] / _STANDARD_GRAVITY, 0.0
    wanted = field(gridded.field).units if isinstance(gridded, Target) else gridded.units
    first = conversion(units, gridded.units, where) if units else (1.0, 0.0)
    second = conversion(gridded.units, wanted, f"{where}: declared by the configuration")
    return first[0] * second[0], first[1] * second[0] + second[1]


def agree(kind: str, gridded: Target | Static, where: str) -> None:
    """Check what values are in time against the declaration.

    Raises:
        DataError: if the file says another.
    """
    if isinstance(gridded, Target) and gridded.time.kind != kind:
        raise DataError(
            f"{where}: holds values of kind {kind}, but the target's time.kind is {gridded.time.kind}; "
            "correct time.kind or choose another variable"
        )


def labelled(times: Minutes, gridded: Target | Static) -> Minutes:
    """Return the intervals (n, 2) that values labelled with ``times`` (n,) are declared to stand for."""
    if not isinstance(gridded, Target) or gridded.time.kind == "instant":
        return np.stack([times, times], 1)
    length = np.timedelta64(gridded.time.interval_minutes, "m")
    ends = times if gridded.time.label == "end" else times + length
    return np.stack([ends - length, ends], 1)


def minutes(times: NDArray[np.datetime64], where: str) -> Minutes:
    """Return ``times`` in minutes; files that count days as floating-point numbers are off by microseconds.

    Raises:
        DataError: if one is half a second or more from a full minute.
    """
    exact = times.astype("datetime64[ns]")
    whole = (exact + np.timedelta64(30, "s")).astype("datetime64[m]")
    odd = exact[np.abs(exact - whole) >= np.timedelta64(500, "ms")]
    if odd.size:
        raise DataError(f"{where}: {odd[0]} is no full minute; correct the time coordinate")
    return whole


def in_order(
    steps: Iterable[_Step], interval: Callable[[_Step], tuple[np.datetime64, np.datetime64]]
) -> tuple[list[_Step], Minutes]:
    """Return ``steps`` by time, and their intervals (n, 2).

    Raises:
        DataError: naming two of the same time.
    """
    ordered = sorted(steps, key=lambda step: interval(step)[::-1])
    for one, other in itertools.pairwise(ordered):
        if interval(one) == interval(other):
            raise DataError(f"{other}: holds {interval(other)[1]}, as {one} does; keep one of the two")
    return ordered, np.array([interval(step) for step in ordered], "datetime64[m]").reshape(-1, 2)


def one_grid(grids: Sequence[tuple[Path, str]]) -> None:
    """Check that files share a grid.

    Args:
        grids: each file, and what identifies its grid.

    Raises:
        DataError: naming two files that do not.
    """
    for path, grid in grids[1:]:
        if grid != grids[0][1]:
            raise DataError(
                f"{path}: lies on another grid ({grid}) than {grids[0][0]} ({grids[0][1]}); a product has "
                "one grid: make them targets of their own"
            )
