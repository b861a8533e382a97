import numpy as np
import pytest

from atmorep.evaluation.bootstrap import (
    MIN_BLOCKS,
    block_length,
    interval,
    resample_weights,
    weighted_means,
)


def autoregressive(series, size, rho, rng):
    noise = rng.normal(size=(size + 100, series)) * np.sqrt(1 - rho**2)
    x = np.zeros_like(noise)
    for t in range(1, len(x)):
        x[t] = rho * x[t - 1] + noise[t]
    return x[100:]


def test_block_length_rounds_up():
    assert block_length(5, 24) == 5
    assert block_length(5, 36) == 4
    assert block_length(0.5, 24) == 1


def test_resamples_are_whole_circular_blocks():
    size, block = 23, 4
    weights = resample_weights(size, block, 50, np.random.default_rng(0))
    assert (weights.sum(axis=1) == size).all()
    # with one block a resample, the times drawn are consecutive on the circle
    for row in resample_weights(size, size // MIN_BLOCKS, 20, np.random.default_rng(1)):
        runs = np.flatnonzero((row > 0) & (np.roll(row, 1) == 0))
        assert len(runs) <= -(-size // (size // MIN_BLOCKS))


def test_every_time_is_drawn_equally_often():
    weights = resample_weights(40, 6, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(weights.mean(axis=0), 1, atol=0.05)


def test_coverage_of_autocorrelated_series():
    """Intervals of the mean of AR(1) series cover the true mean, 0, about 95 times in 100."""
    rng, size, series = np.random.default_rng(3), 400, 600
    x = autoregressive(series, size, 0.7, rng)
    covered = {}
    for block in (1, 20):
        resamples = weighted_means(x, resample_weights(size, block, 500, rng))
        lower, upper = interval(resamples)
        covered[block] = np.mean((lower < 0) & (upper > 0))
    assert 0.90 < covered[20] < 0.97
    assert covered[1] < 0.75  # single times ignore the autocorrelation and are far too sure


def test_paired_difference_sees_what_separate_intervals_hide():
    """Two models share the weather's difficulty; one is better by a little each time."""
    rng = np.random.default_rng(0)
    difficulty = 10 + 3 * autoregressive(1, 200, 0.8, rng)[:, 0]
    ours = difficulty + rng.normal(0, 0.2, 200)
    theirs = difficulty + 0.3 + rng.normal(0, 0.2, 200)
    resamples = weighted_means(np.stack([ours, theirs], 1), resample_weights(200, 10, 1000, rng))
    lower, upper = interval(resamples)
    assert lower[1] < upper[0]  # the intervals overlap
    assert interval(resamples[:, 0] - resamples[:, 1])[1] < 0
    same = difficulty + rng.normal(0, 0.2, 200)
    equal = weighted_means(np.stack([ours, same], 1), resample_weights(200, 10, 1000, rng))
    lower, upper = interval(equal[:, 0] - equal[:, 1])
    assert lower < 0 < upper


def test_too_few_times_have_no_interval():
    weights = resample_weights(MIN_BLOCKS * 4 - 1, 4, 100, np.random.default_rng(0))
    assert weights.shape == (0, MIN_BLOCKS * 4 - 1)
    lower, upper = interval(weighted_means(np.ones((MIN_BLOCKS * 4 - 1, 2)), weights))
    assert np.isnan(lower).all()
    assert lower.shape == upper.shape == (2,)


def test_missing_values_are_left_out():
    values = np.array([[1.0, np.nan], [3.0, np.nan]])
    means = weighted_means(values, np.array([[1.0, 1.0], [2.0, 0.0]]))
    assert means[:, 0].tolist() == [2.0, 1.0]
    assert np.isnan(means[:, 1]).all()


@pytest.mark.parametrize("seed", [0, 1])
def test_same_seed_same_resamples(seed):
    draws = [resample_weights(30, 3, 10, np.random.default_rng(seed)) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
