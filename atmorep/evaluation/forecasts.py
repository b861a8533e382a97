"""Scoring a fine-tuned forecast task: all fields are rolled out together, each is scored as its own."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from atmorep import integrity, manifest
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.evaluation import climatology, damping, output
from atmorep.evaluation.baselines import BASELINES
from atmorep.evaluation.climatology import Climatology
from atmorep.evaluation.run import scored, subject
from atmorep.evaluation.scoring import Piece, regular_starts
from atmorep.evaluation.statistics import DESCRIBED
from atmorep.evaluation.tasks import Task, rolled_out
from atmorep.evaluation.tiles import Tile, tiles
from atmorep.inference.rollout import Rollout
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours

Members = dict[str, NDArray[np.float32]]
"""Members (window, member, lead, level, row, column) by field."""


@dataclass(frozen=True)
class Known:
    """What is known of a field without a model.

    Attributes:
        reader: the truth.
        climatology: of the months of test and training periods.
        remaining: share (lead, level) of an anomaly that lasts until each lead time.
    """

    reader: FieldReader
    climatology: Climatology
    remaining: NDArray[np.float64]

    @classmethod
    def of(cls, config: Config, task: Task, field: str, scratch: Path) -> Known:
        """Compute it from the training days; ``scratch`` is a folder for the climatology."""
        reader, periods = FieldReader(config, field), config.data.periods
        both = (*periods.train, *periods.test)
        means = climatology.compute(config, field, reader, scratch / f"{field}.npy", both)
        return cls(reader, means, damping.fit(config, field, reader, means, task.lead_hours))

    def piece(self, task: Task, start: int, tile: Tile) -> tuple[Members, NDArray[np.float32]]:
        """Target and baselines (step, level, row, column) by name, and the climatology of the same."""
        rows, columns, steps = tile.rows, tile.columns, list(task.steps)
        values = self.reader.read(
            start,
            steps[-1] + 1,
            rows.start,
            rows.stop - rows.start,
            columns.start,
            columns.stop - columns.start,
        )
        times = self.reader.axis.times(start, start + len(values))
        normal = self.climatology.at(times, rows, columns)
        hidden = np.zeros(values.shape, bool)
        hidden[task.initial_step + 1 :] = True
        found = {name: BASELINES[name](values, hidden, normal)[steps] for name in task.baselines[:-1]}
        around = normal[[task.initial_step, *steps]]
        found["damped_persistence"] = damping.damped(values[task.initial_step], around, self.remaining)
        return {"target": values[steps], **found}, normal[steps]


@dataclass(frozen=True)
class ForecastEvaluation:
    """What is needed to score a forecast task.

    Attributes:
        config: the experiment.
        task: what is scored.
        models: the fine-tuned model first, and others it is compared with, by name.
        known: by field that is scored.
    """

    config: Config
    task: Task
    models: Mapping[str, Rollout]
    known: Mapping[str, Known]

    @property
    def rollout(self) -> Rollout:
        """The fine-tuned model."""
        return self.models["atmorep"]

    @cached_property
    def tiles(self) -> list[Tile]:
        """The neighbourhoods that cover the domain."""
        return tiles(next(iter(self.known.values())).reader.grid, *self.tile)

    @cached_property
    def starts(self) -> list[int]:
        """First steps of the neighbourhoods, every ``evaluation.every_hours`` in each test period.

        Those that leave the period with their longest lead time, or lack an hour of a field, are left out.
        """
        readers = [FieldReader(self.config, name) for name in self.rollout.neighbourhoods]
        available = np.all([reader.available() for reader in readers], axis=0)
        longest = max(self.task.steps[-1] + 1, self.rollout.extent[0])
        return regular_starts(self.config, readers[0].axis, longest, available)

    @property
    def readers(self) -> dict[str, FieldReader]:
        """The truth, by field."""
        return {field: known.reader for field, known in self.known.items()}

    @property
    def bundle(self) -> Path:
        """The fine-tuned model's."""
        return Paths(self.config).finetuned(self.task.name)

    def members(self, field: str) -> dict[str, int]:
        """Members of the models by name, the fine-tuned one first."""
        return {name: model.tails for name, model in self.models.items()}

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a neighbourhood."""
        return self.rollout.extent[1:]

    @property
    def initial_times(self) -> Hours:
        """Initial times of all forecasts."""
        reader = next(iter(self.known.values())).reader
        return reader.axis.times()[np.array(self.starts, int) + self.task.initial_step]

    def pieces(self, initials: Sequence[int]) -> Iterator[tuple[str, Piece]]:
        """Forecast from the initial times with the given numbers: fields and their pieces.

        As many neighbourhoods at a time as have ``evaluation.batch_size`` members, one at least.

        Raises:
            DataError: if the model predicts a value that is not finite.
        """
        todo = list(product(initials, range(len(self.tiles))))
        together = max(1, self.config.evaluation.batch_size // self.rollout.tails)
        for first in range(0, len(todo), together):
            batch = todo[first : first + together]
            tiles = [self.tiles[number] for _, number in batch]
            windows = [
                Window(self.starts[i], tile.row, tile.column)
                for (i, _), tile in zip(batch, tiles, strict=True)
            ]
            members = {name: self._members(model, windows) for name, model in self.models.items()}
            self._check(members["atmorep"], batch[0][0])
            for n, (initial, _) in enumerate(batch):
                of_piece = {name: {f: m[n] for f, m in found.items()} for name, found in members.items()}
                for field in self.known:
                    yield field, self._piece(field, initial, tiles[n], of_piece)

    def _members(self, model: Rollout, windows: Sequence[Window]) -> Members:
        """Roll ``windows`` out and keep the steps that are scored."""
        ahead = [step - self.task.initial_step - 1 for step in self.task.steps]
        found: dict[str, list[NDArray[np.float32]]] = {field: [] for field in self.known}
        for number, states in enumerate(model.forecasts(windows, ahead[-1] // model.steps + 1)):
            own = [step % model.steps for step in ahead if step // model.steps == number]
            for field, parts in found.items():
                parts.append(states[field][:, :, own])
        return {field: np.concatenate(parts, axis=2) for field, parts in found.items()}

    def _check(self, members: Members, initial: int) -> None:
        for field, values in members.items():
            if not np.isfinite(values).all():
                raise DataError(
                    f"{Paths(self.config).finetuned(self.task.name)}: forecasts values of {field} that are "
                    f"not finite (initial time {self.initial_times[initial]} or after); see its "
                    "training.csv, lower training.lr_max and train again, or shorten rollout_hours"
                )

    def _piece(self, field: str, initial: int, tile: Tile, members: Mapping[str, Members]) -> Piece:
        found, normal = self.known[field].piece(self.task, self.starts[initial], tile)
        target = found.pop("target")
        predictions = {name: own[field][..., *tile.inner] for name, own in members.items()}
        predictions |= {name: values[None] for name, values in found.items()}
        return Piece(initial, tile, target, predictions, normal, np.ones(target.shape, bool))


def evaluate_forecasts(config: Config, name: str) -> None:
    """Score the fine-tuned model of a forecast task; writes ``Paths(config).task_evaluation(name)``.

    The folder appears as a whole: ``metrics.csv`` of all fields, and of each field a folder of its name with
    ``statistics.nc``, ``maps.nc``, ``calibration.nc`` and ``predictions.zarr``. Memory is bounded by
    ``evaluation.batch_size`` members of neighbourhoods, and the members of a state of the domain.

    Raises:
        DataError: if no test period holds a neighbourhood and its forecast, or the model predicts values
            that are not finite.
        IntegrityError: if a model or the store is not there.
    """
    began, paths, task = time.monotonic(), Paths(config), rolled_out(config, name)
    folders = {"atmorep": paths.finetuned(name), "zero_shot": paths.core(name)}
    hours = config.forecast_tasks[name].hours
    models = {model: Rollout.load(config, folder, hours) for model, folder in folders.items()}
    remedy = f"rerun 'atmorep evaluate-task --task {name}'"
    sources = [bundle / manifest.MANIFEST for bundle in folders.values()]
    with integrity.recorded(paths.task_evaluation(name), remedy, sources) as folder:
        folder.mkdir()
        with TemporaryDirectory(dir=folder) as scratch:
            fields = models["atmorep"].fields
            known = {field: Known.of(config, task, field, Path(scratch)) for field in fields}
            evaluation = ForecastEvaluation(config, task, models, known)
            _score(evaluation, folder)
    seconds = time.monotonic() - began
    print(f"{name}: {len(evaluation.starts)} initial times, {seconds:.1f} s", flush=True)


def _score(evaluation: ForecastEvaluation, folder: Path) -> None:
    task = evaluation.task
    if not evaluation.starts:
        raise DataError(
            f"finetune.{task.name}: no neighbourhood with its forecast of {task.lead_hours[-1]} h fits into "
            "data.periods.test without a missing hour; extend the periods or complete the source"
        )
    for field in evaluation.known:
        (folder / field).mkdir()
    outcomes = scored(evaluation, {field: folder / field / "predictions.zarr" for field in evaluation.known})
    for field, outcome in outcomes.items():
        of = subject(evaluation, field)
        output.write_statistics(of, {task.name: outcome.means}, DESCRIBED, folder / field / "statistics.nc")
        output.write_calibration(of, {task.name: outcome.calibration}, folder / field / "calibration.nc")
        output.write_maps(of, {task.name: outcome.case}, folder / field / "maps.nc")
    tables = [outcome.table for outcome in outcomes.values()]
    pd.concat(tables).to_csv(folder / "metrics.csv", index=False, float_format="%.8g")
