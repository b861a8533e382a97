"""The stage ``evaluate-task``: score a downstream task on the test periods, beside its baselines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import integrity, manifest
from atmorep.config import Config, Evaluation
from atmorep.downstream import fitted
from atmorep.downstream.baselines import Baseline
from atmorep.downstream.inputs import Inputs
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.errors import DataError
from atmorep.evaluation import output
from atmorep.evaluation.bootstrap import resamples
from atmorep.evaluation.forecasts import evaluate_forecasts
from atmorep.evaluation.metrics import table
from atmorep.evaluation.patterns import Patterns
from atmorep.evaluation.states import Scored, StateScores, regions
from atmorep.paths import Paths
from atmorep.sampling.windows import valid_starts
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours

Values = NDArray[np.float32]

STATE_BYTES = 256 * 2**20
"""Bytes of members that are predicted at a time, but for one state at least."""


class Ensemble(Protocol):
    """Predicts a target on its evaluation grid."""

    tails: int
    steps: slice

    def predict(self, starts: Sequence[int]) -> Values:
        """Members (start, member, step, row, column) on the evaluation grid, in physical units."""


@dataclass(frozen=True)
class State:
    """One time: what came, and what was predicted.

    Attributes:
        number: of the time.
        target: (row, column), NaN where missing.
        predictions: members (member, row, column) by model.
        guess: the guess between the points of the grid (row, column).
    """

    number: int
    target: Values
    predictions: dict[str, Values]
    guess: Values


@dataclass(frozen=True)
class TaskEvaluation:
    """What is needed to score a task.

    Attributes:
        inputs: reads the fields and the target.
        predictor: the model.
        baselines: by name.
    """

    inputs: Inputs
    predictor: Ensemble
    baselines: Mapping[str, Baseline]

    @cached_property
    def step(self) -> int:
        """The step of a neighbourhood that is scored: the middle one of those predicted."""
        return (self.predictor.steps.start + self.predictor.steps.stop) // 2

    @property
    def settings(self) -> Evaluation:
        """Those of ``evaluation``, with what the task has of its own."""
        settings, every = self.inputs.config.evaluation, self.inputs.task.scores.every_hours
        return settings if every is None else settings.model_copy(update={"every_hours": every})

    @cached_property
    def starts(self) -> list[int]:
        """First steps of the neighbourhoods, every ``every_hours`` in each test period.

        Those that leave the period, lack an hour of a field, or have no target are left out.
        """
        config, axis = self.inputs.config, self.inputs.axis
        every, there = self.settings.every_hours // axis.step, np.ones(axis.size, bool)
        for field in Paths(config).task_fields(self.inputs.name):
            there &= FieldReader(config, field).available()
        scored, found = self.inputs.available(), []
        for period in config.data.periods.test:
            first = int(axis.index(np.datetime64(period.start, "h")))
            valid = valid_starts(axis, [period], config.network.neighbourhood.time, there)
            regular = (valid + self.step - first) % every == 0
            found += valid[regular & scored[valid + self.step]].tolist()
        return found

    @property
    def times(self) -> Hours:
        """Valid times that are scored."""
        return self.inputs.axis.times()[np.array(self.starts, int) + self.step]

    def states(self, numbers: Sequence[int]) -> Iterator[State]:
        """Predict the times with the given numbers, a few at a time.

        Raises:
            DataError: if the model predicts a value that is not finite.
        """
        steps = self.predictor.steps.stop - self.predictor.steps.start
        size = 4 * self.predictor.tails * steps * int(np.prod(self.inputs.target.grid.shape))
        together = min(self.inputs.config.evaluation.batch_size, max(1, STATE_BYTES // size))
        for first in range(0, len(numbers), together):
            some = numbers[first : first + together]
            members = self.predictor.predict([self.starts[n] for n in some])
            for n, own in zip(some, members[:, :, self.step - self.predictor.steps.start], strict=True):
                yield self._state(n, own)

    def _state(self, number: int, members: Values) -> State:
        if not np.isfinite(members).all():
            raise DataError(
                f"{Paths(self.inputs.config).finetuned(self.inputs.name)}: predicts values that are not "
                f"finite ({self.times[number]}); see its training.csv, lower training.lr_max and train again"
            )
        state = self.inputs.state(self.starts[number] + self.step)
        predictions = {name: baseline.predict(state) for name, baseline in self.baselines.items()}
        return State(number, state.truth(), {"atmorep": members, **predictions}, state.interpolated())

    @cached_property
    def scored(self) -> Scored:
        """What is computed."""
        target, scores = self.inputs.target, self.inputs.task.scores
        patterns = Patterns.of_field(target.field, target.grid, *target.normalisation())
        return Scored(scores.thresholds, scores.scales, self.predictor.tails, patterns)

    @property
    def models(self) -> dict[str, int]:
        """Members of the models by name, AtmoRep's first."""
        return {"atmorep": self.predictor.tails, **{n: b.members for n, b in self.baselines.items()}}


def evaluate_task(config: Config, task: str) -> None:
    """Score the fine-tuned model of ``task`` and its baselines.

    A target as :func:`score_task` says, forecasts as
    :func:`~atmorep.evaluation.forecasts.evaluate_forecasts` does.

    Raises:
        ConfigError: if there is no such task.
        DataError: if no test period holds a neighbourhood and a target, or the model predicts values that
            are not finite.
        IntegrityError: if the model, the baselines or a store is not there.
    """
    if task in config.forecast_tasks:
        evaluate_forecasts(config, task)
        return
    inputs = Inputs(config, task)
    predictor = DownstreamPredictor.load(config, Paths(config).finetuned(task))
    score_task(TaskEvaluation(inputs, predictor, fitted.load(inputs)))


def score_task(evaluation: TaskEvaluation) -> None:
    """Score a task on the test periods; writes the folder ``Paths(config).task_evaluation(task)``.

    The folder appears as a whole: ``metrics.csv``, ``statistics.nc``, ``maps.nc``, ``predictions.zarr``, and
    ``series.nc`` where ``scores.points`` are named. Memory is bounded by ``STATE_BYTES`` of members.

    Raises:
        DataError: if no test period holds a neighbourhood and a target, or the model predicts values that
            are not finite.
    """
    began, inputs = time.monotonic(), evaluation.inputs
    if not evaluation.starts:
        raise DataError(
            f"finetune.{inputs.name}: no neighbourhood with a target fits into data.periods.test without a "
            "missing hour; extend the periods or complete source and target"
        )
    paths, name = Paths(inputs.config), inputs.name
    sources = [path for path in (paths.finetuned(name) / manifest.MANIFEST,) if path.exists()]
    remedy = f"rerun 'atmorep evaluate-task --task {name}'"
    with integrity.recorded(paths.task_evaluation(name), remedy, sources) as folder:
        folder.mkdir()
        _score(evaluation, folder)
    seconds = time.monotonic() - began
    print(f"{inputs.name}: {len(evaluation.starts)} times, {seconds:.1f} s", flush=True)


def _score(evaluation: TaskEvaluation, folder: Path) -> None:
    inputs, scored, times = evaluation.inputs, evaluation.scored, evaluation.times
    subject = output.Subject(inputs.config, inputs.target.field, Paths(inputs.config).finetuned(inputs.name))
    areas = regions(inputs.target.grid, inputs.task.holdout)
    scores = StateScores(scored, evaluation.models, areas, len(times))
    predictions = _predictions(evaluation, subject, folder / "predictions.zarr")
    series = Series(evaluation)
    rows, columns = (slice(0, size) for size in inputs.target.grid.shape)
    for state in evaluation.states(range(len(times))):
        scores.add(state.number, state.target, state.predictions)
        predictions.write(state.number, rows, columns, state.predictions["atmorep"][None])
        series.add(state)
    predictions.flush()
    means = scores.means(times)
    hours = means["hour"].to_numpy()
    weights = resamples(evaluation.settings, len(times))
    found = table(
        inputs.name,
        inputs.target.field,
        means,
        evaluation.models,
        weights,
        scored.metrics(hours),
        scored.paired(hours),
    )
    found.to_csv(folder / "metrics.csv", index=False, float_format="%.8g")
    output.write_statistics(subject, {inputs.name: means}, scored.described, folder / "statistics.nc")
    case = _case(evaluation, subject, output.typical([means]))
    output.write_maps(subject, {inputs.name: case}, folder / "maps.nc")
    series.write(subject, folder / "series.nc")


def _space(evaluation: TaskEvaluation) -> dict[str, Any]:
    grid = evaluation.inputs.target.grid
    return {"latitude": grid.latitude, "longitude": grid.longitude}


def _predictions(evaluation: TaskEvaluation, subject: output.Subject, path: Path) -> output.Predictions:
    coordinates = {
        **output.time(evaluation.times, [0]),
        "number": np.arange(evaluation.predictor.tails),
        **_space(evaluation),
    }
    title = f"Predictions ({evaluation.inputs.name})"
    return output.Predictions(subject, title, coordinates, evaluation.inputs.target.grid.shape, path)


def _case(evaluation: TaskEvaluation, subject: output.Subject, number: int) -> xr.Dataset:
    """Predict one time again and return its maps (lead_time, level, latitude, longitude).

    The baseline is the first one that is not the interpolated guess, which is shown too.
    """
    (state,) = evaluation.states([number])
    members = state.predictions["atmorep"]
    reference = next((name for name in evaluation.baselines if name != "bilinear"), "bilinear")
    maps = {
        "target": ("target", state.target),
        "guess": ("first guess", state.guess),
        "prediction": ("ensemble mean of the prediction", members.mean(axis=0)),
        "spread": ("ensemble standard deviation of the prediction", members.std(axis=0, ddof=1)),
        "baseline": ("baseline", state.predictions.get(reference, state.guess[None]).mean(axis=0)),
    }
    dims = ("lead_time", "level", "latitude", "longitude")
    variables: dict[str, Any] = {
        name: (dims, values[None, None].astype(np.float32), subject.physical(what))
        for name, (what, values) in maps.items()
    }
    flags = {"long_name": "1 where hidden from the model", "units": "1"}
    variables["hidden"] = (dims, np.ones((1, 1, *state.target.shape), np.int8), flags)
    when = output.time(evaluation.times[number], [0])
    where = {"level": [0], **_space(evaluation), "baseline_model": reference}
    return xr.Dataset(variables, {**when, **where})


class Series:
    """What came and what was predicted at the cells of ``scores.points``."""

    def __init__(self, evaluation: TaskEvaluation) -> None:
        grid, self._points = evaluation.inputs.target.grid, evaluation.inputs.task.scores.points
        self._times, self._baselines = evaluation.times, list(evaluation.baselines)
        self._rows = [int(np.abs(grid.latitude - p.latitude).argmin()) for p in self._points.values()]
        turned = ((grid.longitude - p.longitude + 180) % 360 - 180 for p in self._points.values())
        self._columns = [int(np.abs(distance).argmin()) for distance in turned]
        self._where = grid.latitude[self._rows], grid.longitude[self._columns]
        self._members: list[Values] = []
        self._target: list[Values] = []
        self._others: list[Values] = []

    def add(self, state: State) -> None:
        """Add one time."""
        place = (..., self._rows, self._columns)
        self._target.append(state.target[place])
        self._members.append(state.predictions["atmorep"][place])
        self._others.append(np.stack([state.predictions[n].mean(axis=0)[place] for n in self._baselines]))

    def write(self, subject: output.Subject, path: Path) -> None:
        """Write the series as NetCDF, if there are points."""
        if not self._points:
            return
        dataset = xr.Dataset(
            {
                "target": (("init_time", "point"), np.stack(self._target), subject.physical("target")),
                "prediction": (
                    ("init_time", "number", "point"),
                    np.stack(self._members),
                    subject.physical("prediction"),
                ),
                "baseline": (
                    ("init_time", "model", "point"),
                    np.stack(self._others),
                    subject.physical("baseline"),
                ),
            },
            {
                "init_time": self._times.astype("datetime64[ns]"),
                "model": self._baselines,
                "point": ("point", list(self._points), {"long_name": "place", "cf_role": "timeseries_id"}),
                "latitude": ("point", self._where[0]),
                "longitude": ("point", self._where[1]),
            },
        )
        output.write(subject.describe(dataset, "Series at places"), path, {})
