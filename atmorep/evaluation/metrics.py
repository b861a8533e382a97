"""Metrics with intervals, from the means of the statistics per initial time."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from atmorep.evaluation.bootstrap import interval, weighted_means
from atmorep.evaluation.statistics import METRICS, STATISTICS, Array

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
    task: str, field: str, means: xr.Dataset, members: int, weights: NDArray[np.float64]
) -> pd.DataFrame:
    """Return the metrics of all models of a task, tidy; what is not defined has no row.

    Args:
        task: its name.
        field: ERA5 short name.
        means: statistics per initial time (model, region, init_time, lead_time, level).
        members: size of the model's ensemble.
        weights: resamples of the initial times (sample, init_time), the same for all models.
    """
    scored = {
        str(model): _metrics(means.sel(model=model), members if model == "atmorep" else 1, weights)
        for model in means.model.values
    }
    ours = scored["atmorep"]
    for model, metric in product([m for m in scored if m != "atmorep"], PAIRED):
        pairs = zip(ours[metric], scored[model][metric], strict=True)
        value, resamples = (a - b for a, b in pairs)
        ours[f"{metric}_minus_{model}"] = value, resamples
    count = np.isfinite(means["squared_error"].sel(model="atmorep")).sum("init_time")
    frames = [
        _rows(count, metric, *values).assign(task=task, field=field, model=model)
        for model, metrics in scored.items()
        for metric, values in metrics.items()
    ]
    return pd.concat(frames, ignore_index=True).dropna(subset="value")[list(COLUMNS)]


def _metrics(means: xr.Dataset, members: int, weights: NDArray[np.float64]) -> dict[str, Scored]:
    """All metrics of one model over all initial times, and over resamples of them."""
    by_time = {
        name: means[name].transpose("init_time", "region", "lead_time", "level").values for name in STATISTICS
    }
    once = np.ones((1, means.sizes["init_time"]))
    pooled = {name: weighted_means(values, once)[0] for name, values in by_time.items()}
    resampled = {name: weighted_means(values, weights) for name, values in by_time.items()}
    return {name: (metric(pooled, members), metric(resampled, members)) for name, metric in METRICS.items()}


def _rows(count: xr.DataArray, metric: str, value: Array, resamples: Array) -> pd.DataFrame:
    """One row per region, lead time and level."""
    lower, upper = interval(resamples)
    dims = ("region", "lead_time", "level")
    arrays = {"value": value, "lower": lower, "upper": upper, "n": count.transpose(*dims).values}
    dataset = xr.Dataset({name: (dims, array) for name, array in arrays.items()}, count.coords)
    frame = dataset[list(arrays)].to_dataframe().reset_index()
    return frame.assign(metric=metric, lead_hours=frame["lead_time"] // pd.Timedelta(hours=1))
