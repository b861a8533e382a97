"""Confidence intervals over initial times by the circular block bootstrap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Evaluation

Array = NDArray[np.floating]

LEVEL = 0.95
"""Confidence of the intervals."""

MIN_BLOCKS = 5
"""Fewest blocks in a series that is resampled: below, intervals would be far too narrow."""


def block_length(block_days: float, every_hours: int) -> int:
    """Initial times a block of ``block_days`` days holds, at least one."""
    return max(1, math.ceil(block_days * 24 / every_hours))


def resample_weights(size: int, block: int, samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """How often each of ``size`` times enters each resample (samples, size); each row sums to ``size``.

    Circular block bootstrap (Politis and Romano 1992): blocks of ``block`` consecutive times, the first
    following the last, with random starts, cut to ``size``. The mean of resample b is the weighted mean
    with row b; the same rows for two models make a paired comparison. No rows if there are fewer than
    ``MIN_BLOCKS`` blocks.
    """
    if size < MIN_BLOCKS * block:
        return np.empty((0, size))
    starts = random.integers(size, size=(samples, math.ceil(size / block), 1))
    times = ((starts + np.arange(block)) % size).reshape(samples, -1)[:, :size]
    counts = np.bincount((times + size * np.arange(samples)[:, None]).ravel(), minlength=samples * size)
    return counts.reshape(samples, size).astype(np.float64)


def resamples(settings: Evaluation, size: int) -> NDArray[np.float64]:
    """The resamples of an evaluation of ``size`` initial times; see :func:`resample_weights`."""
    block = block_length(settings.bootstrap_block_days, settings.every_hours)
    random = np.random.default_rng(settings.seed)
    return resample_weights(size, block, settings.bootstrap_samples, random)


def weighted_means(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over the first axis with each row of weights; NaN values are left out.

    Args:
        values: (time, ...).
        weights: (samples, time).

    Returns:
        (samples, ...); NaN where no time has a value.
    """
    known = np.isfinite(values)
    total = np.tensordot(weights, np.where(known, values, 0), axes=1)
    count = np.tensordot(weights, known.astype(np.float64), axes=1)
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def interval(resamples: Array) -> tuple[Array, Array]:
    """Percentile interval over the first axis; NaN if there are no resamples."""
    if not len(resamples):
        empty = np.full(resamples.shape[1:], np.nan)
        return empty, empty
    lower, upper = np.quantile(resamples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return lower, upper
