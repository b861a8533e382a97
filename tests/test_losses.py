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

from atmorep.config import Loss, parse
from atmorep.losses import (
    LEAK,
    TERMS,
    censored,
    crps_gaussian,
    crps_kernel,
    loss_of,
    means,
    mse_ensemble,
    scored,
    statistical,
)
from atmorep.sampling.batches import FieldBatch


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


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 9))
def test_the_empirical_crps_is_the_integral_over_thresholds(seed, size):
    """∫ (F(x) - H(x - y))² dx of the members' distribution function, a sum over its steps."""
    members, truth = drawn(size, 1, seed=seed), drawn(1, seed=seed + 1)
    edges = np.sort(np.append(members.numpy().ravel(), truth))
    middle = (edges[1:] + edges[:-1]) / 2
    function = (members.numpy() <= middle).mean(0)
    integral = np.sum((function - (middle >= truth.item())) ** 2 * np.diff(edges))
    assert crps_kernel(members, truth, 0.0).item() == pytest.approx(integral, abs=1e-12)


@pytest.mark.parametrize("size", [2, 3, 12])
def test_the_expectation_of_the_fair_crps_is_that_of_the_distribution_for_any_number_of_members(size):
    """Of draws from N(0, 1) with the truth at 0, 0.2337; the empirical one adds E|X - X'| / 2M."""
    members, truth = drawn(20_000, size, 1), torch.zeros(20_000, 1, dtype=torch.float64)
    expected = scoringrules.crps_normal(0, 0, 1)
    for fairness, bias in ((1.0, 0.0), (0.0, 1 / (math.sqrt(math.pi) * size))):
        scores = crps_kernel(members, truth, fairness)
        bound = 4 * scores.std().item() / 20_000**0.5  # four standard errors
        assert scores.mean().item() == pytest.approx(expected + bias, abs=bound)


def test_the_spread_of_the_kernel_crps_has_a_gradient():
    """The released code trained the mean absolute error only: its spread was cut off from the graph."""
    members = ensemble(0, 1, 4).requires_grad_()
    crps_kernel(members, at(0.1), 1.0).sum().backward()
    # d/dx_k = sign(x_k - y) / M - (2 k - M + 1) / (M (M - 1)) for sorted members
    expected = torch.tensor([-1, -1, 1, 1]) / 4 - torch.tensor([-3, -1, 1, 3]) / 12
    assert torch.allclose(members.grad.flatten(), expected.double())


def gradient(loss, members, truth):
    members = members.clone().requires_grad_()
    loss(members, truth).sum().backward()
    return members.grad


@pytest.mark.parametrize(("fairness", "estimator"), [(1.0, "fair"), (0.0, "nrg")])
def test_gradients_of_the_kernel_crps_are_the_slopes_of_scoringrules(fairness, estimator):
    """Piecewise linear: differences are exact while no member passes another or the truth."""
    members, truth = drawn(7, 1), drawn(1, seed=1)
    found = gradient(lambda m, y: crps_kernel(m, y, fairness), members, truth)
    for n in range(7):
        moved = [members.numpy().copy() for _ in range(2)]
        moved[0][n] -= 1e-4
        moved[1][n] += 1e-4
        scores = [scoringrules.crps_ensemble(truth.numpy(), m, m_axis=0, estimator=estimator) for m in moved]
        assert found[n].item() == pytest.approx((scores[1] - scores[0]).item() / 2e-4, abs=1e-9)


@pytest.mark.parametrize("z", [-2.0, 0.3, 1.5])
def test_gradients_of_moments_are_the_analytic_ones(z):
    """All members moved move the mean; moved away from it in proportion they widen the spread."""
    members, std = ensemble(1, 0.6), 0.6
    truth, away = at(1 + z * std), (members - 1) / std
    gauss = math.exp(-(z**2) / 2)
    expected = {
        crps_gaussian: (1 - 2 * norm.cdf(z), 2 * norm.pdf(z) - 1 / math.sqrt(math.pi)),
        statistical: (
            -2 * (1 - gauss) * gauss * z / std,
            -2 * (1 - gauss) * gauss * z**2 / std + 0.5 / math.sqrt(std),
        ),
        mse_ensemble: (-2 * z * std, 2 * std * 5 / 6),  # biased variance: (M - 1) / M of the unbiased
    }
    for loss, (of_mean, of_std) in expected.items():
        found = gradient(loss, members, truth)
        assert found.sum().item() == pytest.approx(of_mean, rel=1e-9)
        assert (found * away).sum().item() == pytest.approx(of_std, rel=1e-9)


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


# -- censored members ------------------------------------------------------------------------------


def rain(mean, size=4001):
    """Of N(mean, 1), what is below zero counting as zero: its quantiles."""
    levels = (np.arange(size) + 0.5) / size
    return torch.from_numpy(np.maximum(norm.ppf(levels, mean), 0))


@pytest.mark.parametrize("mean", [-0.8, 0.0, 1.0])
def test_the_optimum_of_censored_members_is_that_of_the_censored_distribution(mean):
    """Quantiles, those of no rain at the floor; its score is the one in closed form."""
    truth = rain(mean)[:, None]
    members = torch.linspace(-2, 2, 32, dtype=torch.float64)[:, None].requires_grad_()
    optimizer = torch.optim.Adam([members], lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 400)
    for _ in range(400):
        optimizer.zero_grad()
        crps_kernel(censored(members, 0.0).expand(len(truth), -1, -1), truth, 0.0).mean().backward()
        optimizer.step()
        schedule.step()
    found = members.detach().clamp(min=0)
    quantiles = np.maximum(norm.ppf((np.arange(32) + 0.5) / 32, mean), 0)
    np.testing.assert_allclose(np.sort(found.numpy().ravel()), quantiles, atol=0.03)
    score = crps_kernel(found.expand(len(truth), -1, -1), truth, 0.0).mean().item()
    closed = scoringrules.crps_cnormal(truth.numpy().ravel(), mean, 1, lower=0, upper=np.inf).mean()
    assert closed < score < closed + 0.002  # of 32 members rather than all: 1 / (12 M²) of the spread


def test_a_member_below_the_floor_keeps_a_gradient_and_its_order():
    members = torch.tensor([[-3.0], [-1.0], [0.5]], requires_grad=True)
    found = censored(members, 0.0)
    torch.testing.assert_close(found.detach().ravel(), torch.tensor([-3 * LEAK, -LEAK, 0.5]))
    mse_ensemble(found, torch.tensor([2.0])).sum().backward()
    assert (members.grad < 0).all()


SETTINGS = {
    "experiment": "losses",
    "source": {"kind": "simulated"},
    "data": {
        "periods": {
            name: [{"start": f"200{n}-01-01", "end": f"200{n}-01-31"}]
            for n, name in enumerate(("train", "validation", "test"))
        }
    },
    "evaluation": {},
}
TOKENS = (2, 2, 3, 3, 2)  # samples, levels, time, latitude, longitude


def configured(weights, points="equal", **terms):
    """Fields with weights of their own, and terms; the published terms are left out."""
    fields = {name: {"weight": weight} for name, weight in weights.items()}
    loss = {"mse_ensemble": 0, "statistical": 0, "points": points, **terms}
    return parse({**SETTINGS, "fields": fields, "loss": loss})


def field_batch(seed, volume=4):
    """Members with a gradient, and the batch of a field."""
    target = drawn(*TOKENS, volume, seed=seed).float()
    weight = torch.rand(TOKENS[0], 1, 1, TOKENS[3], 1, volume, generator=torch.Generator().manual_seed(seed))
    selected = drawn(*TOKENS, seed=seed + 1) > 0
    batch = FieldBatch(target, torch.zeros(()), selected, target, selected, weight)
    return drawn(*TOKENS, 5, volume, seed=seed + 2).float().requires_grad_(), batch


def losses(members, batches, config):
    """The loss of the selected tokens of fields."""
    found = {name: scored(members[name], batches[name]) for name in members}
    return loss_of(found, {name: field.weight for name, field in config.fields.items()}, config.loss)


def test_every_term_has_a_key():
    assert set(TERMS) == set(Loss.model_fields) - {"points"}
    assert Loss(mse_ensemble=0, crps_fair=0.5).terms == {"statistical": 1.0, "crps_fair": 0.5}


def test_the_total_is_the_weighted_sum_of_terms_and_the_weighted_mean_of_fields():
    (u, of_u), (t, of_t) = field_batch(0), field_batch(10, volume=6)
    config = configured({"u": 0.6, "t": 0.2, "w": 9}, crps_empirical=2, mse_ensemble=0.5)
    found = losses({"u": u, "t": t}, {"t": of_t, "u": of_u, "w": of_u}, config)
    expected = 0
    for members, batch, share, name in ((u, of_u, 0.75, "u"), (t, of_t, 0.25, "t")):
        values = {
            term: TERMS[term](members, batch.target)[batch.selected].mean() for term in config.loss.terms
        }
        torch.testing.assert_close(found.parts[name], values)
        expected += share * (2 * values["crps_empirical"] + 0.5 * values["mse_ensemble"])
    torch.testing.assert_close(found.total, expected)
    assert set(found.parts) == {"u", "t"}
    assert not any(part.requires_grad for parts in found.parts.values() for part in parts.values())


def test_a_field_alone_has_the_loss_it_has_whatever_its_weight():
    members, batch = field_batch(3)
    totals = [
        losses({"u": members}, {"u": batch}, configured({"u": weight}, crps_gaussian=1)).total
        for weight in (0.01, 7)
    ]
    torch.testing.assert_close(*totals)


def test_what_is_not_selected_has_no_gradient():
    members, batch = field_batch(4)
    losses({"u": members}, {"u": batch}, configured({"u": 1}, crps_empirical=1)).total.backward()
    assert (members.grad[~batch.selected] == 0).all()
    assert (members.grad[batch.selected] != 0).any((-2, -1)).all()


@pytest.mark.parametrize("name", TERMS)
def test_points_count_by_their_area_where_that_is_asked_for(name):
    members, batch = field_batch(5)
    parts = {
        points: losses({"u": members}, {"u": batch}, configured({"u": 1}, points, **{name: 1})).parts["u"][
            name
        ]
        for points in ("equal", "area")
    }
    values = TERMS[name](members, batch.target)
    torch.testing.assert_close(parts["equal"], values[batch.selected].mean().detach())
    weighted = (values * batch.weight)[batch.selected].mean().detach()
    torch.testing.assert_close(parts["area"], weighted)
    assert parts["area"] != pytest.approx(parts["equal"].item(), rel=1e-3)


def test_half_precision_members_are_scored_in_single():
    members, batch = field_batch(6)
    assert scored(members.bfloat16(), batch).members.dtype == torch.float32
    exact = means(scored(members, batch), Loss())
    for name, value in means(scored(members.bfloat16(), batch), Loss()).items():
        assert value.item() == pytest.approx(exact[name].item(), rel=0.02)
