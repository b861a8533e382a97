"""Raw files, one field, level and span each, read hour by hour whatever their format."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import grib
from atmorep.sources.check import level_type, verify_messages
from atmorep.sources.rounding import fits_float32, round_to, rounding_step, tolerance, unpack_rounded
from atmorep.timeaxis import Hours, Span


class RawFile(Protocol):
    """One field and level over a span, on the configured grid, in the field's unit."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def times(self) -> Hours:
        """Valid times in it, increasing, each once, datetime64[h]."""

    def read(self, time: np.datetime64) -> NDArray[np.floating]:
        """Return the values (rows, columns) valid at ``time``; all are finite."""

    def rounded(self, time: np.datetime64, out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the values valid at ``time`` to ``out``, packed ones rounded to a power of two.

        The error stays below half of the packing step, which is the error they have already.

        Returns:
            The smallest value (or less, by at most the packing step), and a bound of the error.
        """

    def step(self, time: np.datetime64) -> float:
        """Return the quantisation step of the packed values at ``time``; 0 if they are not packed."""

    def packing(self, time: np.datetime64) -> float:
        """Return the packing step the values at ``time`` have had at any time before."""

    def name(self, time: np.datetime64) -> str:
        """Return how errors call the values at ``time``."""


class GribFile:
    """A raw GRIB file."""

    def __init__(self, path: Path, grid: Grid, messages: list[grib.Message]) -> None:
        self.path = path
        self._grid = grid
        self._messages = {m.valid_time: m for m in messages}
        self._orientations = dict[str, tuple[bool, int]]()
        self.times: Hours = np.array([m.valid_time for m in messages], "datetime64[h]")

    def read(self, time: np.datetime64) -> NDArray[np.floating]:
        """Return the values (rows, columns) valid at ``time``; all are finite."""
        return grib.decode(self._messages[time], self._grid)

    def rounded(self, time: np.datetime64, out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the values valid at ``time`` to ``out``, rounded; return smallest and error bound.

        ERA5's packing is undone here, at a fifth of ecCodes' time; everything else goes through ecCodes.
        """
        message = self._messages[time]
        if message.integers and fits_float32(message.integers.reference, message.step):
            integers = grib.packed(message, self._grid, self._orientation(message))
            if integers.any():  # the header of a constant field may say any step
                error = unpack_rounded(integers, message.integers.reference, message.step, out=out)
                return message.integers.reference, error
        values = grib.decode(message, self._grid)
        lowest, highest = float(values.min()), float(values.max())
        step = rounding_step(message.step) if lowest < highest else 0.0
        round_to(values, step, out=out)
        return lowest, tolerance(step, max(-lowest, highest))

    def _orientation(self, message: grib.Message) -> tuple[bool, int]:
        if message.grid_section not in self._orientations:
            self._orientations[message.grid_section] = grib.verify_grid(message, self._grid)
        return self._orientations[message.grid_section]

    def step(self, time: np.datetime64) -> float:
        """Return the quantisation step of the packed values at ``time``."""
        return self._messages[time].step

    packing = step

    def name(self, time: np.datetime64) -> str:
        """Return how errors call the values at ``time``."""
        return str(self._messages[time])


class NetCdfFile:
    """A raw NetCDF file as :mod:`atmorep.sources.files` writes it."""

    def __init__(self, path: Path, field: str, level: int, grid: Grid) -> None:
        import netCDF4

        self.path = path
        try:
            self._file = netCDF4.Dataset(path)
            self._variable = self._file[field]
            stamps = np.asarray(self._file["time"][:], np.int64)
        except (OSError, IndexError) as error:
            raise DataError(
                f"{path} ({field}, level {level}): cannot be read ({error}); fetch it again"
            ) from None
        self._variable.set_auto_mask(False)
        self.times: Hours = stamps.astype("datetime64[h]")
        self._index = {time: i for i, time in enumerate(self.times)}
        self._field, self._level = field, level
        if self._variable.shape != (self.times.size, *grid.shape) or self._file.level != level:
            raise DataError(
                f"{path}: {field} of shape {self._variable.shape} on level {self._file.level} is not level "
                f"{level} on data.grid {grid.shape}; delete it and fetch it again"
            )

    def read(self, time: np.datetime64) -> NDArray[np.floating]:
        """Return the values (rows, columns) valid at ``time``; all are finite."""
        values: NDArray[np.float32] = self._variable[self._index[time]]
        if not np.isfinite(values).all():
            raise DataError(f"{self.name(time)}: holds missing or non-finite values; fetch it again")
        return values

    def rounded(self, time: np.datetime64, out: NDArray[np.float32]) -> tuple[float, float]:
        """Write the values valid at ``time`` to ``out`` as they are; return the smallest, and 0."""
        out[...] = self.read(time)
        return float(out.min()), 0.0

    def step(self, time: np.datetime64) -> float:
        """Return 0: values are stored as they are."""
        return 0.0

    def packing(self, time: np.datetime64) -> float:
        """Return the step of the integers the source had packed the values to."""
        return float(self._file.packing_step)

    def name(self, time: np.datetime64) -> str:
        """Return how errors call the values at ``time``."""
        return f"{self.path}, time {self._index[time]} ({self._field}, level {self._level}, {time}:00)"


def open_raw(config: Config, field: str, level: int, span: Span) -> RawFile:
    """Open the raw file of one field, level and span, and check what its headers say.

    Raises:
        DataError: naming the file, if it is absent, corrupted, of another field, level or grid, or
            holds an hour twice, lacks one that may not be missing, or has one outside the span.
    """
    path = Paths(config).raw(field, level, span)
    grid, hours = Grid.from_config(config.data.grid), span.hours(config.data.time_step)
    if not path.exists():
        raise DataError(
            f"{path}: raw file of {field}, level {level}, {span} is absent; run 'atmorep download'"
        )
    if path.suffix == ".grib":
        messages = verify_messages(
            grib.scan(path),
            field,
            level,
            hours,
            grid,
            level_type=level_type(config, field),
            where=str(path),
            record_missing=config.source.record_missing,
        )
        return GribFile(path, grid, messages)
    file = NetCdfFile(path, field, level, grid)
    verify_hours(file.times, hours, f"{path} ({field}, level {level})", config.source.record_missing)
    return file


def verify_hours(times: Hours, hours: Hours, where: str, record_missing: bool) -> None:
    """Check that ``times`` are ``hours``, each once and in order, or some of them if so configured.

    Raises:
        DataError: naming ``where`` and the first offending hour.
    """
    if np.any(np.diff(times) <= np.timedelta64(0, "h")):
        first = times[1:][np.diff(times) <= np.timedelta64(0, "h")][0]
        raise DataError(f"{where}: {first}:00 is there twice or out of order; remove the duplicate")
    strange = np.setdiff1d(times, hours)
    if strange.size:
        raise DataError(f"{where}: {strange[0]}:00 was not asked for; correct data.periods or data.time_step")
    absent = np.setdiff1d(hours, times)
    if absent.size and not (record_missing and times.size):
        raise DataError(
            f"{where}: lacks {absent.size} of {hours.size} hours, the first {absent[0]}:00; get the file "
            "whole, or set source.record_missing: true"
        )


def describe(raw: RawFile) -> integrity.Entry:
    """Return path, size and CRC-32C of a raw file, once it is what was delivered.

    Raises:
        IntegrityError: if it is not.
    """
    return integrity.checked(raw.path)
