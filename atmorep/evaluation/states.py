"""Statistics of whole states on a grid, one time after the other: of a target, or of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config.evaluation import DOMAIN
from atmorep.config.target import Box
from atmorep.evaluation import categorical
from atmorep.evaluation.patterns import AXES, MOMENTS, Patterns, correlation
from atmorep.evaluation.statistics import (
    ERROR_METRICS,
    ERRORS,
    Array,
    Means,
    Metric,
    Sample,
    Statistic,
)
from atmorep.grids import Grid
from atmorep.timeaxis import Hours

TARGET = "target"
"""Name, among the models, of what came: it has a distribution and a diurnal cycle, but no error."""

PAIRED = ("rmse", "mae", "crps", "brier", "ets", "fss")
"""Metrics whose difference to every baseline is given; of each threshold and scale."""


def regions(grid: Grid, holdout: Box | None) -> dict[str, NDArray[np.float64]]:
    """Area weights (row, column) of the regions that are scored, by name; zero outside."""
    domain = np.broadcast_to(grid.weights, grid.shape)
    if holdout is None:
        return {DOMAIN: domain}
    return {DOMAIN: domain, "holdout": np.where(grid.inside(holdout), domain, 0)}


@dataclass(frozen=True)
class Scored:
    """What is computed of a state.

    Attributes:
        thresholds: of events, in the field's unit.
        scales: of the fractions skill score, in cells.
        members: size of the ensemble.
        patterns: of whole states.
    """

    thresholds: Sequence[float]
    scales: Sequence[int]
    members: int
    patterns: Patterns

    @cached_property
    def statistics(self) -> dict[str, Statistic]:
        """Statistics of cells by name."""
        return {**ERRORS, **MOMENTS, **dict(categorical.statistics(self.thresholds, self.scales))}

    @property
    def described(self) -> dict[str, tuple[str, int]]:
        """What each statistic is, and the power of the field's unit that it is in."""
        own = {name: (statistic.long_name, statistic.power) for name, statistic in self.statistics.items()}
        return {**own, **self.patterns.DESCRIBED, "by_hour": ("ensemble mean by hour of the day", 1)}

    def metrics(self, hours: Array) -> dict[str, Metric]:
        """Metrics by name; the diurnal cycle of ``hours``, where there are several."""
        found = {**ERROR_METRICS, "correlation": correlation, **self.whole}
        if len(hours) > 1:
            found |= {f"diurnal@{h:02d}": partial(_diurnal, number=n) for n, h in enumerate(hours)}
        return found

    @property
    def whole(self) -> dict[str, Metric]:
        """Those that only whole states tell: patterns, distributions, ranks and events."""
        events = categorical.metrics(self.thresholds, self.scales, self.members)
        return {**dict(self.patterns.metrics()), **dict(events)}

    def paired(self, hours: Array) -> list[str]:
        """Metrics whose difference to every baseline is given."""
        return [name for name in self.metrics(hours) if name.split(">")[0] in PAIRED]


def _diurnal(means: Means, members: int, number: int) -> Array:
    return means["by_hour"][..., number]


class StateScores:
    """Means of the statistics of one task per time, filled state by state."""

    def __init__(
        self,
        scored: Scored,
        models: Mapping[str, int],
        weights: Mapping[str, NDArray[np.float64]],
        times: int,
    ) -> None:
        """Make room.

        Args:
            scored: what is computed.
            models: members of each model by name; the largest ensemble first.
            weights: area weights (row, column) of the regions by name.
            times: number of states.
        """
        self._scored, self._models = scored, {**models, TARGET: 1}
        self._regions = weights
        self._shape = (len(self._models), len(self._regions), times)
        self._weights = np.stack(list(self._regions.values()))
        self._means: dict[str, NDArray[np.float64]] = {}
        self._weight = np.zeros(self._shape[1:])

    def add(self, time: int, target: Array, predictions: Mapping[str, Array]) -> None:
        """Add one state.

        Args:
            time: its number.
            target: what came (row, column), NaN where missing.
            predictions: members (member, row, column) by model.
        """
        target = target.astype(np.float64)
        self._weight[:, time] = (self._weights * ~np.isnan(target)).sum(axis=(1, 2))
        for number, name in enumerate(self._models):
            members = target[None] if name == TARGET else predictions[name].astype(np.float64)
            sample = Sample(target, members)
            for region, found in enumerate(self._of_regions(sample, name == TARGET)):
                for statistic, value in found.items():
                    self._put(statistic, (number, region, time), value)

    def _of_regions(self, sample: Sample, of_target: bool) -> list[dict[str, Array]]:
        """Statistics by name, of each region; of the target itself only what it has."""
        patterns, areas = self._scored.patterns, list(self._regions.values())
        if of_target:
            known = ~np.isnan(sample.target)
            cells = ((weights > 0) & known for weights in areas)
            found: list[dict[str, Array]] = [
                {"distribution": patterns.distribution(sample.members[:, there], weights[there])}
                for weights, there in zip(areas, cells, strict=True)
            ]
            statistics = {"prediction": MOMENTS["target"]}
        else:
            found, statistics = [patterns.of(sample, area) for area in areas], self._scored.statistics
        for name, statistic in statistics.items():
            for own, value in zip(found, area_means(statistic.compute(sample), self._weights), strict=True):
                own[name] = value
        return found

    def _put(self, statistic: str, place: tuple[int, int, int], value: Array) -> None:
        value = np.asarray(value)
        if statistic not in self._means:
            self._means[statistic] = np.full((*self._shape, *value.shape), np.nan)
        own: tuple[slice, ...] = tuple(slice(size) for size in value.shape)
        self._means[statistic][place + own] = value

    def means(self, times: Hours) -> xr.Dataset:
        """Return the area means of all statistics per time, at lead time 0 and level 0."""
        dims = ("model", "region", "init_time", "lead_time", "level")
        variables = {}
        for name, values in self._means.items():
            own = [f"{name}_{axis}" for axis in self._axes(name)]
            variables[name] = ((*dims, *own), np.expand_dims(values, (3, 4)))
        prediction = variables["prediction"][1]
        hour = times.astype("datetime64[h]").astype(np.int64) % 24
        hours = np.unique(hour)
        now = hour[:, None, None, None] == hours
        variables["by_hour"] = ((*dims, "hour"), np.where(now, prediction[..., None], np.nan))
        coordinates = {
            "model": list(self._models),
            "region": list(self._regions),
            "init_time": times.astype("datetime64[ns]"),
            "lead_time": np.zeros(1, "timedelta64[ns]"),
            "level": [0],
            "hour": hours,
        }
        weight = (dims[1:], np.expand_dims(self._weight, (2, 3)))
        return xr.Dataset({**variables, "weight": weight}, coordinates)

    def _axes(self, name: str) -> tuple[str, ...]:
        if name in self._scored.statistics:
            return self._scored.statistics[name].axes
        return AXES.get(name) or AXES.get(name.split("_")[0], ())


def area_means(values: Array, weights: NDArray[np.float64]) -> Array:
    """Means (region, ...) of values (..., row, column) over the cells where the target is known.

    A cell where all are NaN has no target; where only some axes are, the mean of these is NaN.

    Args:
        values: of each cell.
        weights: (region, row, column).
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values).reshape(-1, *values.shape[-2:]).all(axis=0)
    total = np.tensordot(weights * known, np.where(known, values, 0), axes=([1, 2], [-2, -1]))
    size = (weights * known).sum(axis=(1, 2)).reshape(-1, *[1] * (values.ndim - 2))
    return np.divide(total, size, out=np.full_like(total, np.nan), where=size > 0)
