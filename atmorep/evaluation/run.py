"""Scoring a run: one task of some fields, whose predictions come piece by piece."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd
import xarray as xr

from atmorep.config import Config
from atmorep.evaluation import output
from atmorep.evaluation.bootstrap import resamples
from atmorep.evaluation.metrics import table
from atmorep.evaluation.scoring import Piece, Scores, regions
from atmorep.evaluation.tasks import Task
from atmorep.evaluation.whole import Kept, whole
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours


class Run(Protocol):
    """What is scored."""

    @property
    def config(self) -> Config:
        """The experiment."""

    @property
    def task(self) -> Task:
        """What is asked."""

    @property
    def bundle(self) -> Path:
        """The model that predicts."""

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a neighbourhood."""

    @property
    def initial_times(self) -> Hours:
        """Initial times of all predictions."""

    @property
    def readers(self) -> Mapping[str, FieldReader]:
        """The truth, by field."""

    def members(self, field: str) -> Mapping[str, int]:
        """Members of the models of a field by name, the model scored first."""

    def pieces(self, initials: Sequence[int]) -> Iterator[tuple[str, Piece]]:
        """Predict the initial times with the given numbers: fields and their pieces."""


@dataclass(frozen=True)
class Outcome:
    """What is kept of a field.

    Attributes:
        means: statistics per initial time.
        case: maps of one initial time, the same for all fields of the run.
        table: metrics.
        calibration: how large errors are by spread; empty where predictions are not kept.
    """

    means: xr.Dataset
    case: xr.Dataset
    table: pd.DataFrame
    calibration: xr.Dataset


def scored(run: Run, stores: Mapping[str, Path]) -> dict[str, Outcome]:
    """Score all initial times of a run; returns what is kept of each field.

    Args:
        run: what is scored.
        stores: Zarr stores to be, of the fields whose predictions are kept.
    """
    initials = range(len(run.initial_times))
    scores = {field: _scores(run, field) for field in run.readers}
    kept = {field: _store(run, field, path) for field, path in stores.items()}
    for field, piece in run.pieces(initials):
        scores[field].add(piece)
        if field in kept:
            kept[field].add(piece)
    for store in kept.values():
        store.flush()
    means = {f: s.means(run.initial_times, run.readers[f].levels) for f, s in scores.items()}
    cases = _cases(run, output.typical(means.values()))
    return {
        field: Outcome(means[field], cases[field], *_tables(run, field, means[field], kept.get(field)))
        for field in means
    }


def subject(run: Run, field: str) -> output.Subject:
    """What the files of a field are of."""
    return output.Subject(run.config, field, run.bundle)


def _scores(run: Run, field: str) -> Scores:
    reader, models = run.readers[field], (*run.members(field), *run.task.baselines)
    weights = regions(reader.grid, run.config.evaluation.regions)
    return Scores(run.task, models, weights, len(run.initial_times), len(reader.levels))


def _store(run: Run, field: str, path: Path) -> output.Predictions:
    tails, reader = run.members(field)["atmorep"], run.readers[field]
    return output.predictions(subject(run, field), reader, run.task, run.initial_times, tails, run.tile, path)


def _cases(run: Run, initial: int) -> dict[str, xr.Dataset]:
    """Predict one initial time again, for its maps by field."""
    cases = {field: output.Case(subject(run, field), r, run.task) for field, r in run.readers.items()}
    for field, piece in run.pieces([initial]):
        cases[field].add(piece)
    return {field: case.dataset(run.initial_times[initial]) for field, case in cases.items()}


def _tables(
    run: Run, field: str, means: xr.Dataset, store: output.Predictions | None
) -> tuple[pd.DataFrame, xr.Dataset]:
    """Metrics with intervals from blocks of consecutive initial times, and the calibration."""
    settings, task = run.config.evaluation, run.task
    weights = resamples(settings, len(run.initial_times))
    found = table(task.name, field, means, run.members(field), weights)
    if store is None:
        return found, xr.Dataset()
    thresholds = settings.thresholds.get(field, ())
    kept = Kept(store.array, run.readers[field], run.initial_times, task.lead_hours, thresholds)
    more, calibration = whole(kept, task.name, field, weights)
    return pd.concat([found, more], ignore_index=True), calibration
