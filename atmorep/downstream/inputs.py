"""What baselines of a downstream task are given: the guess and the other fields at the target's cells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.downstream.between import Between, Kernel
from atmorep.downstream.interval import Interval
from atmorep.paths import Paths
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import FieldReader
from atmorep.targets.store import TargetReader
from atmorep.timeaxis import training_spans
from atmorep.transforms import forward

Values = NDArray[np.float32]

HOURS = (24, 12)
"""Periods in hours of the harmonics of the hour of the day."""

READ_BYTES = 32 * 2**20
"""Bytes of features held at a time."""


def harmonics(times: NDArray[np.datetime64]) -> Values:
    """Sine and cosine of the hour of the day for each of ``HOURS`` (time, harmonic)."""
    hour = times.astype("datetime64[h]").astype(np.int64)[:, None] % 24
    angle = 2 * np.pi * hour / np.array(HOURS)
    return np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(len(times), -1).astype(np.float32)


@dataclass(frozen=True)
class Feature:
    """A field at one level, standardised by a mean and deviation of its transformed values."""

    field: str
    level: int
    mean: float
    std: float

    @property
    def name(self) -> str:
        """Field and, of several, level."""
        return f"{self.field}_{self.level}" if self.level else self.field


class Inputs:
    """Reads what the baselines of a task are given, and the target beside it.

    Args:
        config: the experiment.
        name: of the task.

    Raises:
        ConfigError: if there is no such task.
        IntegrityError: if the store lacks a field, or the target.
    """

    def __init__(self, config: Config, name: str) -> None:
        self.config, self.name, self.task = config, name, config.target_task(name)
        self.spec = config.targets[self.task.target]
        self.target = TargetReader(config, self.task.target)
        self.between = Between.of(config, self.spec)
        self.interval = Interval.of(config, self.task)
        fields = dict.fromkeys((self.task.guess.field, *config.tokens_read(self.task)))
        self.readers = {field: FieldReader(config, field) for field in fields}
        self.axis = self.target.axis

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The guess, then all other fields and levels."""
        found = []
        for field, reader in self.readers.items():
            normal = Normalisation.load(Paths(self.config).normalisation(field), reader.levels)
            mean, std = (a.mean(axis=(0, 2, 3)) for a in (normal.mean, normal.std))
            found += [
                Feature(field, *row)
                for row in zip(reader.levels, map(float, mean), map(float, std), strict=True)
            ]
        guess = self.task.guess
        found.sort(key=lambda f: (f.field, f.level) != (guess.field, guess.level or 0))
        return tuple(found)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of what a regression is on: one, the features, the harmonics of the hour."""
        harmonics = (f"{wave}_{hours}h" for hours in HOURS for wave in ("sin", "cos"))
        return ("one", *(feature.name for feature in self.features), *harmonics)

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where target, fields and guess are there."""
        there = self.target.available()
        for reader in self.readers.values():
            there &= reader.available()
        return there & self.interval.whole(self.readers[self.task.guess.field].available())

    def training(self, cell_bytes: int, cells: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield the training days a few at a time: the first time, and which times have all.

        Args:
            cell_bytes: bytes that are held a time and cell.
            cells: number of cells.
        """
        available = self.available()
        longest = max(1, READ_BYTES // (cell_bytes * cells))
        for span in training_spans(self.config.data):
            first = int(self.axis.index(np.datetime64(span.start, "h")))
            stop = first + span.days * self.axis.per_day
            for start in range(first, stop, longest):
                there = available[start : min(start + longest, stop)]
                if there.any():
                    yield start, there

    def truth(self, start: int, steps: int, rows: slice) -> Values:
        """The target (time, row, column) in physical units, NaN where missing."""
        height = rows.stop - rows.start
        return self.target.read(start, steps, rows.start, height, 0, self.target.grid.shape[1])

    def points(self, feature: Feature, start: int, steps: int, between: Between) -> Values:
        """A field (time, row, column) in physical units at the points around the cells of ``between``."""
        reader, rows, columns = self.readers[feature.field], between.rows.read, between.columns.read
        places = (rows.start, rows.stop - rows.start, columns.start, columns.stop - columns.start)
        return reader.read(start, steps, *places)[:, reader.levels.index(feature.level)]

    def guess(self, start: int, steps: int, between: Between) -> Values:
        """The guess at the points around the cells, like :meth:`points`, for the target's interval."""
        back = min(self.interval.before, start)
        read = self.points(self.features[0], start - back, steps + back, between)
        lacking = np.full((self.interval.before - back, *read.shape[1:]), np.nan, np.float32)
        return self.interval.over(np.concatenate([lacking, read]))

    def regressors(self, start: int, steps: int, between: Between) -> Values:
        """What a regression is on (time, name, row, column), standardised."""
        shape = (steps, len(self.names), *between.shape)
        found = np.ones(shape, np.float32)
        for number, feature in enumerate(self.features, start=1):
            read = self.guess if number == 1 else lambda *place, f=feature: self.points(f, *place)
            values = forward(feature.field, between(read(start, steps, between)))
            found[:, number] = (values - np.float32(feature.mean)) / np.float32(feature.std)
        found[:, number + 1 :] = harmonics(self.axis.times(start, start + steps))[..., None, None]
        return found

    def state(self, time: int) -> State:
        """What is known at one time."""
        return State(self, time)


@dataclass(frozen=True)
class State:
    """What baselines are given at one time of the axis."""

    inputs: Inputs
    time: int

    @cached_property
    def _guess(self) -> Values:
        return self.inputs.guess(self.time, 1, self.inputs.between)[0]

    def interpolated(self, kernel: Kernel = "bilinear") -> Values:
        """The guess at the cells (row, column), in physical units."""
        return self.inputs.between(self._guess, kernel)

    def regressors(self) -> Values:
        """What a regression is on (name, row, column)."""
        return self.inputs.regressors(self.time, 1, self.inputs.between)[0]

    def truth(self) -> Values:
        """The target (row, column), NaN where missing."""
        return self.inputs.truth(self.time, 1, slice(0, self.inputs.between.shape[0]))[0]
