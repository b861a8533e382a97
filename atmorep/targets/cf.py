"""Products in NetCDF or Zarr by the CF conventions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config import Static, Target
from atmorep.errors import DataError
from atmorep.targets.cf_geometry import horizontal, variable_geometry
from atmorep.targets.declared import Minutes, agree, in_order, labelled, minutes, one_grid, scale

_METHODS = {"point": "instant", "sum": "sum", "mean": "mean"}


@dataclass(frozen=True)
class _Step:
    path: Path
    index: int
    start: np.datetime64
    end: np.datetime64

    def __str__(self) -> str:
        return f"{self.path}, time {self.index}"


class CfProduct:
    """A variable of NetCDF files or Zarr stores; see :class:`atmorep.targets.product.Product`."""

    def __init__(self, gridded: Target | Static, files: Sequence[Path]) -> None:
        """Read coordinates and attributes of ``files``.

        Raises:
            DataError: naming the file that is not what ``gridded`` declares, or a time that is there twice.
        """
        self._gridded, self._name = gridded, gridded.variable
        self._open: tuple[Path, Any] | None = None
        steps, geometries, self._scale = [], [], {}
        for path in files:
            variable = self._variable(path)
            geometries.append(variable_geometry(self._dataset(path), variable, f"{path}, {self._name}"))
            units, standard_name = (variable.attrs.get(key) for key in ("units", "standard_name"))
            self._scale[path] = scale(gridded, units, f"{path}, {self._name}", standard_name)
            intervals = self._intervals(path, variable)
            steps += [_Step(path, i, start, end) for i, (start, end) in enumerate(intervals)]
        one_grid([(path, g.identity) for path, g in zip(files, geometries, strict=True)])
        self.geometry = geometries[0]
        self._steps, self.intervals = in_order(steps, lambda step: (step.start, step.end))

    def read(self, index: int) -> NDArray[np.float32]:
        """Return the values (y, x) of an interval."""
        step = self._steps[index]
        variable = self._variable(step.path)
        time = _time_dimension(variable)
        chosen = variable.isel({time: step.index}) if time else variable
        try:
            values = chosen.to_numpy().astype(np.float64)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(f"{step}: cannot be decoded ({error}); fetch the file again") from None
        factor, offset = self._scale[step.path]
        return (values * factor + offset).astype(np.float32)

    def _dataset(self, path: Path) -> Any:
        """The dataset of ``path``, open until another is wanted."""
        if self._open is None or self._open[0] != path:
            if self._open:
                self._open[1].close()
            engine = "zarr" if path.is_dir() else "netcdf4"
            try:
                self._open = path, xr.open_dataset(path, engine=engine, cache=False, chunks=None)
            except (OSError, ValueError, KeyError) as error:
                raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from None
        return self._open[1]

    def _variable(self, path: Path) -> Any:
        """The variable with the dimensions time, if it has one, rows and columns."""
        dataset = self._dataset(path)
        if self._name not in dataset.data_vars:
            held = ", ".join(str(name) for name in dataset.data_vars)
            raise DataError(f"{path}: has no variable {self._name}, but {held}; correct 'variable'")
        variable = dataset[self._name]
        rows, columns = horizontal(dataset, variable, f"{path}, {self._name}")
        time = _time_dimension(variable)
        kept = [*([time] if time else []), rows, columns]
        extra = [d for d in variable.dims if d not in kept]
        long = [f"{d} ({variable.sizes[d]})" for d in extra if variable.sizes[d] > 1]
        if long:
            raise DataError(
                f"{path}, {self._name}: has the dimension {', '.join(long)} besides "
                "time and space; select one"
            )
        return variable.squeeze(extra, drop=True).transpose(*kept)

    def _intervals(self, path: Path, variable: Any) -> Minutes:
        where, time = f"{path}, {self._name}", _time_dimension(variable)
        if time is None and "time" not in variable.coords:
            if isinstance(self._gridded, Target):
                raise DataError(f"{where}: has no time; add a coordinate 'time'")
            return np.full((1, 2), np.datetime64("NaT", "m"))
        method = re.search(r"\btime: (\w+)", str(variable.attrs.get("cell_methods", "")))
        if method:
            agree(_METHODS.get(method[1], method[1]), self._gridded, where)
        coordinate = variable[time or "time"]
        stamps = _dates(coordinate, where).reshape(-1)
        bounds = coordinate.attrs.get("bounds", coordinate.encoding.get("bounds"))
        dataset = self._dataset(path)
        if bounds not in dataset.variables or not _over_time(self._gridded):
            return labelled(minutes(stamps, where), self._gridded)
        return minutes(_dates(dataset[bounds], where).reshape(-1, 2), where)


def _over_time(gridded: Target | Static) -> bool:
    return isinstance(gridded, Target) and gridded.time.kind != "instant"


def _dates(coordinate: Any, where: str) -> NDArray[np.datetime64]:
    values = coordinate.to_numpy()
    if not np.issubdtype(values.dtype, np.datetime64):
        raise DataError(f"{where}: its times are no dates of the Gregorian calendar; correct them")
    dates: NDArray[np.datetime64] = values
    return dates


def _time_dimension(variable: Any) -> str | None:
    for name in variable.dims:
        if name in variable.coords:
            coordinate = variable[name]
            marks = {coordinate.attrs.get("standard_name"), coordinate.attrs.get("axis"), name}
            if marks & {"time", "T", "valid_time"} or np.issubdtype(coordinate.dtype, np.datetime64):
                return str(name)
    return None
