"""Positional encodings that are added to the embedded tokens (rotations: atmorep.model.rotary).

Each is a module that takes the token information (B, N, F) and returns what is added to (B, N, D).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.sampling.info import COLUMNS

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


class Fixed(nn.Module):
    """The same for every neighbourhood.

    Args:
        encoding: (N, D).
    """

    encoding: Tensor

    def __init__(self, encoding: Tensor) -> None:
        super().__init__()
        self.register_buffer("encoding", encoding, persistent=False)

    def forward(self, info: Tensor) -> Tensor:
        """(B, N, F) to (N, D)."""
        return self.encoding


class Learned(nn.Module):
    """A table with a row a token, small at the start."""

    def __init__(self, tokens: TokenShape, dim: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.02 * torch.randn(math.prod(tokens), dim))

    def forward(self, info: Tensor) -> Tensor:
        """(B, N, F) to (N, D)."""
        return self.table


class Nothing(nn.Module):
    """Adds nothing; where position is a rotation."""

    def forward(self, info: Tensor) -> Tensor:
        """(B, N, F) to a scalar."""
        return info.new_zeros(())


class Global(nn.Module):
    """The harmonic encoding, and half a sine of latitude and longitude on the globe.

    Even features have ½ sin(m φ + ψ) more, odd ones ½ sin(m λ + ψ), for wave numbers m up to ``WAVES`` and
    ψ = 0 and π / 2 in turn: whole numbers, so that nothing jumps where longitudes begin again.

    Args:
        tokens: tokens of a neighbourhood.
        dim: width D.
        form: of the token information that latitude and longitude are taken from.
    """

    WAVES = 12
    encoding: Tensor
    wave: Tensor
    phase: Tensor

    def __init__(self, tokens: TokenShape, dim: int, form: str) -> None:
        super().__init__()
        self.place = _PLACES[form]
        number = torch.arange(dim // 2)
        self.register_buffer("encoding", harmonic_encoding(tokens, dim), persistent=False)
        self.register_buffer("wave", 1.0 + number // 2 % self.WAVES, persistent=False)
        self.register_buffer("phase", math.pi / 2 * (number % 2), persistent=False)

    def forward(self, info: Tensor) -> Tensor:
        """(B, N, F) to (B, N, D)."""
        angles = torch.stack(self.place(info), dim=-1).unsqueeze(-2)  # B N 1 2: latitude even, longitude odd
        waves = self.wave.unsqueeze(-1) * angles + self.phase.unsqueeze(-1)
        return self.encoding + 0.5 * waves.sin().flatten(-2)


def _circle(info: Tensor) -> tuple[Tensor, Tensor]:
    """Latitude and longitude (radians) from their sines and cosines."""
    (sine,), (east, north) = COLUMNS["circle"]["latitude"], COLUMNS["circle"]["longitude"]
    return info[..., sine].clamp(-1, 1).asin(), torch.atan2(info[..., east], info[..., north])


def _published(info: Tensor) -> tuple[Tensor, Tensor]:
    """Latitude and longitude (radians) from degrees from the North Pole and degrees east."""
    (south,), (east,) = COLUMNS["published"]["latitude"], COLUMNS["published"]["longitude"]
    return (90 - info[..., south]).deg2rad(), info[..., east].deg2rad()


_PLACES = {"circle": _circle, "published": _published}

_ENCODINGS: dict[str, Callable[[TokenShape, int, Network], nn.Module]] = {
    "harmonic": lambda tokens, dim, _: Fixed(harmonic_encoding(tokens, dim)),
    "published": lambda tokens, dim, _: Fixed(published_encoding(tokens, dim)),
    "global": lambda tokens, dim, config: Global(tokens, dim, config.information),
    "learned": lambda tokens, dim, _: Learned(tokens, dim),
    "rotary": lambda *_: Nothing(),
}


def position(tokens: TokenShape, dim: int, config: Network) -> nn.Module:
    """Return what ``network.position`` adds to the embedded tokens."""
    return _ENCODINGS[config.position](tokens, dim, config)
