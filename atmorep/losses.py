"""Losses of ensembles of members against the truth, combined by named weights.

Shapes: members (..., M, V), target (..., V); every term returns (..., V), to be averaged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from atmorep.config import Loss
from atmorep.sampling.batches import FieldBatch

EPSILON = 1e-6
"""Floor of the ensemble standard deviation, in normalised units."""


def _moments(members: Tensor) -> tuple[Tensor, Tensor]:
    """Ensemble mean and unbiased standard deviation (..., V)."""
    std, mean = torch.std_mean(members, dim=-2)
    return mean, std.clamp(min=EPSILON)


def mse_ensemble(members: Tensor, target: Tensor) -> Tensor:
    """Squared error of each member, averaged over members (released code, ``mse_ensemble``)."""
    return (members - target.unsqueeze(-2)).square().mean(-2)


def statistical(members: Tensor, target: Tensor) -> Tensor:
    """Statistical loss (1 - G(y))² + √σ, G the unnormalised Gaussian of mean μ and deviation σ.

    Lessig et al. 2023, eq. for L_stats, with the √σ penalty of the released code. It is improper: with
    errors above about 0.75 its optimum is σ = 0.
    """
    mean, std = _moments(members)
    gauss = torch.exp(-0.5 * ((target - mean) / std).square())
    return (1 - gauss).square() + std.sqrt()


def crps_gaussian(members: Tensor, target: Tensor) -> Tensor:
    """CRPS of the Gaussian with the ensemble's moments: σ [z (2Φ(z) - 1) + 2φ(z) - 1/√π].

    Gneiting et al. 2005, eq. 5, doi:10.1175/MWR2904.1.
    """
    mean, std = _moments(members)
    z = (target - mean) / std
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    return std * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))


def crps_kernel(members: Tensor, target: Tensor, fairness: float) -> Tensor:
    """Kernel CRPS of the ensemble: mean |x_i - y| - c Σ_{i,j} |x_i - x_j| / 2.

    c is 1 / (M (M - 1)) in the fair (Ferro 2014, doi:10.1002/qj.2270) and 1 / M² in the empirical
    estimator. The fair one suits members drawn at random; under it a tail, which is a function and no
    draw, can leave the others at no cost (Lang et al. 2024, arXiv 2412.15832). Under the empirical one
    the tails become quantiles. The double sum is taken over sorted members, O(M log M):
    Σ_{i<j} (x_j - x_i) = Σ_k (2 k - M + 1) x_k for k = 0 … M - 1.

    Args:
        members: (..., M, V).
        target: (..., V).
        fairness: weight of the fair estimator, 0 to 1.
    """
    size = members.shape[-2]
    skill = (members - target.unsqueeze(-2)).abs().mean(-2)
    rank = 2 * torch.arange(size, device=members.device, dtype=members.dtype) - size + 1
    spread = torch.einsum("...mv,m->...v", members.sort(dim=-2).values, rank)
    pairs = fairness / (size * (size - 1)) + (1 - fairness) / size**2
    return skill - pairs * spread


LEAK = 0.05
"""Slope of :func:`censored` below the floor."""


def censored(members: Tensor, floor: float) -> Tensor:
    """Let members below ``floor`` count as little below it: the floor, but for a twentieth of the distance.

    For quantities like rain, most of which is none: a member may be as far below the floor as it likes, and
    still has a gradient that brings it back where there is rain. Since the map is monotone, keeps the floor
    where it is and no truth is below, it is another name of the members only: a score that is proper for
    them is proper for what is censored, with the same optimum.

    Args:
        members: of any shape.
        floor: smallest possible value, in the units of the members.
    """
    return torch.where(members < floor, floor + LEAK * (members - floor), members)


TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse_ensemble": mse_ensemble,
    "statistical": statistical,
    "crps_gaussian": crps_gaussian,
    "crps_fair": partial(crps_kernel, fairness=1.0),
    "crps_empirical": partial(crps_kernel, fairness=0.0),
}


class Losses(NamedTuple):
    """The loss of a batch, and what it is made of.

    Attributes:
        total: what is minimised; mean of what is scored, each field or task with its weight (scalar).
        parts: means of each one's terms by name, without weights and gradients (scalars).
    """

    total: Tensor
    parts: dict[str, dict[str, Tensor]]


class Scored(NamedTuple):
    """What of a batch is scored: n tokens of a field, or the cells that have a target as one.

    Attributes:
        members: (n, M, V) in single precision.
        target: (n, V).
        weight: (n, V), of mean one over a neighbourhood.
    """

    members: Tensor
    target: Tensor
    weight: Tensor


def scored(members: Tensor, batch: FieldBatch) -> Scored:
    """Take the selected tokens.

    Args:
        members: (B, L, K, I, J, M, V).
        batch: of the same field.
    """
    weight = batch.weight.expand_as(batch.target)
    return Scored(members[batch.selected].float(), batch.target[batch.selected], weight[batch.selected])


def means(field: Scored, config: Loss) -> dict[str, Tensor]:
    """Return the mean of each term with a weight over all points (scalars, without their weights)."""
    weight = field.weight if config.points == "area" else torch.ones_like(field.weight)
    return {name: _mean(weight * TERMS[name](field.members, field.target)) for name in config.terms}


def _mean(values: Tensor) -> Tensor:
    """Mean; zero of nothing, which a part of a batch without a target has."""
    return values.mean() if values.numel() else values.sum()


def loss_of(
    found: Mapping[str, Scored],
    weights: Mapping[str, float],
    config: Loss,
    shares: Mapping[str, Tensor] | None = None,
) -> Losses:
    """Return the loss of all that is scored.

    Args:
        found: what is scored, by the name of its field or task.
        weights: how much each counts, over the sum of all of ``found``.
        config: terms and their weights.
        shares: of the tokens or cells of each that are in this part of a batch; what is returned is then its
            part of the batch's loss. All where absent.
    """
    parts = {}
    for field in found:
        terms = means(found[field], config)
        share = 1.0 if shares is None else shares[field].float()
        parts[field] = {name: share * term for name, term in terms.items()}
    whole = sum(weights[field] for field in found)
    weighted = [
        weights[field] / whole * config.terms[name] * part
        for field, terms in parts.items()
        for name, part in terms.items()
    ]
    return Losses(torch.stack(weighted).sum(), _detached(parts))


def _detached(parts: dict[str, dict[str, Tensor]]) -> dict[str, dict[str, Tensor]]:
    return {field: {name: part.detach() for name, part in terms.items()} for field, terms in parts.items()}
