"""Events of exceeding a threshold: contingency tables, fractions of neighbourhoods, probabilities, ranks.

All are statistics per cell whose area means are kept per time, so that scores of any resample follow.
Where the target is missing they are NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from atmorep.evaluation.statistics import Array, Means, Metric, Sample, Statistic, ratio

Statistics = Iterator[tuple[str, Statistic]]
Metrics = Iterator[tuple[str, Metric]]


def _where_known(sample: Sample, values: Array | NDArray[np.bool_]) -> Array:
    """``values`` (..., row, column) as numbers; NaN where the target is missing."""
    return np.where(np.isnan(sample.target), np.nan, values)


# -- contingency tables ------------------------------------------------------------------------------


def contingency(sample: Sample, threshold: float) -> Array:
    """Hits, false alarms and misses of the ensemble's mean (3, row, column)."""
    predicted, observed = sample.mean > threshold, sample.target > threshold
    return _where_known(
        sample, np.stack([predicted & observed, predicted & ~observed, ~predicted & observed])
    )


def _table(means: Means, threshold: float) -> tuple[Array, Array, Array]:
    table = means[f"contingency>{threshold:g}"]
    return table[..., 0], table[..., 1], table[..., 2]


def frequency_bias(means: Means, members: int, threshold: float) -> Array:
    """Predicted over observed events; 1 is perfect."""
    hits, alarms, misses = _table(means, threshold)
    return ratio(hits + alarms, hits + misses)


def pod(means: Means, members: int, threshold: float) -> Array:
    """Probability of detection: share of the observed events that were predicted."""
    hits, _, misses = _table(means, threshold)
    return ratio(hits, hits + misses)


def far(means: Means, members: int, threshold: float) -> Array:
    """False alarm ratio: share of the predicted events that were not observed."""
    hits, alarms, _ = _table(means, threshold)
    return ratio(alarms, hits + alarms)


def csi(means: Means, members: int, threshold: float) -> Array:
    """Critical success index, or threat score."""
    hits, alarms, misses = _table(means, threshold)
    return ratio(hits, hits + alarms + misses)


def ets(means: Means, members: int, threshold: float) -> Array:
    """Equitable threat score, of Gilbert: hits that chance would give are taken off.

    The table holds shares of area, so that these are (hits + false alarms) (hits + misses).
    """
    hits, alarms, misses = _table(means, threshold)
    chance = (hits + alarms) * (hits + misses)
    return ratio(hits - chance, hits + alarms + misses - chance)


# -- fractions skill score ---------------------------------------------------------------------------


def fractions(sample: Sample, threshold: float, scale: int) -> Array:
    """Squared difference of the fractions of a square that exceed, and the sum of their squares.

    Roberts and Lean 2008, doi:10.1175/2007MWR2123.1; of the ensemble's mean. Fractions are of the cells that
    the domain has and that have a target.

    Returns:
        (2, row, column).
    """
    known = ~np.isnan(sample.target)
    cells = uniform_filter(known.astype(float), scale, mode="constant")
    of_mean, of_target = (
        ratio(uniform_filter((known & (values > threshold)).astype(float), scale, mode="constant"), cells)
        for values in (sample.mean, sample.target)
    )
    return _where_known(sample, np.stack([(of_mean - of_target) ** 2, of_mean**2 + of_target**2]))


def fss(means: Means, members: int, threshold: float, scale: int) -> Array:
    """Fractions skill score; 1 is perfect."""
    both = means[f"fractions>{threshold:g}@{scale}"]
    return 1 - ratio(both[..., 0], both[..., 1])


# -- probabilities -----------------------------------------------------------------------------------


def probabilities(sample: Sample, threshold: float) -> Array:
    """Where k of the M members exceed, and where the target does so too (2, M + 1, row, column)."""
    votes = (sample.members > threshold).sum(axis=0)
    issued = votes == np.arange(len(sample.members) + 1)[:, None, None]
    return _where_known(sample, np.stack([issued, issued & (sample.target > threshold)]))


def _issued(means: Means, members: int, threshold: float) -> tuple[Array, Array, Array]:
    """Probabilities (M + 1,), how often each was issued, and how often an event followed."""
    both = means[f"probabilities>{threshold:g}"]
    return np.arange(members + 1) / members, both[..., 0, : members + 1], both[..., 1, : members + 1]


def brier(means: Means, members: int, threshold: float) -> Array:
    """Brier score of the share of members that exceed; 0 is perfect."""
    probability, issued, followed = _issued(means, members, threshold)
    score: Array = (probability**2 * issued + (1 - 2 * probability) * followed).sum(axis=-1)
    return score


def member_frequency_bias(means: Means, members: int, threshold: float) -> Array:
    """Events predicted by single members over observed events."""
    probability, issued, followed = _issued(means, members, threshold)
    return ratio((probability * issued).sum(axis=-1), followed.sum(axis=-1))


def reliability(means: Means, members: int, threshold: float, votes: int) -> Array:
    """Frequency of the event where ``votes`` members exceed."""
    _, issued, followed = _issued(means, members, threshold)
    if votes > members:
        return np.full(issued.shape[:-1], np.nan)
    return ratio(followed[..., votes], issued[..., votes])


def issued(means: Means, members: int, threshold: float, votes: int) -> Array:
    """Share of the cells where ``votes`` members exceed; of an ensemble only."""
    _, shares, _ = _issued(means, members, threshold)
    return shares[..., votes] if members > 1 and votes <= members else np.full(shares.shape[:-1], np.nan)


# -- ranks -------------------------------------------------------------------------------------------


def ranks(sample: Sample) -> Array:
    """Rank of the target among M members (M + 1, row, column); NaN of one member.

    Of members that equal the target, as dry ones do, all ranks are taken alike: what drawing one of them
    gives on average (Hamill 2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2).
    """
    below, equal = (
        np.sum(where, axis=0) for where in (sample.members < sample.target, sample.members == sample.target)
    )
    rank = np.arange(len(sample.members) + 1)[:, None, None]
    shares = ((below <= rank) & (rank <= below + equal)) / (equal + 1)
    return _where_known(sample, shares) if len(sample.members) > 1 else np.full_like(shares, np.nan)


def _rank(means: Means, members: int, rank: int) -> Array:
    return means["ranks"][..., rank]


# -- all of them -------------------------------------------------------------------------------------


def statistics(thresholds: Sequence[float], scales: Sequence[int]) -> Statistics:
    """Statistics by name, of the ranks and of all thresholds and scales."""
    yield "ranks", Statistic("frequency of the target's rank among the members", 0, ranks, ("rank",))
    for threshold in thresholds:
        exceeding = f"of exceeding {threshold:g}"
        name = f"hits, false alarms and misses {exceeding}"
        function = partial(contingency, threshold=threshold)
        yield f"contingency>{threshold:g}", Statistic(name, 0, function, ("outcome",))
        name = f"members {exceeding}, and events that followed"
        function = partial(probabilities, threshold=threshold)
        yield f"probabilities>{threshold:g}", Statistic(name, 0, function, ("followed", "votes"))
        for scale in scales:
            name = f"numerator and denominator of the fractions skill score {exceeding} on {scale} cells"
            function = partial(fractions, threshold=threshold, scale=scale)
            yield f"fractions>{threshold:g}@{scale}", Statistic(name, 0, function, ("term",))


def metrics(thresholds: Sequence[float], scales: Sequence[int], members: int) -> Metrics:
    """Metrics by name: ``csi>0.001``, ``fss>0.001@5``, ``reliability>0.001@4`` of 4 members, ``rank@0``."""
    for rank in range(members + 1):
        yield f"rank@{rank}", partial(_rank, rank=rank)
    for threshold in thresholds:
        for function in (frequency_bias, pod, far, csi, ets, brier, member_frequency_bias):
            yield f"{function.__name__}>{threshold:g}", partial(function, threshold=threshold)
        for scale in scales:
            yield f"fss>{threshold:g}@{scale}", partial(fss, threshold=threshold, scale=scale)
        for votes in range(members + 1):
            yield f"reliability>{threshold:g}@{votes}", partial(reliability, threshold=threshold, votes=votes)
            yield f"issued>{threshold:g}@{votes}", partial(issued, threshold=threshold, votes=votes)
