from statistics import NormalDist

import numpy as np
import pytest
import scoringrules
from hypothesis import given
from hypothesis import strategies as st

from atmorep.evaluation.statistics import METRICS, STATISTICS, Sample, empirical_crps

SHAPE = (3, 2, 4, 5)


def pooled(sample):
    return {name: np.asarray(s.compute(sample).mean(), float) for name, s in STATISTICS.items()}


@pytest.fixture
def sample():
    rng = np.random.default_rng(1)
    target = rng.normal(280, 5, SHAPE)
    return Sample(target, target + rng.normal(1, 2, (6, *SHAPE)), np.full(SHAPE, 279.0))


@given(st.integers(2, 20), st.integers(0, 2**20))
def test_crps_is_the_pairwise_definition(members, seed):
    rng = np.random.default_rng(seed)
    target, ensemble = rng.normal(size=7), rng.normal(size=(members, 7))
    pairs = np.abs(ensemble[:, None] - ensemble[None]).sum((0, 1)) / (2 * members**2)
    expected = np.abs(ensemble - target).mean(0) - pairs
    np.testing.assert_allclose(empirical_crps(target, ensemble), expected, atol=1e-12)
    np.testing.assert_allclose(
        scoringrules.crps_ensemble(target, ensemble, m_axis=0, estimator="nrg"), expected, atol=1e-12
    )


def test_crps_of_quantiles_is_near_that_of_their_distribution():
    """Members at the quantiles of a Gaussian score nearly its closed form, never better."""
    members = NormalDist().quantiles(64)[::2]  # the odd 64ths, 32 of them
    score = empirical_crps(np.full(1, 0.7), np.array(members)[:, None])[0]
    exact = scoringrules.crps_normal(0.7, 0, 1)
    assert exact <= score == pytest.approx(exact, rel=0.01)


def test_crps_keeps_its_precision_at_large_means():
    """Pressure in float32: the score of an ensemble 10 Pa wide around 100 kPa."""
    rng = np.random.default_rng(0)
    target = rng.normal(1e5, 1e3, 1000).astype(np.float32)
    ensemble = (target + rng.normal(0, 10, (16, 1000))).astype(np.float32)
    exact = empirical_crps(target.astype(float), ensemble.astype(float))
    np.testing.assert_allclose(empirical_crps(target, ensemble), exact, atol=1e-4)
    assert (empirical_crps(target, np.repeat(target[None], 16, axis=0)) == 0).all()


def test_crps_of_one_member_is_the_absolute_error():
    target, prediction = np.array([1.0, 2.0]), np.array([3.0, -1.0])
    assert empirical_crps(target, prediction[None]).tolist() == [2.0, 3.0]


def test_fair_crps_is_that_of_the_library(sample):
    expected = scoringrules.crps_ensemble(sample.target, sample.members, m_axis=0, estimator="fair")
    assert METRICS["fair_crps"](pooled(sample), 6) == pytest.approx(expected.mean())
    one = Sample(sample.target, sample.members[:1], sample.climatology)
    assert np.isnan(METRICS["fair_crps"](pooled(one), 1))


@pytest.mark.parametrize("members", [2, 16])
def test_fair_crps_does_not_depend_on_the_number_of_draws(members):
    """Of draws of the target's own distribution N(0, 1): 1 / sqrt(pi), however few."""
    rng = np.random.default_rng(members)
    target, draws = rng.normal(size=(100_000, 1, 1, 1)), rng.normal(size=(members, 100_000, 1, 1, 1))
    means = pooled(Sample(target, draws, np.zeros_like(target)))
    assert METRICS["fair_crps"](means, members) == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)
    exact = (1 + 1 / members) / np.sqrt(np.pi)
    assert METRICS["crps"](means, members) == pytest.approx(exact, abs=0.01)


def test_acc_of_perfect_negated_and_scaled_anomalies(sample):
    for factor, expected in ((1, 1), (-1, -1), (0.3, 1)):
        prediction = sample.climatology + factor * (sample.target - sample.climatology)
        means = pooled(Sample(sample.target, prediction[None], sample.climatology))
        assert METRICS["acc"](means, 1) == pytest.approx(expected)
    climatology = pooled(Sample(sample.target, sample.climatology[None], sample.climatology))
    assert np.isnan(METRICS["acc"](climatology, 1))


def test_acc_is_uncentred():
    """Anomalies (1, 3) and (2, 2): 8 / sqrt(10 * 8); a centred one would not be defined."""
    target, zero = np.array([1.0, 3.0]).reshape(2, 1, 1, 1), np.zeros((2, 1, 1, 1))
    means = pooled(Sample(target, zero[None] + 2, zero))
    assert METRICS["acc"](means, 1) == pytest.approx(8 / np.sqrt(80))


def test_deterministic_scores_are_those_of_the_mean(sample):
    means, error = pooled(sample), sample.members.mean(0) - sample.target
    assert METRICS["rmse"](means, 6) == pytest.approx(np.sqrt((error**2).mean()))
    assert METRICS["mae"](means, 6) == pytest.approx(np.abs(error).mean())
    assert METRICS["bias"](means, 6) == pytest.approx(error.mean())


@pytest.mark.parametrize("members", [2, 5, 16])
def test_spread_skill_of_an_exchangeable_ensemble_is_one(members):
    """Target and members are drawn alike; without the factor the ratio would be sqrt(M / (M + 1))."""
    rng = np.random.default_rng(members)
    centre = rng.normal(0, 10, (50_000, 1, 1, 1))
    ensemble = centre + rng.normal(0, 3, (members, 50_000, 1, 1, 1))
    means = pooled(Sample(centre + rng.normal(0, 3, centre.shape), ensemble, np.zeros_like(centre)))
    assert METRICS["spread"](means, members) == pytest.approx(3, rel=0.01)
    assert METRICS["spread_skill"](means, members) == pytest.approx(1, abs=0.015)


def test_one_member_has_no_spread(sample):
    means = pooled(Sample(sample.target, sample.members[:1], sample.climatology))
    assert np.isnan(METRICS["spread"](means, 1))
    assert np.isnan(METRICS["spread_skill"](means, 1))
