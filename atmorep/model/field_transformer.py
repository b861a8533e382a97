"""One field's transformer: the unit that is pretrained alone (Lessig et al. 2023, arXiv 2308.13280)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.blocks import DecoderBlock, EncoderBlock
from atmorep.model.embedding import Embedding, TokenShape
from atmorep.model.tail import TailEnsemble
from atmorep.sampling.info import FEATURES
from atmorep.sampling.tokens import Size, interpolate_in_time

DEPARTURE_GAIN = 0.05
"""Initial size of departures from the first guess, in normalised units: training starts at the guess."""


@dataclass(frozen=True)
class FieldShape:
    """What of a field determines the shapes of its transformer.

    Attributes:
        tokens: tokens of a neighbourhood in (level, time, latitude, longitude).
        token_size: grid points a token in (time, latitude, longitude).
        dim: width D.
    """

    tokens: TokenShape
    token_size: Size
    dim: int


class FirstGuess(nn.Module):
    """Fills blank tokens by interpolation in time and tells the transformer how far it reached.

    Not in the paper: with it the tails predict the departure from what is known without a network.
    """

    def __init__(self, shape: FieldShape) -> None:
        super().__init__()
        self.token_size = shape.token_size
        self.distance = nn.Linear(2, shape.dim, bias=False)

    def forward(self, source: Tensor, blank: Tensor) -> tuple[Tensor, Tensor]:
        """Source (B, L, K, I, J, V) and mask to the filled tokens and a summand (B, N, D)."""
        filled, distance = interpolate_in_time(source, blank, self.token_size)
        hint: Tensor = self.distance(torch.log1p(distance.flatten(1, 4).to(source.dtype)))
        return filled, hint


class FieldTransformer(nn.Module):
    """p(y | x, α) of one field: embedding, encoder, decoder in U-Net order, tail ensemble.

    Args:
        shape: shapes of the field.
        config: the network section of the configuration.
    """

    def __init__(self, shape: FieldShape, config: Network) -> None:
        super().__init__()
        volume = shape.token_size[0] * shape.token_size[1] * shape.token_size[2]
        self.embedding = Embedding(volume, FEATURES, shape.dim, config.info_dim, shape.tokens)
        self.encoder = nn.ModuleList(EncoderBlock(shape.dim, config) for _ in range(config.encoder_blocks))
        self.decoder = nn.ModuleList(DecoderBlock(shape.dim, config) for _ in range(config.decoder_blocks))
        gain = 1.0 if config.first_guess == "none" else DEPARTURE_GAIN
        self.tail = TailEnsemble(shape.dim, volume, config.tails, gain)
        self.guess = FirstGuess(shape) if config.first_guess == "temporal" else None

    def forward(self, source: Tensor, info: Tensor, blank: Tensor) -> Tensor:
        """Predict every token.

        Args:
            source: normalised tokens (B, L, K, I, J, V), distorted where drawn.
            info: token information (B, L, K, I, J, F).
            blank: (B, L, K, I, J), True where a token is withheld (noised and coarsened ones are not).

        Returns:
            Members (B, L, K, I, J, M, V) in normalised units.
        """
        grid = source.shape[1:5]
        if self.guess is None:
            x = self.embedding(source.flatten(1, 4), info.flatten(1, 4))
            return self.tail(self._transform(x)).unflatten(1, grid)
        filled, hint = self.guess(source, blank)
        x = self.embedding(filled.flatten(1, 4), info.flatten(1, 4)) + hint
        return self.tail(self._transform(x)).unflatten(1, grid) + filled.unsqueeze(-2)

    def _transform(self, x: Tensor) -> Tensor:
        """Encoder, then decoder blocks that attend to encoder blocks deepest first; (B, N, D)."""
        encoded = []
        for block in self.encoder:
            x = block(x)
            encoded.append(x)
        for block, other in zip(self.decoder, reversed(encoded), strict=False):
            x = block(x, other)
        return x
