"""What the network takes: one field's tokens as the model may see them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """One field's neighbourhoods (shapes: atmorep.sampling).

    Attributes:
        source: normalised tokens (B, L, K, I, J, V), distorted where drawn.
        info: token information (B, L, K, I, J, F).
        blank: (B, L, K, I, J), True where a token is withheld (noised and coarsened ones are not).
    """

    source: Tensor
    info: Tensor
    blank: Tensor


class Tokens(NamedTuple):
    """A sequence of tokens on its way through the blocks.

    Attributes:
        values: (B, P, D).
        place: (P, 4) or (B, P, 4), centres in (level, time, latitude, longitude); the neighbourhood is 1.
        embedded: (B, P, D), the values before the first block.
        present: (B, P), False where a shorter sample was filled up; None where all are there.
    """

    values: Tensor
    place: Tensor
    embedded: Tensor
    present: Tensor | None = None
