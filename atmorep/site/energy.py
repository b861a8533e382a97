"""What wind at a site comes to: speed and direction at the hub, power, capacity factor, wind rose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atmorep.config.site import Rose, Turbine
from atmorep.evaluation.bootstrap import interval, resample_weights

Floats = NDArray[np.float64]

_SAMPLES, _SEED = 1000, 0


def to_hub(speed: Floats, height: float, turbine: Turbine, shear: float | Floats) -> Floats:
    """Wind speed at the height of the hub by the power law, speed x (hub / height) ** shear.

    A rule of thumb for neutral air over even ground (Justus and Mikhail 1976, doi:10.1029/GL003i005p00261).
    """
    return speed * (turbine.hub_height / height) ** shear


def direction(eastward: Floats, northward: Floats) -> Floats:
    """Direction that the wind blows from, in degrees clockwise from north, 0 to below 360; 0 in a calm."""
    found: Floats = np.degrees(np.arctan2(0 - eastward, 0 - northward)) % 360
    return np.where(found == 360, 0.0, found)


def power(speed: Floats, turbine: Turbine) -> Floats:
    """Power in kW at wind speeds in m s-1 at the hub, by the turbine's curve at its own air density."""
    found: Floats = np.interp(speed, turbine.speeds, turbine.power, left=0.0, right=0.0)
    return found


def rose(from_degrees: Floats, speed: Floats, settings: Rose) -> Floats:
    """Share of all values in each sector and class of speed (sectors, classes); all add up to one."""
    width = 360 / settings.sectors
    sector = ((from_degrees + width / 2) % 360 // width).astype(int) % settings.sectors
    strength = np.searchsorted(settings.speeds, speed, side="right") - 1
    shape = settings.sectors, len(settings.speeds)
    counts = np.bincount((sector * shape[1] + strength).ravel(), minlength=shape[0] * shape[1])
    return counts.reshape(shape) / speed.size


@dataclass(frozen=True)
class Capacity:
    """Mean power over rated power, of the period; each (site,).

    Attributes:
        mean: of all members.
        lower: of the ensemble's lower bound: members in the order of their own means over the period, so that
            an error is taken to last all the time.
        upper: of its upper bound.
        period: 95 % interval (2, site) of what another period of the same length would have brought; NaN
            where the period is too short to tell.
        behind: how much lower than the site with the highest mean.
        behind_interval: 95 % interval (2, site) of that, days being drawn for both sites alike.
    """

    mean: Floats
    lower: Floats
    upper: Floats
    period: Floats
    behind: Floats
    behind_interval: Floats


def capacity(share: Floats, days: NDArray[np.int64], bounds: float, block_days: int) -> Capacity:
    """Summarise power over rated power.

    Args:
        share: (number, time, site).
        days: of each time (time,), not decreasing.
        bounds: share of members between lower and upper.
        block_days: days on end that are drawn together.
    """
    members = share.mean(axis=1)
    lower, upper = np.quantile(members, [(1 - bounds) / 2, (1 + bounds) / 2], axis=0)
    mean = members.mean(axis=0)
    best = int(mean.argmax())
    drawn = _resampled(share.mean(axis=0), days, block_days)
    period, behind = (_interval(values) for values in (drawn, drawn[:, [best]] - drawn))
    return Capacity(mean, lower, upper, period, mean[best] - mean, behind)


def _interval(drawn: Floats) -> Floats:
    return np.stack(interval(drawn)).astype(np.float64)


def _resampled(share: Floats, days: NDArray[np.int64], block_days: int) -> Floats:
    """Means over the period (samples, site) of blocks of days that are drawn at random, of (time, site)."""
    _, begins = np.unique(days, return_index=True)
    counts = np.diff(begins, append=len(days))
    sums = np.add.reduceat(share, begins, axis=0)
    weights = resample_weights(len(begins), block_days, _SAMPLES, np.random.default_rng(_SEED))
    found: Floats = (weights @ sums) / (weights @ counts)[:, None]
    return found
