"""From tokens to the transformer's width: linear embedding, token information, position."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TokenShape = tuple[int, int, int, int]
"""Tokens of a neighbourhood in (level, time, latitude, longitude)."""

UNAMBIGUOUS = 512
"""Width from which the published frequencies tell all tokens of a neighbourhood apart."""


def harmonic_encoding(tokens: TokenShape, dim: int) -> Tensor:
    """Harmonic space-time encoding of the paper's code, (N, dim), with the latitude index corrected.

    Even features hold sin(t f) + ½ sin(8 i f), odd ones cos(l f) + ½ cos(8 j f) for the token at level
    l, time t, row i, column j and frequencies f = 2π k / max(dim, 512), k = 0, 2, ... Published is
    2π k / dim, which is the same at the published widths; below 512 it takes rows dim / 32 apart, and
    columns that add up to dim / 16, for the same.
    """
    level, time, row, column = (
        index.flatten().float() for index in torch.meshgrid(*map(torch.arange, tokens), indexing="ij")
    )
    frequency = 2 * math.pi * torch.arange(0, dim, 2) / max(dim, UNAMBIGUOUS)
    encoding = torch.empty(len(level), dim)
    encoding[:, 0::2] = torch.sin(torch.outer(time, frequency)) + 0.5 * torch.sin(
        torch.outer(8 * row, frequency)
    )
    encoding[:, 1::2] = torch.cos(torch.outer(level, frequency)) + 0.5 * torch.cos(
        torch.outer(8 * column, frequency)
    )
    return encoding


class Embedding(nn.Module):
    """Linear embedding with the embedded token information appended and position added.

    Args:
        volume: grid points a token V.
        features: token-information numbers F.
        dim: width D of the result, ``info_dim`` included.
        info_dim: width of the embedded token information.
        tokens: tokens of a neighbourhood.
    """

    encoding: Tensor

    def __init__(self, volume: int, features: int, dim: int, info_dim: int, tokens: TokenShape) -> None:
        super().__init__()
        self.values = nn.Linear(volume, dim - info_dim)
        self.info = nn.Linear(features, info_dim)
        self.register_buffer("encoding", harmonic_encoding(tokens, dim), persistent=False)

    def forward(self, source: Tensor, info: Tensor) -> Tensor:
        """(B, N, V) and (B, N, F) to (B, N, D)."""
        return torch.cat([self.values(source), self.info(info)], dim=-1) + self.encoding
