"""What the report is made of: the artefacts of every field, read with errors that name the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import xarray as xr
from safetensors import SafetensorError, safe_open

from atmorep import integrity
from atmorep.config import Config, TargetTask
from atmorep.errors import IntegrityError
from atmorep.fields import Field, field
from atmorep.paths import Paths
from atmorep.timeaxis import data_spans

METRIC_COLUMNS = "task,model,field,level,lead_hours,region,metric,value,lower,upper,n"
TRAINING_COLUMNS = ("epoch", "samples", "train_loss", "val_loss", "val_rmse", "lr", "seconds")

Content = TypeVar("Content")


@dataclass(frozen=True)
class Trained:
    """A training that a field took part in.

    Attributes:
        title: what was trained, in words.
        log: one row an epoch; losses are the field's own.
        parameters: number of weights of the field's part of the network.
    """

    title: str
    log: pd.DataFrame
    parameters: int


@dataclass(frozen=True)
class Evidence:
    """All that is known about one field.

    Attributes:
        spec: the field.
        metrics: scores, columns of ``METRIC_COLUMNS``.
        maps: one representative case a task (task, lead_time, level, latitude, longitude).
        statistics: scores by initial time.
        calibration: how large errors are by spread, of the tasks whose predictions are kept.
        trainings: of the model that is scored first, then of the field alone where both were trained, then of
            those that were fine-tuned to forecast it.
        compared: outcome of the comparison with the raw files, by span.
        normalisation: monthly mean and standard deviation (month, level[, latitude, longitude]).
        forecasts: of the tasks that forecast the field.
        files: artefacts behind the field, for the provenance.
    """

    spec: Field
    metrics: pd.DataFrame
    maps: xr.Dataset
    statistics: xr.Dataset
    calibration: xr.Dataset
    trainings: tuple[Trained, ...]
    compared: dict[str, dict[str, Any]]
    normalisation: xr.Dataset
    forecasts: tuple[ForecastEvidence, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class ForecastEvidence:
    """What is known about one field in one fine-tuned forecast task.

    Attributes:
        name: of the task.
        metrics: scores of the field, columns of ``METRIC_COLUMNS``.
        maps: one representative case (task, lead_time, level, latitude, longitude).
        statistics: scores by initial time.
        calibration: how large errors are by spread.
        training: of the task; losses are the field's own.
        files: artefacts behind them, for the provenance.
    """

    name: str
    metrics: pd.DataFrame
    maps: xr.Dataset
    statistics: xr.Dataset
    calibration: xr.Dataset
    training: Trained
    files: tuple[Path, ...]


@dataclass(frozen=True)
class TaskEvidence:
    """All that is known about one downstream task.

    Attributes:
        name: of the task.
        task: its settings.
        spec: field of the target.
        metrics: scores, columns of ``METRIC_COLUMNS``.
        maps: one representative case (task, lead_time, level, latitude, longitude).
        statistics: scores by time.
        series: target and predictions at places (init_time, number, model, point); None without places.
        fitted: what was fitted of each baseline, by name.
        training: of the task.
        files: artefacts behind the task, for the provenance.
    """

    name: str
    task: TargetTask
    spec: Field
    metrics: pd.DataFrame
    maps: xr.Dataset
    statistics: xr.Dataset
    series: xr.Dataset | None
    fitted: dict[str, dict[str, Any]]
    training: Trained
    files: tuple[Path, ...]


def collect_task(config: Config, name: str) -> TaskEvidence:
    """Read the artefacts of the downstream task ``name``; errors as of :func:`collect`."""
    paths, task = Paths(config), config.target_task(name)
    evaluation, bundle, baselines = paths.task_evaluation(name), paths.finetuned(name), paths.baseline(name)
    read = _Reader(f"task {name}").read
    series = evaluation / "series.nc"
    log = read("finetune", bundle / "training.csv", partial(_training, field=None))
    size = read("finetune", bundle / "model.safetensors", partial(_parameters, prefix=""))
    return TaskEvidence(
        name,
        task,
        field(config.targets[task.target].field),
        read("evaluate-task", evaluation / "metrics.csv", _metrics),
        read("evaluate-task", evaluation / "maps.nc", _dataset),
        read("evaluate-task", evaluation / "statistics.nc", _dataset),
        read("evaluate-task", series, _dataset) if task.scores.points else None,
        read("baselines", baselines / "fitted.json", _json),
        Trained(f"{name}, fine-tuned", log, size),
        (evaluation / "metrics.csv", bundle / "model.safetensors", baselines / "fitted.json"),
    )


def collect(config: Config, name: str) -> Evidence:
    """Read the artefacts of field ``name``.

    Raises:
        IntegrityError: naming the artefact that is absent or unreadable and the stage that makes it.
    """
    paths = Paths(config)
    evaluation, models = paths.evaluation(name), paths.models(name)
    read = _Reader(f"field {name}").read
    spans = [str(span) for span in data_spans(config.data)]
    for span in spans:
        read("convert", paths.part(name, span), _json)
    forecasts = tuple(_forecast(config, task, name) for task in _forecasting(config, name))
    return Evidence(
        spec=field(name),
        metrics=read("evaluate", evaluation / "metrics.csv", _metrics),
        maps=read("evaluate", evaluation / "maps.nc", _dataset),
        statistics=read("evaluate", evaluation / "statistics.nc", _dataset),
        calibration=read("evaluate", evaluation / "calibration.nc", _dataset),
        trainings=(
            *(_trained(config, name, folder, read) for folder in models),
            *(forecast.training for forecast in forecasts),
        ),
        compared={s: read("compare", paths.compared(name, s), _comparison) for s in spans},
        normalisation=read("statistics", paths.normalisation(name), _dataset),
        forecasts=forecasts,
        files=(
            evaluation / "metrics.csv",
            *(folder / "model.safetensors" for folder in models),
            paths.normalisation(name),
            *(path for forecast in forecasts for path in forecast.files),
        ),
    )


def _forecasting(config: Config, name: str) -> tuple[str, ...]:
    """The forecast tasks that predict field ``name``."""
    return tuple(config.forecast_tasks) if name in config.predicted(config.fields) else ()


def _forecast(config: Config, task: str, name: str) -> ForecastEvidence:
    """Read what the forecast task ``task`` makes of field ``name``."""
    evaluation, bundle = Paths(config).task_evaluation(task), Paths(config).finetuned(task)
    read = _Reader(f"task {task}").read
    metrics = read("evaluate-task", evaluation / "metrics.csv", _metrics)
    log = read("finetune", bundle / "training.csv", partial(_training, field=name))
    size = read("finetune", bundle / "model.safetensors", partial(_parameters, prefix=f"fields.{name}."))
    return ForecastEvidence(
        task,
        metrics[metrics["field"] == name],
        read("evaluate-task", evaluation / name / "maps.nc", _dataset),
        read("evaluate-task", evaluation / name / "statistics.nc", _dataset),
        read("evaluate-task", evaluation / name / "calibration.nc", _dataset),
        Trained(f"{name}, fine-tuned for {task}", log, size),
        (evaluation / "metrics.csv", bundle / "model.safetensors"),
    )


def _trained(config: Config, name: str, folder: Path, read: Callable[..., Any]) -> Trained:
    """Read the training of one bundle that ``name`` is a field of."""
    coupled = folder == Paths(config).multiformer and config.coupled
    stage, title = ("couple", f"{name}, coupled") if coupled else ("pretrain", f"{name}, alone")
    read(stage, folder / "config.yaml", Path.read_text)
    log = read(stage, folder / "training.csv", partial(_training, field=name if coupled else None))
    return Trained(
        title, log, read(stage, folder / "model.safetensors", partial(_parameters, prefix=f"fields.{name}."))
    )


@dataclass(frozen=True)
class _Reader:
    """Reads artefacts of one field or task; says which stage makes the one that cannot be read."""

    of: str

    def read(self, stage: str, path: Path, reader: Callable[[Path], Content]) -> Content:
        remedy = f"run 'atmorep {stage}' for {self.of}, or snakemake"
        if not path.is_file():
            raise IntegrityError(f"{path}: is missing ({self.of}); {remedy}")
        try:
            integrity.checked(path)
            return reader(path)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise IntegrityError(
                f"{path}: cannot be read ({self.of}): {error}; delete it and {remedy}"
            ) from None


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def _metrics(path: Path) -> pd.DataFrame:
    with path.open() as file:
        header = file.readline().strip()
    if header != METRIC_COLUMNS:
        raise ValueError(f"its columns are '{header}', not '{METRIC_COLUMNS}'")
    table = pd.read_csv(path)
    if table.empty:
        raise ValueError("it holds no score")
    return table


def _training(path: Path, field: str | None) -> pd.DataFrame:
    """Read a log of training; of several fields, take the losses of one."""
    table = pd.read_csv(path)
    if field is not None:
        for column in ("train_loss", "val_loss", "val_rmse"):
            table[column] = table.get(f"{column}_{field}", table[column])
    absent = [column for column in TRAINING_COLUMNS if column not in table]
    if absent or table.empty:
        raise ValueError(f"it lacks columns {absent}" if absent else "it holds no epoch")
    return table


def _dataset(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, decode_timedelta=True) as dataset:
        return dataset.load()


def _comparison(path: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = _json(path)
    for key in ("max_abs_error", "tolerance", "hours", "missing"):
        if key not in outcome:
            raise ValueError(f"it lacks '{key}'")
    return outcome


def _parameters(path: Path, prefix: str) -> int:
    total = 0
    with safe_open(path, framework="numpy") as tensors:
        for key in (key for key in tensors.keys() if key.startswith(prefix)):  # noqa: SIM118
            size = 1
            for extent in tensors.get_slice(key).get_shape():
                size *= extent
            total += size
    return total
