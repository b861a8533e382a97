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
    """A sequence of embedded tokens.

    Attributes:
        values: (B, P, D).
        present: (B, P), False where a shorter sample was filled up; None where all are there.
    """

    values: Tensor
    present: Tensor | None = None
