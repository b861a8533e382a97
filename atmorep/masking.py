"""The training task: which tokens are selected for prediction, and how the model sees them.

A strategy selects tokens; a distortion then blanks, noises, coarsens or leaves each selected one
(spatio-temporal BERT, Lessig et al. 2023, section 3.2). Everything drawn for a sample comes from
that sample's own generator, so that it does not depend on batch, worker or rank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from atmorep.config.network import Masking
from atmorep.sampling.tokens import Size

TokenGrid = tuple[int, int, int, int]
"""Tokens of a neighbourhood in (level, time, latitude, longitude)."""
Mask = NDArray[np.bool_]


class Strategy(Protocol):
    """Selects the tokens of one sample that are to be predicted."""

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Return (L, K, I, J), True where a token is selected."""


@dataclass(frozen=True)
class Masked:
    """Random tokens per level; the share is drawn uniformly, the number is exact.

    Attributes:
        ratio_min, ratio_max: limits of the share.
    """

    ratio_min: float
    ratio_max: float

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select round(share · n) of the n tokens of each level, at least one."""
        per_level = int(np.prod(tokens[1:]))
        count = max(1, round(rng.uniform(self.ratio_min, self.ratio_max) * per_level))
        rank = rng.random((tokens[0], per_level)).argsort(axis=1).argsort(axis=1)
        return (rank < count).reshape(tokens)


@dataclass(frozen=True)
class Forecast:
    """The last token steps of all levels.

    Attributes:
        longest: the number of token steps is drawn from 1 to this.
    """

    longest: int

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select the last steps."""
        mask = np.zeros(tokens, bool)
        mask[:, tokens[1] - int(rng.integers(1, self.longest + 1)) :] = True
        return mask


@dataclass(frozen=True)
class TemporalInterpolation:
    """One inner token step of all levels, anywhere but first and last."""

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select one step."""
        mask = np.zeros(tokens, bool)
        mask[:, int(rng.integers(1, tokens[1] - 1))] = True
        return mask


@dataclass(frozen=True)
class Mixture:
    """Each sample draws one of several strategies.

    Attributes:
        strategies: what is drawn from.
        shares: their probabilities, of sum one.
    """

    strategies: tuple[Strategy, ...]
    shares: tuple[float, ...]

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Draw a strategy and let it select."""
        return self.strategies[int(rng.choice(len(self.shares), p=self.shares))].select(tokens, rng)


def training_strategy(config: Masking, forecast_tokens: int) -> Strategy:
    """Return the strategy a configuration describes.

    Args:
        config: the masking section.
        forecast_tokens: token steps that cover the longest lead time.
    """
    rest = 1 - config.forecast - config.temporal_interpolation
    return Mixture(
        (
            Masked(config.ratio_min, config.ratio_max),
            Forecast(forecast_tokens),
            TemporalInterpolation(),
        ),
        (rest, config.forecast, config.temporal_interpolation),
    )


@dataclass(frozen=True)
class Distortion:
    """What each selected token of one sample looks like to the model.

    Attributes:
        blank, noised, coarsened: (L, K, I, J), disjoint; selected tokens in none stay as they are.
        seed: of the noise.
    """

    blank: Mask
    noised: Mask
    coarsened: Mask
    seed: int


def draw_distortion(selected: Mask, config: Masking, rng: np.random.Generator) -> Distortion:
    """Draw for each selected token independently whether it is blanked, noised or coarsened."""
    draw = rng.random(selected.shape)
    edges = np.cumsum([config.masked, config.noised, config.coarsened])
    blank = selected & (draw < edges[0])
    noised = selected & (draw >= edges[0]) & (draw < edges[1])
    coarsened = selected & (draw >= edges[1]) & (draw < edges[2])
    return Distortion(blank, noised, coarsened, int(rng.integers(2**31)))


def distort(tokens: Tensor, distortions: list[Distortion], config: Masking, size: Size) -> Tensor:
    """Return tokens (B, L, K, I, J, V) as the model sees them; ``tokens`` is left as it is."""
    seen = tokens.clone()
    stacked = {
        name: torch.from_numpy(np.stack([getattr(d, name) for d in distortions]))
        for name in ("blank", "noised", "coarsened")
    }
    if stacked["coarsened"].any():
        seen[stacked["coarsened"]] = coarsen(tokens[stacked["coarsened"]], config.coarsening, size)
    for sample, distortion in enumerate(distortions):
        where = stacked["noised"][sample]
        if where.any():
            generator = torch.Generator().manual_seed(distortion.seed)
            noise = torch.randn(int(where.sum()), tokens.shape[-1], generator=generator)
            seen[sample][where] += config.noise_std * noise
    seen[stacked["blank"]] = 0
    return seen


def coarsen(tokens: Tensor, factor: int, size: Size) -> Tensor:
    """Replace tokens (n, V) by their means over ``factor`` × ``factor`` grid points (edges: fewer)."""
    t, h, w = size
    images = tokens.view(-1, t, h, w)
    factors = (min(factor, h), min(factor, w))
    means = avg_pool2d(images, factors, ceil_mode=True, count_include_pad=False)
    spread = interpolate(means, scale_factor=[float(f) for f in factors], mode="nearest")
    return spread[..., :h, :w].reshape(tokens.shape)
