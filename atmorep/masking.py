"""The training task: which tokens are selected for prediction, and how the model sees them.

A mixture draws what all fields of a sample have in common: the strategy, and the time steps nobody
may see. The strategy then selects the tokens of each field, and a distortion blanks, noises, coarsens
or leaves each selected one (spatio-temporal BERT, Lessig et al. 2023, section 3.2). Everything drawn for
a sample comes from generators of its own, so that it does not depend on batch, worker or rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from atmorep.config import Config
from atmorep.config.network import Masking
from atmorep.sampling.tokens import Size

TokenGrid = tuple[int, int, int, int]
"""Tokens of a neighbourhood in (level, time, latitude, longitude)."""
Mask = NDArray[np.bool_]


class Strategy(Protocol):
    """Selects the tokens of one field of one sample that are to be predicted."""

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Return (L, K, I, J), True where a token is selected."""


class Scheme(Protocol):
    """What the fields of a sample have in common, to be drawn."""

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Draw it; generators of the same state draw the same for every field."""


@dataclass(frozen=True)
class Masked:
    """Random tokens per level; the share is drawn uniformly, the number is exact.

    Attributes:
        ratio_min, ratio_max: limits of the share.
    """

    ratio_min: float
    ratio_max: float

    def draw(self, rng: np.random.Generator) -> Masked:
        """Nothing is shared."""
        return self

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select round(share · n) of the n tokens of each level, at least one."""
        per_level = int(np.prod(tokens[1:]))
        count = max(1, round(rng.uniform(self.ratio_min, self.ratio_max) * per_level))
        rank = rng.random((tokens[0], per_level)).argsort(axis=1).argsort(axis=1)
        return (rank < count).reshape(tokens)


@dataclass(frozen=True)
class Span:
    """All tokens that hold a step of a span of time.

    Attributes:
        first: first step of the span.
        stop: first step behind it.
        steps: time steps of the neighbourhood.
    """

    first: int
    stop: int
    steps: int

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select them at all places and levels; nothing is drawn."""
        length = self.steps // tokens[1]
        mask = np.zeros(tokens, bool)
        mask[:, self.first // length : -(-self.stop // length)] = True
        return mask


@dataclass(frozen=True)
class Forecast:
    """The last steps.

    Attributes:
        beat: time steps that are whole tokens of every field, so that no field sees past another's end.
        longest: the number of beats is drawn from 1 to this.
        steps: time steps of the neighbourhood.
    """

    beat: int
    longest: int
    steps: int

    def draw(self, rng: np.random.Generator) -> Span:
        """Draw where the forecast begins."""
        return Span(self.steps - self.beat * int(rng.integers(1, self.longest + 1)), self.steps, self.steps)


@dataclass(frozen=True)
class TemporalInterpolation:
    """One inner beat, any but first and last.

    Attributes:
        beat: time steps that are whole tokens of every field.
        steps: time steps of the neighbourhood.
    """

    beat: int
    steps: int

    def draw(self, rng: np.random.Generator) -> Span:
        """Draw the beat."""
        first = self.beat * int(rng.integers(1, self.steps // self.beat - 1))
        return Span(first, first + self.beat, self.steps)


@dataclass(frozen=True)
class Mixture:
    """Each sample draws one of several schemes.

    Attributes:
        schemes: what is drawn from.
        shares: their probabilities, of sum one.
    """

    schemes: tuple[Scheme, ...]
    shares: tuple[float, ...]

    def draw(self, rng: np.random.Generator) -> Strategy:
        """Draw a scheme, and what it has to draw."""
        return self.schemes[int(rng.choice(len(self.shares), p=self.shares))].draw(rng)


def training_schemes(config: Config, fields: Iterable[str]) -> dict[str, Mixture]:
    """Return what each of ``fields``, trained together, is asked to predict."""
    fields = tuple(fields)
    steps = config.network.neighbourhood.time
    beat = math.lcm(*(config.token_size(field).time for field in fields))
    lead = max(config.evaluation.lead_hours, default=1)
    longest = -(-lead // (beat * config.data.time_step))
    masking = config.masking
    shares = (
        1 - masking.forecast - masking.temporal_interpolation,
        masking.forecast,
        masking.temporal_interpolation,
    )
    schemes = (
        Masked(masking.ratio_min, masking.ratio_max),
        Forecast(beat, longest, steps),
        TemporalInterpolation(beat, steps),
    )
    return dict.fromkeys(fields, Mixture(schemes, shares))


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
