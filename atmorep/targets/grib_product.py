"""Products in GRIB 1 or 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Static, Target
from atmorep.errors import DataError
from atmorep.sources import grib
from atmorep.targets.declared import Minutes, agree, in_order, labelled, one_grid, scale
from atmorep.targets.geometry import Geometry
from atmorep.targets.grib_geometry import arranged, message_geometry

import eccodes  # isort: skip  (after pyproj)

_KINDS = {"accum": "sum", "avg": "mean"}
_MISSING = -1e100


@dataclass(frozen=True)
class _Step:
    path: Path
    number: int
    offset: int
    length: int
    grid: str
    scale: tuple[float, float]
    start: np.datetime64
    end: np.datetime64

    def __str__(self) -> str:
        return f"{self.path}, message {self.number}"


class GribProduct:
    """Messages of one parameter; see :class:`atmorep.targets.product.Product`."""

    def __init__(self, gridded: Target | Static, files: Sequence[Path]) -> None:
        """Read the headers of ``files``.

        Raises:
            DataError: naming file and message that are not what ``gridded`` declares, or a time that is there
                twice.
        """
        steps = [step for path in files for step in _steps(gridded, path)]
        one_grid([(step.path, step.grid) for step in steps])
        self._steps, self.intervals = in_order(steps, lambda step: (step.start, step.end))

    @cached_property
    def geometry(self) -> Geometry:
        """Where the cells lie."""
        step = self._steps[0]
        with grib.handle(_bytes(step), str(step)) as handle:
            return message_geometry(handle, str(step))

    def read(self, index: int) -> NDArray[np.float32]:
        """Return the values (y, x) of an interval."""
        step = self._steps[index]
        with grib.handle(_bytes(step), str(step)) as handle:
            try:
                eccodes.codes_set(handle, "missingValue", _MISSING)
                values = arranged(handle, eccodes.codes_get_values(handle))
            except (eccodes.CodesInternalError, ValueError) as error:
                raise DataError(f"{step}: cannot be decoded ({error}); fetch the file again") from None
        factor, offset = step.scale
        held = np.where(values == _MISSING, np.nan, values * factor + offset)
        return held.astype(np.float32)


def _bytes(step: _Step) -> bytes:
    with step.path.open("rb") as file:
        file.seek(step.offset)
        return file.read(step.length)


def _steps(gridded: Target | Static, path: Path) -> list[_Step]:
    steps, held = [], set()
    for number, offset, length, handle in grib.handles(path):
        where = f"{path}, message {number}"
        try:
            names = {str(eccodes.codes_get(handle, k, ktype=str)) for k in ("shortName", "cfVarName")}
            held |= names
            if gridded.variable in names:
                start, end = _interval(gridded, handle, where)
                units = str(eccodes.codes_get(handle, "units", ktype=str))
                named = str(eccodes.codes_get(handle, "cfName", ktype=str))
                factors = scale(gridded, None if units == "unknown" else units, where, named)
                grid = str(eccodes.codes_get(handle, "md5GridSection", ktype=str))
                steps.append(_Step(path, number, offset, length, grid, factors, start, end))
        except eccodes.CodesInternalError as error:
            raise DataError(f"{where}: header cannot be read ({error}); fetch the file again") from None
    if not steps:
        raise DataError(
            f"{path}: holds no {gridded.variable}, but {', '.join(sorted(held))}; correct 'variable'"
        )
    return steps


def _interval(gridded: Target | Static, handle: int, where: str) -> Minutes:
    """Start and end (2,) of what a message stands for, by its reference time and steps."""
    kind = str(eccodes.codes_get(handle, "stepType", ktype=str))
    eccodes.codes_set(handle, "stepUnits", "m")
    day, clock, first, last = (
        eccodes.codes_get(handle, k, ktype=int) for k in ("dataDate", "dataTime", "startStep", "endStep")
    )
    text = f"{day:08d}"
    reference = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}T{clock // 100:02d}:{clock % 100:02d}", "m")
    bounds = reference + np.array([first, last], "timedelta64[m]")
    if kind == "instant":
        return labelled(bounds[1:], gridded)[0]
    agree(_KINDS.get(kind, kind), gridded, where)
    return bounds
