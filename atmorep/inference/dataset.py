"""A user's own data in the place of the store: any xarray datasets, read as the model's fields."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import DataError, SourceError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.inference.placed import Placed, offset
from atmorep.sources.check import level_type
from atmorep.sources.gridded import GriddedField
from atmorep.sources.units import canonical_units
from atmorep.timeaxis import Hours, TimeAxis

_LOG = logging.getLogger(__name__)


@dataclass
class Remarks:
    """What was done to an input so that the model can read it; each is said once.

    Attributes:
        said: in the order they came up.
    """

    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Note ``text``, and log it as a warning."""
        if text not in self.said:
            self.said.append(text)
            _LOG.warning(text)


@dataclass(frozen=True)
class Piece:
    """What one dataset holds of a field.

    Attributes:
        source: the field there.
        placed: where its points are.
        levels: of the model that it has, by number among the model's levels, and their indices in it.
        steps: index of each of its times on the axis; -1 where the model knows no such hour.
    """

    source: GriddedField
    placed: Placed
    levels: Mapping[int, int]
    steps: NDArray[np.int64]

    @cached_property
    def _variable(self) -> object:
        return self.source.at_levels(list(self.levels.values()))

    def fill(self, block: NDArray[np.float32], start: int) -> None:
        """Put what there is into ``block`` (step, level, row, column) of the steps from ``start`` on."""
        inside = np.flatnonzero((self.steps >= start) & (self.steps < start + len(block)))
        if inside.size and self.levels:
            order = self.placed.rows, self.placed.columns
            values = self.source.read(self._variable, inside.tolist(), order)
            several = values.reshape(inside.size, len(self.levels), *values.shape[-2:])
            block[np.ix_(self.steps[inside] - start, np.array(list(self.levels)))] = several


class DatasetReader:
    """One field of a user's datasets; see :class:`atmorep.sampling.states.StateReader`.

    The steps that were read last are kept whole, so that the tiles of a domain read each value once. Steps
    before the first and after the last time are NaN.
    """

    def __init__(
        self,
        levels: tuple[int, ...],
        pieces: Sequence[Piece],
        axis: TimeAxis,
        grid: Grid,
        at: tuple[int, int],
    ) -> None:
        """Make a reader.

        Args:
            levels: of the model.
            pieces: what datasets hold of the field, all on one grid.
            axis: of the times.
            grid: on which rows and columns of a reading count.
            at: row and column of ``grid`` where that of the pieces begins.
        """
        self.levels, self.axis, self.grid = levels, axis, grid
        self._pieces, self._at, self._own = pieces, at, pieces[0].placed.grid
        self._held: tuple[tuple[int, int], NDArray[np.float32]] | None = None

    def read(
        self, start: int, steps: int, row: int, rows: int, column: int, columns: int
    ) -> NDArray[np.float32]:
        """Return values (steps, level, rows, columns) in physical units; NaN where there are none.

        Raises:
            IndexError: if the window leaves the datasets' grid.
        """
        height, width = self._own.shape
        ring = round(360 / self._own.resolution)
        places = (column - self._at[1] + np.arange(columns)) % ring
        first = row - self._at[0]
        if not 0 <= first <= first + rows <= height or places.max() >= width:
            raise IndexError(f"rows {row} + {rows}, columns {column} + {columns} are not in the input")
        return self._block(start, steps)[:, :, first : first + rows][..., places]

    def _block(self, start: int, steps: int) -> NDArray[np.float32]:
        if self._held is None or self._held[0] != (start, steps):
            self._held = None  # two blocks are not held at a time
            block = np.full((steps, len(self.levels), *self._own.shape), np.nan, np.float32)
            for piece in self._pieces:
                piece.fill(block, start)
            self._held = (start, steps), block
        return self._held[1]

    def covers(self, row: int, rows: int, column: int, columns: int) -> bool:
        """Tell whether a window lies in the input."""
        places = (column - self._at[1] + np.arange(columns)) % round(360 / self._own.resolution)
        inside = self._at[0] <= row <= row + rows <= self._at[0] + self._own.shape[0]
        return inside and bool(places.max() < self._own.shape[1])

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where there is a state on all levels."""
        held = np.zeros((self.axis.size, len(self.levels)), bool)
        for piece in self._pieces:
            held[np.ix_(piece.steps[piece.steps >= 0], np.array(list(piece.levels), int))] = True
        return np.logical_and.reduce(held, axis=1)


@dataclass(frozen=True)
class Given:
    """A user's input, as the model reads it.

    Attributes:
        readers: of all fields of the model.
        axis: from the first time to the last one.
        grid: of the input.
        remarks: what was done to it.
    """

    readers: dict[str, DatasetReader]
    axis: TimeAxis
    grid: Grid
    remarks: Remarks

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where there is a state of all fields."""
        return np.logical_and.reduce([reader.available() for reader in self.readers.values()])


def given(
    datasets: Sequence[xr.Dataset], config: Config, fields: Iterable[str], on: Grid | None = None
) -> Given:
    """Read ``fields`` from ``datasets``, whose times, levels and variables may be shared out among them.

    Variables are found by ERA5's names or CF standard names. Latitudes and longitudes may run either way,
    units that leave no doubt are converted, and times between those of the model are left out.

    Args:
        datasets: opened by xarray.
        config: of the model's training.
        fields: ERA5 short names.
        on: grid on which rows and columns count; by default that of the input.

    Raises:
        SourceError: if a field or level is in none of them.
        DataError: if one is not as the model needs it: unit, grid, times.
    """
    remarks = Remarks()
    found = {name: _sources(datasets, config, name) for name in fields}
    axis = _axis([source for sources in found.values() for source in sources], config, remarks)
    pieces = {
        name: [_piece(source, config, axis, remarks) for source in sources] for name, sources in found.items()
    }
    grid = _one_grid([piece for several in pieces.values() for piece in several])
    at = (0, 0) if on is None else _begin(grid, on)
    readers = {}
    for name, several in pieces.items():
        _verify_complete(name, several, config)
        readers[name] = DatasetReader(config.model_levels(name), several, axis, on or grid, at)
    return Given(readers, axis, grid, remarks)


def named(dataset: xr.Dataset) -> str:
    """Name of the file that a dataset was opened from, as far as it is known."""
    return str(dataset.encoding.get("source", "the dataset"))


def _sources(datasets: Sequence[xr.Dataset], config: Config, name: str) -> list[GriddedField]:
    found, lacking = [], []
    for dataset in datasets:
        try:
            found.append(GriddedField(dataset, known_field(name), level_type(config, name), named(dataset)))
        except SourceError as error:
            lacking.append(str(error))
    if not found:
        raise SourceError(f"the model needs {name}: " + "; ".join(lacking))
    return found


def _axis(sources: Sequence[GriddedField], config: Config, remarks: Remarks) -> TimeAxis:
    """Times from the first one to the last one, in the steps of the model from 00 UTC on."""
    step = config.data.time_step
    times = np.unique(np.concatenate([source.times for source in sources]))
    kept = times[times.astype(np.int64) % step == 0]
    if not kept.size:
        raise DataError(
            f"{sources[0].where}: none of its times is one of every {step} h from 00 UTC on, as the model "
            "has learnt; give states of these hours"
        )
    if kept.size < times.size:
        remarks.say(f"of {times.size} times the {kept.size} at every {step} h from 00 UTC on are used")
    return TimeAxis(kept[0], step, int((kept[-1] - kept[0]).astype(int)) // step + 1)


def _piece(source: GriddedField, config: Config, axis: TimeAxis, remarks: Remarks) -> Piece:
    wanted = config.model_levels(source.field.name)
    near = np.abs(source.levels[None] - np.array(wanted)[:, None]) < 1e-3
    levels = {number: int(row.argmax()) for number, row in enumerate(near) if row.any()}
    variable = source.at_levels(list(levels.values()))
    latitude, longitude = (variable[d].to_numpy().astype(np.float64) for d in variable.dims[-2:])
    placed = Placed.of(latitude, longitude, Grid.from_config(config.data.grid), source.where)
    if placed.turned:
        remarks.say("rows are ordered from north to south and columns from west to east")
    if canonical_units(source.units) != canonical_units(source.field.units):
        remarks.say(f"{source.field.name} is converted from {source.units} to {source.field.units}")
    return Piece(source, placed, levels, _steps(source.times, axis))


def _steps(times: Hours, axis: TimeAxis) -> NDArray[np.int64]:
    hours = (times - axis.origin).astype(np.int64)
    return np.where(hours % axis.step == 0, hours // axis.step, -1)


def _one_grid(pieces: Sequence[Piece]) -> Grid:
    first = pieces[0]
    for piece in pieces[1:]:
        if piece.placed.grid != first.placed.grid:
            raise DataError(
                f"{piece.source.where}: lies on {piece.placed.grid}, {first.source.where} on "
                f"{first.placed.grid}; give all fields on one grid"
            )
    return first.placed.grid


def _begin(grid: Grid, on: Grid) -> tuple[int, int]:
    at = offset(grid, on)
    if at is None:
        raise DataError(
            f"the input's points, from {grid.north:g} N {grid.west:g} E every {grid.resolution:g} degrees, "
            f"lie between those of the model, from {on.north:g} N {on.west:g} E; regrid the input to these"
        )
    return at


def _verify_complete(name: str, pieces: Sequence[Piece], config: Config) -> None:
    """Refuse levels that are lacking, and states that are there twice."""
    wanted, where = config.model_levels(name), pieces[0].source.where
    there = {number for piece in pieces for number in piece.levels}
    lacking = [level for number, level in enumerate(wanted) if number not in there]
    if lacking:
        kind, held = config.data.levels.type, sorted({x for p in pieces for x in p.source.levels.tolist()})
        raise SourceError(
            f"{where}: lacks the {kind} levels {', '.join(map(str, lacking))} of {name}; it holds "
            f"{', '.join(f'{level:g}' for level in held)}: add them to the input, the model needs all"
        )
    for number in range(len(wanted)):
        steps = np.concatenate([p.steps[p.steps >= 0] for p in pieces if number in p.levels])
        values, count = np.unique(steps, return_counts=True)
        if (count > 1).any():
            raise DataError(
                f"{where}: step {values[count > 1][0]} of the input, level {wanted[number]}, is there twice; "
                "give each time once"
            )
