"""Rotary position: queries and keys are turned by angles that grow with their place.

Scores then depend on where tokens are to each other, not on where they are (Su et al. 2021, arXiv
2104.09864; one axis a share of the features as in Heo et al. 2024, arXiv 2403.13298).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.position import TokenShape

AXES = (1, 2, 3, 0)
"""Axes of a place in the order in which they are given features: time, latitude, longitude, level."""

HALF_WAVES = 8.0
"""Largest angle over a whole neighbourhood, in units of π."""


def places(tokens: TokenShape, heights: Sequence[float]) -> Tensor:
    """Where the centres of tokens are, (N, 4) in (level, time, latitude, longitude).

    The extent of the neighbourhood is the unit, so that fields of different tokens have places in common.

    Args:
        tokens: tokens of a neighbourhood.
        heights: of the levels, from 0 to 1.
    """
    horizontal = [(torch.arange(number) + 0.5) / number for number in tokens[1:]]
    axes = torch.meshgrid(torch.tensor(heights, dtype=torch.float32), *horizontal, indexing="ij")
    return torch.stack([axis.flatten() for axis in axes], dim=-1)


class Rotation(nn.Module):
    """Turns pairs of features, each by the place along one axis times a frequency.

    Frequencies of an axis are π to 8 π a neighbourhood, in constant ratio.

    Args:
        width: features of a head, an even number from 8 on.
    """

    axis: Tensor
    frequency: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        shares = [len(range(n, width // 2, len(AXES))) for n in range(len(AXES))]
        axis = [axis for axis, share in zip(AXES, shares, strict=True) for _ in range(share)]
        exponent = torch.cat([torch.linspace(0, 1, share) for share in shares])
        self.register_buffer("axis", torch.tensor(axis), persistent=False)
        self.register_buffer("frequency", math.pi * HALF_WAVES**exponent, persistent=False)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """Queries or keys (B, A, P, d) at places (P, 4) or (B, P, 4), turned."""
        angle = (place[..., self.axis] * self.frequency).unsqueeze(-3)
        cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        one, other = x.chunk(2, dim=-1)
        return torch.cat([one * cosine - other * sine, one * sine + other * cosine], dim=-1)


class Unturned(nn.Module):
    """Queries and keys as they are; where position is added to the tokens."""

    def forward(self, x: Tensor, place: Tensor | None) -> Tensor:
        """(B, A, P, d) to (B, A, P, d)."""
        return x


def rotation(config: Network, width: int) -> nn.Module:
    """Return what ``network.position`` does to queries and keys of heads of a width."""
    return Rotation(width) if config.position == "rotary" else Unturned()
