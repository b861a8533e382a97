"""The head of a downstream task: from the decoder's tokens and static fields to a target on finer cells.

Lessig et al. 2023 (arXiv 2308.13280) add a tail transformer that takes the decoder's middle time step and
the static fields to the target. Here it ends in convolutions on the target's cells, and predicts the
departure from a field that is interpolated to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from atmorep.config.finetune import Head as HeadConfig
from atmorep.config.network import Network
from atmorep.model.blocks import EncoderBlock
from atmorep.model.inputs import Tokens
from atmorep.model.rotary import places
from atmorep.sampling.tokens import Size

DEPARTURE_GAIN = 0.01
"""Initial size of the weights of departures: all members start at the same, a little apart."""


class Cells(NamedTuple):
    """What the head is given of patches of B samples, R x C cells each, at S time steps.

    Attributes:
        guess: what departures are from, normalised as the target (B, S, R, C).
        statics: static fields of order one, some of which departures are proportional to (B, F, R, C).
        row: row of the neighbourhood that the patch begins in (B,), in grid points.
        column: its column.
    """

    guess: Tensor
    statics: Tensor
    row: Tensor
    column: Tensor

    @property
    def factors(self) -> Tensor:
        """What departures may be proportional to: one, the guess, static fields (B, S, 2 + F, R, C)."""
        guess = self.guess.unsqueeze(2)
        statics = self.statics.unsqueeze(1).expand(-1, guess.shape[1], -1, -1, -1)
        return torch.cat([torch.ones_like(guess), guess, statics], dim=2)


@dataclass(frozen=True)
class HeadShape:
    """What determines the shapes of a head.

    Attributes:
        features: of all that is known of a place and token step: levels and widths of all fields read.
        tokens: of a neighbourhood in (latitude, longitude).
        token_size: grid points a token in (time, latitude, longitude).
        values: levels of all fields of the model.
        statics: static fields F.
        patch: grid points of a patch in (latitude, longitude).
        refine: cells along each side of a grid point.
    """

    features: int
    tokens: tuple[int, int]
    token_size: Size
    values: int
    statics: int
    patch: tuple[int, int]
    refine: int


class Head(nn.Module):
    """A transformer over the tokens of each step, then convolutions on the cells, then departures.

    A member is guess + Σ_f w_f · x_f over x = (1, guess, static fields), the weights w being what the
    convolutions make of the state: a correction that is proportional to the height of the surface, at a
    rate that depends on the weather, is one weight.

    Args:
        shape: shapes.
        config: of the head.
        dropout: of the transformer.
    """

    place: Tensor

    def __init__(self, shape: HeadShape, config: HeadConfig, dropout: float) -> None:
        super().__init__()
        self.shape, self.tails = shape, config.tails
        network = Network(
            embed_dim=config.embed_dim, heads=config.heads, info_dim=1, position="rotary", dropout=dropout
        )
        self.norm = nn.LayerNorm(shape.features, elementwise_affine=False)
        self.enter = nn.Linear(shape.features, config.embed_dim)
        self.blocks = nn.ModuleList(EncoderBlock(config.embed_dim, network, {}) for _ in range(config.blocks))
        self.register_buffer("place", places((1, 1, *shape.tokens), (0.5,)), persistent=False)
        self.leave_norm = nn.LayerNorm(config.embed_dim, elementwise_affine=False)
        volume = math.prod(shape.token_size) * shape.refine**2
        self.leave = nn.Linear(config.embed_dim, volume * config.channels)
        widths = [config.channels + shape.values + 1 + shape.statics, *[config.channels] * config.layers]
        self.layers = nn.Sequential(
            *(
                part
                for pair in pairwise(widths)
                for part in (nn.Conv2d(*pair, 3, padding=1, padding_mode="replicate"), nn.GELU())
            )
        )
        self.weights = nn.Conv2d(config.channels, config.tails * (2 + shape.statics), 1)
        with torch.no_grad():
            for parameter in self.weights.parameters():
                parameter.mul_(DEPARTURE_GAIN)

    @torch.no_grad()
    def begin_at(self, coefficients: Tensor) -> None:
        """Let all members begin near guess + Σ_f c_f x_f, at coefficients c (2 + F,)."""
        assert self.weights.bias is not None
        self.weights.bias.view(self.tails, -1).add_(coefficients.to(self.weights.bias))

    def forward(self, features: Tensor, values: Tensor, cells: Cells) -> Tensor:
        """Predict the cells of patches.

        Args:
            features: of the tokens of the predicted steps (B, K, I, J, E).
            values: fields at the predicted time steps, normalised (B, S, N, H, W).
            cells: what is known of the cells.

        Returns:
            Members (B, M, S, R, C), normalised as the target.
        """
        batch, steps = cells.guess.shape[:2]
        between = interpolate(values.flatten(0, 1), scale_factor=self.shape.refine, mode="bilinear")
        maps = torch.cat([self._spread(features), between.unflatten(0, (batch, steps))], dim=2)
        factors = cells.factors.flatten(0, 1)
        seen = torch.cat([cut(maps, cells, self.shape).flatten(0, 1), factors[:, 1:]], dim=1)
        weights = self.weights(self.layers(seen)).unflatten(1, (self.tails, -1))
        departure = (weights * factors.unsqueeze(1)).sum(2).unflatten(0, (batch, steps))
        return cells.guess.unsqueeze(1) + departure.transpose(1, 2)

    def _spread(self, features: Tensor) -> Tensor:
        """Tokens (B, K, I, J, E) to features of the cells of the neighbourhood (B, S, channels, H r, W r)."""
        batch, steps = features.shape[:2]
        x = self.enter(self.norm(features)).flatten(0, 1).flatten(1, 2)
        tokens = Tokens(x, self.place, x)
        for block in self.blocks:
            tokens = block(tokens, {})
        (t, h, w), r = self.shape.token_size, self.shape.refine
        y = self.leave(self.leave_norm(tokens.values)).unflatten(-1, (t, h * r, w * r, -1))
        y = y.unflatten(1, self.shape.tokens).unflatten(0, (batch, steps))  # B K I J t h w channels
        return y.permute(0, 1, 4, 7, 2, 5, 3, 6).flatten(6, 7).flatten(4, 5).flatten(1, 2)


def cut(maps: Tensor, cells: Cells, shape: HeadShape) -> Tensor:
    """Cut patches (B, S, X, R, C) out of maps of the cells of neighbourhoods (B, S, X, H r, W r)."""
    r, device = shape.refine, maps.device
    rows, columns = (
        (first * r).unsqueeze(1) + torch.arange(points * r, device=device)
        for first, points in zip((cells.row, cells.column), shape.patch, strict=True)
    )
    sample = torch.arange(len(maps), device=device).view(-1, 1, 1)
    found = maps.permute(0, 3, 4, 1, 2)[sample, rows.unsqueeze(2), columns.unsqueeze(1)]
    return found.permute(0, 3, 4, 1, 2)
