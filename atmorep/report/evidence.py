"""What the report is made of: the artefacts of every field, read with errors that name the remedy."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import xarray as xr
from safetensors import SafetensorError, safe_open

from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.fields import Field, field
from atmorep.paths import Paths
from atmorep.timeaxis import data_spans

METRIC_COLUMNS = "task,model,field,level,lead_hours,region,metric,value,lower,upper,n"
TRAINING_COLUMNS = ("epoch", "samples", "train_loss", "val_loss", "val_rmse", "lr", "seconds")

Content = TypeVar("Content")


@dataclass(frozen=True)
class Evidence:
    """All that is known about one field.

    Attributes:
        spec: the field.
        metrics: scores, columns of ``METRIC_COLUMNS``.
        maps: one representative case a task (task, lead_time, level, latitude, longitude).
        statistics: scores by initial time.
        training: one row an epoch.
        parameters: number of weights of the network.
        verified: outcome of the comparison with the raw files, by span.
        normalisation: monthly mean and standard deviation (month, level[, latitude, longitude]).
        files: artefacts behind the field, for the provenance.
    """

    spec: Field
    metrics: pd.DataFrame
    maps: xr.Dataset
    statistics: xr.Dataset
    training: pd.DataFrame
    parameters: int
    verified: dict[str, dict[str, Any]]
    normalisation: xr.Dataset
    files: tuple[Path, ...]


def collect(config: Config, name: str) -> Evidence:
    """Read the artefacts of field ``name``.

    Raises:
        IntegrityError: naming the artefact that is absent or unreadable and the stage that makes it.
    """
    paths = Paths(config)
    evaluation, model = paths.evaluation(name), paths.model(name)
    read = _Reader(name).read
    spans = [str(span) for span in data_spans(config.data)]
    for span in spans:
        read("convert", paths.part(name, span), _json)
    read("pretrain", model / "config.yaml", Path.read_text)
    return Evidence(
        spec=field(name),
        metrics=read("evaluate", evaluation / "metrics.csv", _metrics),
        maps=read("evaluate", evaluation / "maps.nc", _dataset),
        statistics=read("evaluate", evaluation / "statistics.nc", _dataset),
        training=read("pretrain", model / "training.csv", _training),
        parameters=read("pretrain", model / "model.safetensors", _parameters),
        verified={s: read("verify", paths.verified(name, s), _verification) for s in spans},
        normalisation=read("statistics", paths.normalisation(name), _dataset),
        files=(evaluation / "metrics.csv", model / "model.safetensors", paths.normalisation(name)),
    )


@dataclass(frozen=True)
class _Reader:
    """Reads artefacts of one field; says which stage makes the one that cannot be read."""

    name: str

    def read(self, stage: str, path: Path, reader: Callable[[Path], Content]) -> Content:
        remedy = f"run 'atmorep {stage}' for field {self.name}, or snakemake"
        if not path.is_file():
            raise IntegrityError(f"{path}: is missing (field {self.name}); {remedy}")
        try:
            return reader(path)
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise IntegrityError(
                f"{path}: cannot be read (field {self.name}): {error}; delete it and {remedy}"
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


def _training(path: Path) -> pd.DataFrame:
    table = pd.read_csv(path)
    absent = [column for column in TRAINING_COLUMNS if column not in table]
    if absent or table.empty:
        raise ValueError(f"it lacks columns {absent}" if absent else "it holds no epoch")
    return table


def _dataset(path: Path) -> xr.Dataset:
    with xr.open_dataset(path, decode_timedelta=True) as dataset:
        return dataset.load()


def _verification(path: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = _json(path)
    for key in ("max_abs_error", "tolerance", "hours", "missing"):
        if key not in outcome:
            raise ValueError(f"it lacks '{key}'")
    return outcome


def _parameters(path: Path) -> int:
    total = 0
    with safe_open(path, framework="numpy") as tensors:
        for key in tensors.keys():  # noqa: SIM118 (not a mapping)
            size = 1
            for extent in tensors.get_slice(key).get_shape():
                size *= extent
            total += size
    return total
