"""Losses against integrals, closed forms and an independent library; their gradients too."""

import math

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm
from torch.autograd import gradcheck

from atmorep.config import Loss
from atmorep.losses import TERMS, combined, crps_gaussian, crps_kernel, mse_ensemble, statistical


def ensemble(mean, std, size=6):
    """Members (M, 1) of exactly this mean and unbiased standard deviation, in float64."""
    raw = torch.linspace(-1, 1, size, dtype=torch.float64)
    return (mean + std * (raw - raw.mean()) / raw.std()).unsqueeze(-1)


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def at(value):
    return torch.tensor([value], dtype=torch.float64)


@pytest.mark.parametrize(("mean", "std", "truth"), [(0, 1, 0), (0, 1, 2), (0, 1, -2), (1.5, 0.3, 0.2)])
def test_gaussian_crps_is_the_integral_over_thresholds(mean, std, truth):
    below, _ = quad(lambda x: norm.cdf(x, mean, std) ** 2, -15, truth)
    above, _ = quad(lambda x: norm.sf(x, mean, std) ** 2, truth, 15)
    found = crps_gaussian(ensemble(mean, std), at(truth)).item()
    assert found == pytest.approx(below + above, abs=1e-7)  # quad's own error is 1.5e-8
    assert found == pytest.approx(scoringrules.crps_normal(truth, mean, std), rel=1e-12)


def test_gaussian_crps_at_two_deviations_is_the_textbook_value_and_symmetric():
    members = ensemble(0, 1)
    assert crps_gaussian(members, at(2.0)).item() == pytest.approx(1.4528, abs=1e-4)
    assert torch.allclose(crps_gaussian(members, at(2.0)), crps_gaussian(members, at(-2.0)))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 17))
@pytest.mark.parametrize(("fairness", "estimator"), [(1.0, "fair"), (0.0, "nrg")])
def test_kernel_crps_is_that_of_scoringrules(fairness, estimator, seed, size):
    members, truth = drawn(3, size, 4, seed=seed), drawn(3, 4, seed=seed + 1)
    expected = scoringrules.crps_ensemble(truth.numpy(), members.numpy(), m_axis=1, estimator=estimator)
    np.testing.assert_allclose(crps_kernel(members, truth, fairness), expected, atol=1e-12)


def test_fairness_mixes_the_two_estimators():
    members, truth = drawn(5, 8, 3), drawn(5, 3, seed=1)
    fair, empirical = (crps_kernel(members, truth, fairness) for fairness in (1.0, 0.0))
    assert torch.allclose(crps_kernel(members, truth, 0.7), 0.7 * fair + 0.3 * empirical)


def test_the_fair_kernel_crps_does_not_depend_on_the_number_of_members_in_the_mean():
    """Of draws from N(0, 1) with the truth at 0 it is the CRPS of N(0, 1), 0.2337, for 3 as for 12."""
    expected = scoringrules.crps_normal(0, 0, 1)
    for size in (3, 12):
        scores = crps_kernel(drawn(20_000, size, 1), torch.zeros(20_000, 1), 1.0)
        assert scores.mean().item() == pytest.approx(expected, abs=4 * scores.std().item() / 20_000**0.5)


def test_the_spread_of_the_kernel_crps_has_a_gradient():
    """The released code trained the mean absolute error only: its spread was cut off from the graph."""
    members = ensemble(0, 1, 4).requires_grad_()
    crps_kernel(members, at(0.1), 1.0).sum().backward()
    # d/dx_k = sign(x_k - y) / M - (2 k - M + 1) / (M (M - 1)) for sorted members
    expected = torch.tensor([-1, -1, 1, 1]) / 4 - torch.tensor([-3, -1, 1, 3]) / 12
    assert torch.allclose(members.grad.flatten(), expected.double())


@pytest.mark.parametrize("name", TERMS)
def test_gradients_are_those_of_finite_differences(name):
    members, truth = drawn(3, 5, 2).requires_grad_(), drawn(3, 2, seed=1).requires_grad_()
    assert gradcheck(TERMS[name], (members, truth))


@pytest.mark.parametrize("name", TERMS)
def test_shapes_and_finite_gradients_where_all_members_agree(name):
    members = torch.full((2, 3, 5, 4), 0.3, requires_grad=True)
    loss = TERMS[name](members, torch.zeros(2, 3, 4))
    assert loss.shape == (2, 3, 4)
    loss.mean().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(members.grad).all()


@pytest.mark.parametrize("z", [0.0, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("std", [0.25, 1.0, 4.0])
def test_statistical_loss_has_its_analytic_values(z, std):
    expected = (1 - math.exp(-(z**2) / 2)) ** 2 + math.sqrt(std)
    assert statistical(ensemble(1, std), at(1 + z * std)).item() == pytest.approx(expected, rel=1e-12)


def optimal_spread(loss, error):
    """Standard deviation of least mean loss where the mean errs by ``error`` (root mean square)."""
    truth = error * torch.from_numpy(norm.ppf((np.arange(200) + 0.5) / 200))
    spreads = np.geomspace(1e-3, 10, 120)
    means = [loss(ensemble(0, s).expand(6, 200), truth).mean().item() for s in spreads]
    return spreads[int(np.argmin(means))]


@pytest.mark.parametrize("error", [1.0, 2.0])
def test_the_statistical_loss_is_improper_and_the_scores_are_not(error):
    """With large errors the published loss is least for no spread at all, which users must know."""
    assert optimal_spread(statistical, error) == pytest.approx(1e-3)
    assert optimal_spread(crps_gaussian, error) == pytest.approx(error, rel=0.08)  # the grid's spacing


def test_mse_ensemble_is_variance_and_squared_bias():
    members, truth = drawn(7, 5, 3), drawn(7, 3, seed=1)
    expected = members.var(1, correction=0) + (members.mean(1) - truth) ** 2
    assert torch.allclose(mse_ensemble(members, truth), expected)


def test_combined_is_the_weighted_sum():
    members, truth = drawn(7, 5, 3), drawn(7, 3, seed=1)
    weights = {name: 0.5 + n for n, name in enumerate(TERMS)}
    assert set(TERMS) == set(Loss.model_fields)
    expected = sum(w * TERMS[name](members, truth).mean() for name, w in weights.items())
    assert torch.allclose(combined(members, truth, Loss(**weights)), expected)
    for name in TERMS:
        only = Loss(**(dict.fromkeys(TERMS, 0.0) | {name: 1.0}))
        assert torch.allclose(combined(members, truth, only), TERMS[name](members, truth).mean())
