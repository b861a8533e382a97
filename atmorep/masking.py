"""The training task: which tokens are to be predicted, and how they are hidden.

A scheme draws what all fields of a sample have in common: the strategy, and the time steps nobody may
see. The strategy then selects the tokens of a field, and each is blanked, noised, coarsened or left as
it is (spatio-temporal BERT, Lessig et al. 2023, section 3.2). Everything drawn for a sample comes from
generators of its own, so that it does not depend on batch, worker or rank.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config

TokenGrid = tuple[int, int, int, int]
"""Tokens of a neighbourhood in (level, time, latitude, longitude)."""
Mask = NDArray[np.bool_]


class Shares(NamedTuple):
    """Of the selected tokens, what is done to which share; the rest is left as it is.

    Attributes:
        blank: set to zero.
        noised: noise is added.
        coarsened: averaged over grid points.
    """

    blank: float = 1.0
    noised: float = 0.0
    coarsened: float = 0.0


BLANK = Shares()
"""All are blanked: whoever is to forecast must not see the future, however noised."""


class Strategy(Protocol):
    """Selects the tokens of one field of one sample that are to be predicted."""

    @property
    def shares(self) -> Shares:
        """How they are hidden."""

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
        ratio_min: smallest share.
        ratio_max: largest share.
        shares: how they are hidden.
    """

    ratio_min: float
    ratio_max: float
    shares: Shares = BLANK

    def draw(self, rng: np.random.Generator) -> Masked:
        """Nothing is shared."""
        return self

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select round(share · n) of the n tokens of each level, at least one."""
        per_level = int(np.prod(tokens[1:]))
        count = max(1, round(rng.uniform(self.ratio_min, self.ratio_max) * per_level))
        return _least(rng.random((tokens[0], per_level)), count).reshape(tokens)


@dataclass(frozen=True)
class Spatial:
    """Whole places at all times and levels, as where no data are; the number is exact.

    Attributes:
        ratio_min: smallest share of places.
        ratio_max: largest share of places.
        patches: contiguous patches they form, as far as these do not meet.
        extent: grid points of the neighbourhood in (latitude, longitude).
        shares: how they are hidden.
    """

    ratio_min: float
    ratio_max: float
    patches: int
    extent: tuple[int, int]
    shares: Shares = BLANK

    def draw(self, rng: np.random.Generator) -> Spatial:
        """Nothing is shared."""
        return self

    def select(self, tokens: TokenGrid, rng: np.random.Generator) -> Mask:
        """Select the places that are nearest to the centres of patches, which lie anywhere."""
        places = tokens[2:]
        count = max(1, round(rng.uniform(self.ratio_min, self.ratio_max) * places[0] * places[1]))
        centres = rng.random((self.patches, 2)) * self.extent
        rows, columns = (
            (np.arange(n) + 0.5) * points / n for n, points in zip(places, self.extent, strict=True)
        )
        distance = np.hypot(rows[:, None] - centres[:, :1, None], columns[None] - centres[:, 1:, None]).min(0)
        mask = _least(distance.reshape(1, -1), count).reshape(1, 1, *places)
        return np.broadcast_to(mask, tokens).copy()


def _least(values: NDArray[np.float64], count: int) -> Mask:
    """True at the ``count`` least values of each row."""
    return values.argsort(axis=1).argsort(axis=1) < count


@dataclass(frozen=True)
class Span:
    """All tokens that hold a step of a span of time.

    Attributes:
        first: first step of the span.
        stop: first step behind it.
        steps: time steps of the neighbourhood.
        shares: how they are hidden.
    """

    first: int
    stop: int
    steps: int
    shares: Shares = BLANK

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
        longest: the number of beats is drawn up to this.
        steps: time steps of the neighbourhood.
        shortest: fewest beats drawn.
    """

    beat: int
    longest: int
    steps: int
    shortest: int = 1

    def draw(self, rng: np.random.Generator) -> Span:
        """Draw where the forecast begins."""
        beats = int(rng.integers(self.shortest, self.longest + 1))
        return Span(self.steps - self.beat * beats, self.steps, self.steps)


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
        number = int(np.searchsorted(np.cumsum(self.shares), rng.random(), side="right"))
        return self.schemes[min(number, len(self.schemes) - 1)].draw(rng)


class Masks(NamedTuple):
    """What one field of one sample lacks.

    Attributes:
        selected: (L, K, I, J), True where a token is to be predicted.
        blank: selected tokens that are set to zero.
        noised: selected tokens with noise.
        coarsened: selected tokens of means; those of none of the three are left as they are.
    """

    selected: Mask
    blank: Mask
    noised: Mask
    coarsened: Mask


def hide(selected: Mask, shares: Shares, rng: np.random.Generator) -> Masks:
    """Draw for each selected token on its own how it is hidden."""
    draw = rng.random(selected.shape)
    edges = np.cumsum([0, *shares])
    parts = (selected & (low <= draw) & (draw < high) for low, high in pairwise(edges))
    return Masks(selected, *parts)


@dataclass(frozen=True)
class FieldMasks:
    """Draws the masks of one field.

    Attributes:
        scheme: of the field.
        grid: tokens that masks are drawn for.
        places: numbers on ``grid`` of the field's own levels, times, rows and columns, as an index.
        key: names the generator of the masks; fields with the same one are hidden alike.
    """

    scheme: Scheme
    grid: TokenGrid
    places: tuple[NDArray[np.int64], ...]
    key: tuple[str, ...]

    def draw(self, common: np.random.Generator, own: np.random.Generator) -> Masks:
        """Draw the masks of a sample.

        Args:
            common: the same for all fields.
            own: that of ``key``.
        """
        strategy = self.scheme.draw(common)
        drawn = hide(strategy.select(self.grid, own), strategy.shares, own)
        return Masks(*(mask[self.places] for mask in drawn))


def training_masks(config: Config, fields: Iterable[str]) -> dict[str, FieldMasks]:
    """Return what draws the masks of ``fields``, which are trained together."""
    fields = tuple(fields)
    together = config.masking.synchronised
    return {
        field: _field_masks(config, field, fields if together else (field,), _scheme(config, field, fields))
        for field in fields
    }


def _scheme(config: Config, field: str, fields: tuple[str, ...]) -> Mixture:
    """What ``field`` is asked for; what it shares with ``fields`` is the same for each of them."""
    masking, (steps, *extent) = config.masking_of(field), config.network.neighbourhood.shape
    beat = config.beat(*fields)
    hours = masking.forecast_hours or steps * config.data.time_step // 2
    span = beat * config.data.time_step
    longest, shortest = -(-hours // span), -(-(masking.forecast_hours_min or 1) // span)
    ratios = masking.ratio_min, masking.ratio_max
    schemes: tuple[Scheme, ...] = (
        Masked(*ratios, Shares(masking.masked, masking.noised, masking.coarsened)),
        Forecast(beat, longest, steps, min(shortest, longest)),
        TemporalInterpolation(beat, steps),
        Spatial(*ratios, masking.patches, (extent[0], extent[1])),
    )
    shares = (masking.forecast, masking.temporal_interpolation, masking.spatial)
    return Mixture(schemes, (max(0.0, 1 - sum(shares)), *shares))


def _field_masks(config: Config, field: str, alike: tuple[str, ...], scheme: Scheme) -> FieldMasks:
    """Masks are drawn on the levels of all fields ``alike`` and the coarsest of their tokens."""
    levels = list(dict.fromkeys(level for f in alike for level in config.model_levels(f)))
    coarsest = np.max([config.token_size(f).shape for f in alike], axis=0)
    k, i, j = config.network.neighbourhood.shape // coarsest
    size = config.token_size(field).shape
    centres = [
        (2 * np.arange(n) + 1) * points // (2 * coarse)
        for n, points, coarse in zip(config.tokens(field).shape, size, coarsest, strict=True)
    ]
    own = np.array([levels.index(level) for level in config.model_levels(field)])
    key = () if len(alike) > 1 else (field,)
    return FieldMasks(scheme, (len(levels), int(k), int(i), int(j)), np.ix_(own, *centres), key)
