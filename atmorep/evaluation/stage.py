"""The stage ``evaluate``: score a model on the test periods, all its fields from the same predictions."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from atmorep import integrity, manifest
from atmorep.config import Config
from atmorep.errors import ConfigError, DataError
from atmorep.evaluation import climatology, output
from atmorep.evaluation.run import Outcome, scored, subject
from atmorep.evaluation.scoring import Evaluation, Known
from atmorep.evaluation.statistics import DESCRIBED
from atmorep.evaluation.tasks import Task, tasks
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.store.reader import FieldReader

Rivals = Mapping[str, Mapping[str, Predictor]]
"""Other models that are scored beside, by field and name."""


def evaluate(config: Config, model: str) -> None:
    """Score a model on the test periods; writes ``Paths(config).model_evaluation(model)``.

    The folder appears as a whole, with a folder for each field: ``metrics.csv``, ``statistics.nc``,
    ``maps.nc``, ``calibration.nc`` and ``predictions/<task>.zarr``. Memory is bounded by
    ``evaluation.batch_size`` neighbourhoods of members of a field, whatever the domain and the period, but
    for the maps of one case a task and the members of one state of the domain.

    Args:
        config: the experiment.
        model: ``multiformer``, or the field whose own model is scored.

    Raises:
        ConfigError: if the experiment has no such model.
        DataError: if no test period holds a neighbourhood without missing hours, or the model predicts
            values that are not finite.
        IntegrityError: if the model or the store is not there.
    """
    paths = Paths(config)
    if model not in paths.evaluated:
        raise ConfigError(f"{model}: is no model of this experiment; name one of {list(paths.evaluated)}")
    fields = paths.evaluated[model]
    predictor = Predictor.load(config, fields[0], paths.scored(fields[0]))
    alone = {
        field: {name: Predictor.load(config, field, folder) for name, folder in paths.rivals(field).items()}
        for field in fields
    }
    score(config, model, predictor, alone)


def score(config: Config, model: str, predictor: Predictor, rivals: Rivals) -> None:
    """Score ``predictor`` and its rivals; see :func:`evaluate`."""
    paths = Paths(config)
    bundles = sorted({bundle for field in paths.evaluated[model] for bundle in paths.models(field)})
    sources = [path for path in (bundle / manifest.MANIFEST for bundle in bundles) if path.exists()]
    remedy = f"rerun 'atmorep evaluate --model {model}'"
    with integrity.recorded(paths.model_evaluation(model), remedy, sources) as folder:
        folder.mkdir()
        with TemporaryDirectory(dir=folder) as scratch:
            known = {}
            for field in paths.evaluated[model]:
                (folder / field).mkdir()
                reader, path = FieldReader(config, field), Path(scratch) / f"{field}.npy"
                means = climatology.compute(config, field, reader, path)
                known[field] = Known(reader, means, rivals.get(field, {}))
            for asked, fields in _alike(config, known).items():
                some = {field: known[field] for field in fields}
                _score([Evaluation(config, task, predictor, some) for task in asked], folder)


def _alike(config: Config, fields: Mapping[str, Known]) -> dict[tuple[Task, ...], list[str]]:
    """Fields that are asked for the same, so that one prediction is scored in all of them."""
    groups: dict[tuple[Task, ...], list[str]] = {}
    for field in fields:
        groups.setdefault(tuple(tasks(config, field)), []).append(field)
    return groups


def _score(evaluations: list[Evaluation], folder: Path) -> None:
    """Score the tasks of some fields, and write what is kept of each field."""
    fields = list(evaluations[0].known)
    outcomes: dict[str, dict[str, Outcome]] = {field: {} for field in fields}
    for evaluation in evaluations:
        task, began, count = evaluation.task, time.monotonic(), len(evaluation.starts)
        if not count:
            raise DataError(
                f"{', '.join(fields)}: no neighbourhood of {evaluation.predictor.steps} steps fits into "
                "data.periods.test without a missing hour; extend the periods or complete the source"
            )
        paths = {field: folder / field / "predictions" / f"{task.name}.zarr" for field in fields}
        for field, outcome in scored(evaluation, paths if task.saved else {}).items():
            outcomes[field][task.name] = outcome
        seconds = time.monotonic() - began
        print(f"{', '.join(fields)}, {task.name}: {count} initial times, {seconds:.1f} s", flush=True)
    for field, by_task in outcomes.items():
        write(subject(evaluations[0], field), by_task, folder / field)


def write(of: output.Subject, outcomes: Mapping[str, Outcome], folder: Path) -> None:
    """Write what is kept of the tasks of a field."""
    tables = [outcome.table for outcome in outcomes.values()]
    pd.concat(tables).to_csv(folder / "metrics.csv", index=False, float_format="%.8g")
    means = {task: outcome.means for task, outcome in outcomes.items()}
    output.write_statistics(of, means, DESCRIBED, folder / "statistics.nc")
    calibrations = {task: outcome.calibration for task, outcome in outcomes.items()}
    output.write_calibration(of, calibrations, folder / "calibration.nc")
    output.write_maps(of, {task: outcome.case for task, outcome in outcomes.items()}, folder / "maps.nc")
