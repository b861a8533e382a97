"""The stage ``evaluate``: score one field's model on the test periods."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import xarray as xr

from atmorep.artefacts import written_aside
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.evaluation import climatology, output
from atmorep.evaluation.bootstrap import resamples
from atmorep.evaluation.metrics import table
from atmorep.evaluation.scoring import Evaluation, Piece, Scores
from atmorep.evaluation.statistics import DESCRIBED
from atmorep.evaluation.tasks import Task, tasks
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.store.reader import FieldReader


def evaluate(config: Config, field: str) -> None:
    """Score the model of ``field`` on the test periods; writes ``Paths(config).evaluation(field)``.

    The folder appears as a whole: ``metrics.csv``, ``statistics.nc``, ``maps.nc`` and
    ``predictions/<task>.zarr``. Memory is bounded by ``evaluation.batch_size`` neighbourhoods of members,
    whatever the domain and the period, but for the maps of one case a task.

    Raises:
        DataError: if no test period holds a neighbourhood without missing hours, or the model predicts
            values that are not finite.
        IntegrityError: if the model or the store is not there.
    """
    paths = Paths(config)
    model, *alone = (Predictor.load(config, field, folder) for folder in paths.models(field))
    score(config, field, model, FieldReader(config, field), dict(zip(["single"], alone, strict=False)))


def score(
    config: Config,
    field: str,
    predictor: Predictor,
    reader: FieldReader,
    rivals: Mapping[str, Predictor] | None = None,
) -> None:
    """Score ``predictor`` and its rivals against ``reader``; see :func:`evaluate`."""
    with written_aside(Paths(config).evaluation(field)) as folder:
        folder.mkdir()
        with TemporaryDirectory(dir=folder) as scratch:
            means = climatology.compute(config, field, reader, Path(scratch) / "climatology.npy")
            _score(Evaluation(config, field, predictor, reader, means, rivals or {}), folder)


def _score(evaluation: Evaluation, folder: Path) -> None:
    if not evaluation.starts:
        raise DataError(
            f"{evaluation.field}: no neighbourhood of {evaluation.predictor.steps} steps fits into "
            "data.periods.test without a missing hour; extend the periods or complete the source"
        )
    paths = Paths(evaluation.config)
    subject = output.Subject(evaluation.config, evaluation.field, paths.scored(evaluation.field))
    tables, means, cases = [], {}, {}
    for task in tasks(evaluation.config, evaluation.field):
        began = time.monotonic()
        means[task.name] = _task(evaluation, task, subject, folder)
        cases[task.name] = output.case(subject, evaluation, task, output.typical(means[task.name]))
        tables.append(_table(evaluation, task, means[task.name]))
        seconds = time.monotonic() - began
        count = len(evaluation.starts)
        print(f"{evaluation.field} {task.name}: {count} initial times, {seconds:.1f} s", flush=True)
    pd.concat(tables).to_csv(folder / "metrics.csv", index=False, float_format="%.8g")
    output.write_statistics(subject, means, DESCRIBED, folder / "statistics.nc")
    output.write_maps(subject, cases, folder / "maps.nc")


def _task(evaluation: Evaluation, task: Task, subject: output.Subject, folder: Path) -> xr.Dataset:
    """Score all initial times of one task and keep its predictions; returns the means per initial time."""
    levels = evaluation.predictor.levels
    models = (*evaluation.models, *task.baselines)
    scores = Scores(task, models, evaluation.reader.grid, len(evaluation.starts), len(levels))
    for piece in _kept(evaluation, task, subject, folder):
        scores.add(piece)
    return scores.means(evaluation.initial_times(task), levels)


def _kept(evaluation: Evaluation, task: Task, subject: output.Subject, folder: Path) -> Iterator[Piece]:
    """Predict all initial times of one task, and write the predictions where they are to be kept."""
    pieces = evaluation.pieces(task, range(len(evaluation.starts)))
    if not task.saved:
        yield from pieces
        return
    tile = (evaluation.predictor.rows, evaluation.predictor.columns)
    path = folder / "predictions" / f"{task.name}.zarr"
    predictions = output.predictions(subject, evaluation, task, evaluation.predictor.tails, tile, path)
    for piece in pieces:
        predictions.add(piece)
        yield piece
    predictions.flush()


def _table(evaluation: Evaluation, task: Task, means: xr.Dataset) -> pd.DataFrame:
    """Metrics with intervals from blocks of consecutive initial times."""
    weights = resamples(evaluation.config.evaluation, len(evaluation.starts))
    members = {name: model.tails for name, model in evaluation.models.items()}
    return table(task.name, evaluation.field, means, members, weights)
