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
    level, time, row, column = _indices(tokens)
    return _harmonics(level, time, row, column, dim, longest=max(dim, UNAMBIGUOUS))


def published_encoding(tokens: TokenShape, dim: int) -> Tensor:
    """Harmonic encoding exactly as in the released code, (N, dim), which its weights are trained with.

    The row is wrong where a token grid is not square: it is the place in the grid over the number of rows,
    where it should be over the number of columns. Frequencies are 2π k / dim, whatever the width.
    """
    level, time, row, column = _indices(tokens)
    _, _, rows, columns = tokens
    wrong = (row * columns + column) // rows
    return _harmonics(level, time, wrong, column, dim, longest=dim)


def _indices(tokens: TokenShape) -> list[Tensor]:
    """Level, time, row and column of each token, (N,) each."""
    return [index.flatten() for index in torch.meshgrid(*map(torch.arange, tokens), indexing="ij")]


def _harmonics(level: Tensor, time: Tensor, row: Tensor, column: Tensor, dim: int, longest: int) -> Tensor:
    level, time, row, column = (index.float() for index in (level, time, row, column))
    frequency = 2 * math.pi * torch.arange(0, dim, 2) / longest
    encoding = torch.empty(len(level), dim)
    encoding[:, 0::2] = torch.sin(torch.outer(time, frequency)) + 0.5 * torch.sin(
        torch.outer(8 * row, frequency)
    )
    encoding[:, 1::2] = torch.cos(torch.outer(level, frequency)) + 0.5 * torch.cos(
        torch.outer(8 * column, frequency)
    )
    return encoding


ENCODINGS = {"harmonic": harmonic_encoding, "published": published_encoding}
"""Positional encodings by ``network.position``."""


class Embedding(nn.Module):
    """Linear embedding with the embedded token information appended and position added.

    Args:
        volume: grid points a token V.
        features: token-information numbers F.
        dim: width D of the result, ``info_dim`` included.
        info_dim: width of the embedded token information.
        tokens: tokens of a neighbourhood.
        position: name of the positional encoding.
    """

    encoding: Tensor

    def __init__(
        self, volume: int, features: int, dim: int, info_dim: int, tokens: TokenShape, position: str
    ) -> None:
        super().__init__()
        self.values = nn.Linear(volume, dim - info_dim)
        self.info = nn.Linear(features, info_dim)
        self.register_buffer("encoding", ENCODINGS[position](tokens, dim), persistent=False)

    def forward(self, source: Tensor, info: Tensor) -> Tensor:
        """(B, N, V) and (B, N, F) to (B, N, D)."""
        return torch.cat([self.values(source), self.info(info)], dim=-1) + self.encoding
