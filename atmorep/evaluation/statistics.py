"""Statistics of single forecasts, and metrics as functions of their means.

The design is that of WeatherBench-X: a statistic is computed per grid point and averaged over area, per
initial time; a metric is a function of means over initial times. So a metric of any subset or resample
of initial times follows from what is kept, without the predictions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scoringrules
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Sample:
    """Predictions of some states, all in the same physical unit.

    Attributes:
        target: what came (step, level, row, column), or (row, column) of one state; NaN where it is missing.
        members: the ensemble, a first axis more; one member for a deterministic model.
        climatology: climatological mean of the same hours; where there is none, so are no anomalies.
    """

    target: Array
    members: Array
    climatology: Array = field(default_factory=lambda: np.array(np.nan))

    @cached_property
    def mean(self) -> Array:
        """Mean of the ensemble."""
        mean: Array = self.members.mean(axis=0)
        return mean

    @cached_property
    def error(self) -> Array:
        """Error of the ensemble's mean."""
        return self.mean - self.target


def empirical_crps(target: Array, members: Array) -> Array:
    """CRPS of the members as a distribution: mean |x_i - y| - sum |x_i - x_j| / (2 M²).

    Hersbach 2000, doi:10.1175/1520-0434(2000)015<0559:DOTCRP>2.0.CO;2. The fair form corrects for few
    random draws; tails are no draws but nearly quantiles, and would be scored better than they are.
    Departures from the target are scored, so that large means cost no precision.

    Args:
        target: any shape.
        members: the same with the members as an additional first axis; one gives the absolute error.
    """
    crps: Array = scoringrules.crps_ensemble(
        np.zeros_like(target), members - target, m_axis=0, estimator="qd", backend="numpy"
    )
    return crps


def member_error(sample: Sample) -> Array:
    """Mean absolute error of single members; of one, that of the prediction."""
    error: Array = np.abs(sample.members - sample.target).mean(axis=0)
    return error


def variance(sample: Sample) -> Array:
    """Unbiased variance of the ensemble; NaN for one member."""
    if len(sample.members) == 1:
        return np.full_like(sample.target, np.nan)
    unbiased: Array = sample.members.var(axis=0, ddof=1)
    return unbiased


@dataclass(frozen=True)
class Statistic:
    """A quantity per grid point whose means are kept.

    Attributes:
        long_name: what it is.
        power: power of the field's unit.
        compute: from a sample to the axes of its target, behind those of ``axes``.
        axes: axes of its own, such as the rank of the target.
    """

    long_name: str
    power: int
    compute: Callable[[Sample], Array]
    axes: tuple[str, ...] = ()


ERRORS: dict[str, Statistic] = {
    "error": Statistic("error of the ensemble mean", 1, lambda s: s.error),
    "absolute_error": Statistic("absolute error of the ensemble mean", 1, lambda s: np.abs(s.error)),
    "squared_error": Statistic("squared error of the ensemble mean", 2, lambda s: s.error**2),
    "crps": Statistic("CRPS of the ensemble", 1, lambda s: empirical_crps(s.target, s.members)),
    "member_error": Statistic("absolute error of single members", 1, member_error),
    "variance": Statistic("unbiased variance of the ensemble", 2, variance),
}
"""Statistics that ask for nothing but prediction and target."""

STATISTICS: dict[str, Statistic] = {
    **ERRORS,
    "squared_predicted_anomaly": Statistic(
        "squared anomaly of the ensemble mean", 2, lambda s: (s.mean - s.climatology) ** 2
    ),
    "squared_target_anomaly": Statistic(
        "squared anomaly of the target", 2, lambda s: (s.target - s.climatology) ** 2
    ),
    "anomaly_product": Statistic(
        "product of the anomalies of ensemble mean and target",
        2,
        lambda s: (s.mean - s.climatology) * (s.target - s.climatology),
    ),
}
"""Statistics of the fields by name; to add one, add a row."""

DESCRIBED = {name: (statistic.long_name, statistic.power) for name, statistic in STATISTICS.items()}
"""What each of them is, and the power of the field's unit that it is in."""

Means = Mapping[str, Array]
Metric = Callable[[Means, int], Array]
"""From means of statistics, own axes last, and the number of members."""


def ratio(part: Array, whole: Array) -> Array:
    """Return ``part / whole``; NaN where ``whole`` is not positive."""
    shape = np.broadcast_shapes(np.shape(part), np.shape(whole))
    return np.divide(part, whole, out=np.full(shape, np.nan), where=np.asarray(whole) > 0)


def rmse(means: Means, members: int) -> Array:
    """Root of the mean squared error of the ensemble mean."""
    return np.sqrt(means["squared_error"])


def acc(means: Means, members: int) -> Array:
    """Anomaly correlation of the ensemble mean, uncentred.

    mean(f' o') / sqrt(mean(f'^2) mean(o'^2)) with f' and o' the departures of prediction and target from
    the climatology and the means over area and initial times, as in WeatherBench-X; spatial means of the
    anomalies are not removed (Wilks, Statistical Methods in the Atmospheric Sciences, "uncentered"
    form). NaN where an anomaly vanishes, as for the climatology itself.
    """
    size = np.sqrt(means["squared_predicted_anomaly"] * means["squared_target_anomaly"])
    return ratio(means["anomaly_product"], size)


def fair_crps(means: Means, members: int) -> Array:
    """CRPS of the distribution that the M members would be random draws of; NaN of one member.

    Ferro 2014, doi:10.1002/qj.2270: the members' mean distance from each other, by which the empirical CRPS
    is less than their mean absolute error, counts M / (M - 1) times.
    """
    if members == 1:
        return np.full_like(means["crps"], np.nan)
    apart = means["member_error"] - means["crps"]
    return means["member_error"] - apart * members / (members - 1)


def spread(means: Means, members: int) -> Array:
    """Root of the mean unbiased variance of the ensemble."""
    return np.sqrt(means["variance"])


def spread_skill(means: Means, members: int) -> Array:
    """Spread over RMSE times sqrt((M + 1) / M): 1 for a reliable ensemble of M members.

    Fortin et al. 2014, doi:10.1175/JHM-D-14-0008.1: the RMSE of the mean of M members exceeds the spread
    by this factor. NaN where the RMSE vanishes.
    """
    return ratio(np.sqrt((members + 1) / members) * spread(means, members), rmse(means, members))


ERROR_METRICS: dict[str, Metric] = {
    "rmse": rmse,
    "mae": lambda means, members: means["absolute_error"],
    "bias": lambda means, members: means["error"],
    "crps": lambda means, members: means["crps"],
    "fair_crps": fair_crps,
    "spread": spread,
    "spread_skill": spread_skill,
}
"""Metrics of ``ERRORS``."""

METRICS: dict[str, Metric] = {**ERROR_METRICS, "acc": acc}
"""Metrics of the fields by the name they have in ``metrics.csv``; to add one, add a row."""
