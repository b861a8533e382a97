"""Metrics with intervals, from the means of the statistics per initial time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from atmorep.evaluation.bootstrap import interval, weighted_means
from atmorep.evaluation.statistics import METRICS, Array, Means, Metric

COLUMNS = (
    "task",
    "model",
    "field",
    "level",
    "lead_hours",
    "region",
    "metric",
    "value",
    "lower",
    "upper",
    "n",
)
"""Columns of ``metrics.csv``."""

PAIRED = ("rmse", "crps")
"""Metrics whose difference to every baseline is given with its interval."""

Scored = tuple[Array, Array]
"""A metric (region, lead, level) and its resamples (sample, region, lead, level)."""


def table(
    task: str,
    field: str,
    means: xr.Dataset,
    members: Mapping[str, int],
    weights: NDArray[np.float64],
    metrics: Mapping[str, Metric] = METRICS,
    paired: Iterable[str] = PAIRED,
) -> pd.DataFrame:
    """Return the metrics of all models of a task, tidy; what is not defined has no row.

    Args:
        task: its name.
        field: ERA5 short name.
        means: statistics per initial time (model, region, init_time, lead_time, level, own axes).
        members: sizes of the ensembles by model; 1 where a model is not named.
        weights: resamples of the initial times (sample, init_time), the same for all models.
        metrics: what is computed, by the name of its rows.
        paired: metrics whose difference to every baseline is given too.
    """
    scored = {
        str(model): _metrics(means.sel(model=model), members.get(str(model), 1), weights, metrics)
        for model in means.model.values
    }
    ours = scored["atmorep"]
    for model, metric in product([m for m in scored if m != "atmorep"], paired):
        value, resamples = (a - b for a, b in zip(ours[metric], scored[model][metric], strict=True))
        ours[f"{metric}_minus_{model}"] = value, resamples
    found = {
        (model, metric): values
        for model, own in scored.items()
        for metric, values in own.items()
        if np.isfinite(values[0]).any()
    }
    return _rows(means, found).assign(task=task, field=field).dropna(subset="value")[list(COLUMNS)]


def _metrics(
    means: xr.Dataset, members: int, weights: NDArray[np.float64], metrics: Mapping[str, Metric]
) -> dict[str, Scored]:
    """All metrics of one model over all initial times, and over resamples of them."""
    by_time = {name: _by_time(means, name) for name in map(str, means) if name != "weight"}
    once = np.ones((1, means.sizes["init_time"]))
    pooled = {name: weighted_means(values, once)[0] for name, values in by_time.items()}
    resampled = {name: weighted_means(values, weights) for name, values in by_time.items()}
    return {name: _scored(metric, pooled, resampled, members) for name, metric in metrics.items()}


def _scored(metric: Metric, pooled: Means, resampled: Means, members: int) -> Scored:
    """A metric and its resamples, which are not computed where it is not defined anywhere."""
    value = metric(pooled, members)
    if np.isfinite(value).any():
        return value, metric(resampled, members)
    return value, np.full((len(next(iter(resampled.values()))), *value.shape), np.nan)


def _by_time(means: xr.Dataset, name: str) -> NDArray[np.float64]:
    """One statistic (init_time, region, lead_time, level, own axes)."""
    return means[name].transpose("init_time", "region", "lead_time", "level", ...).to_numpy()


def _rows(means: xr.Dataset, found: Mapping[tuple[str, str], Scored]) -> pd.DataFrame:
    """One row per model, metric, region, lead time and level."""
    count = np.isfinite(_by_time(means.sel(model="atmorep"), "squared_error")).sum(axis=0)
    hours = (means["lead_time"] / np.timedelta64(1, "h")).astype(int)
    axes = [means["region"].to_numpy(), hours.to_numpy(), means["level"].to_numpy()]
    places = np.meshgrid(np.arange(len(found)), *axes, indexing="ij")
    columns: dict[str, Array] = dict(zip(("region", "lead_hours", "level"), places[1:], strict=True))
    columns |= {"value": np.stack([value for value, _ in found.values()])}
    ends = np.stack([np.stack(interval(resamples)) for _, resamples in found.values()])
    columns |= {"lower": ends[:, 0], "upper": ends[:, 1]}
    columns |= {"n": np.broadcast_to(count, columns["value"].shape)}
    for place, name in enumerate(("model", "metric")):
        columns[name] = np.array([key[place] for key in found])[places[0]]
    return pd.DataFrame({name: array.ravel() for name, array in columns.items()})
