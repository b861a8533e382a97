"""One field's transformer: embedding, encoder, decoder in U-Net order, tail ensemble.

Fields run in step in :class:`atmorep.model.multiformer.Multiformer`, also where there is only one
(Lessig et al. 2023, arXiv 2308.13280).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.blocks import DecoderBlock, EncoderBlock
from atmorep.model.embedding import EMBEDDINGS, ClassToken
from atmorep.model.inputs import Inputs, Tokens
from atmorep.model.position import TokenShape, position
from atmorep.model.rotary import places
from atmorep.model.tail import TailEnsemble
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
        heights: of the levels, from 0 to 1, so that fields of different levels have heights in common.
        predicted: whether the field is predicted; otherwise it has encoder blocks only.
    """

    tokens: TokenShape
    token_size: Size
    dim: int
    heights: tuple[float, ...]
    predicted: bool = True


class Embedded(NamedTuple):
    """A field's tokens on their way into the encoder.

    Attributes:
        tokens: all tokens.
        entering: those the encoder processes.
        order: (B, P), number of each entering token; None where all enter.
        guess: (B, L, K, I, J, V) that the tails' output is added to; None without a first guess.
    """

    tokens: Tokens
    entering: Tokens
    order: Tensor | None
    guess: Tensor | None


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
    """The part of the Multiformer that is one field's; its blocks attend to the coupled fields.

    Args:
        shape: shapes of the field.
        config: the network section of the configuration.
        others: widths of the coupled fields by name.
    """

    place: Tensor

    def __init__(self, shape: FieldShape, config: Network, others: Mapping[str, int]) -> None:
        super().__init__()
        volume = shape.token_size[0] * shape.token_size[1] * shape.token_size[2]
        self.coupled = tuple(others)
        self.visible_only = config.encoder_tokens == "visible"
        self.embedding = EMBEDDINGS[config.information_place](volume, shape.dim, config)
        self.position = position(shape.tokens, shape.dim, config)
        self.register_buffer("place", places(shape.tokens, shape.heights), persistent=False)
        by_token = config.information_place == "class_token"
        self.class_token = ClassToken(config, shape.dim) if by_token else None
        self.encoder = nn.ModuleList(
            EncoderBlock(shape.dim, config, others) for _ in range(config.encoder_blocks)
        )
        self.sources = config.decoder_sources
        self.decoder, self.tail = nn.ModuleList(), None
        if shape.predicted:
            self.decoder.extend(DecoderBlock(shape.dim, config) for _ in self.sources)
            gain = 1.0 if config.first_guess == "none" else DEPARTURE_GAIN
            self.tail = TailEnsemble(shape.dim, volume, config.tails, gain, config.tail_layers)
        self.guess = FirstGuess(shape) if config.first_guess == "temporal" else None

    def embed(self, inputs: Inputs) -> Embedded:
        """Embed a field's tokens, blank ones filled by the first guess where there is one."""
        info, blank, guess = inputs.info.flatten(1, 4), inputs.blank, None
        source, hint = inputs.source, self.position(info)
        if self.guess is not None:
            guess, distance = self.guess(source, blank)
            source, hint = guess, hint + distance
        x = self.embedding(source.flatten(1, 4), info) + hint
        tokens, order = Tokens(x, self.place, x), None
        entering = tokens
        if self.visible_only:
            order, present = _visible_first(blank.flatten(1))
            visible = _take(x, order)
            entering = Tokens(visible, self.place[order], visible, present)
        if self.class_token is not None:
            entering = self.class_token.join(entering, info)
        return Embedded(tokens, entering, order, guess)

    def decode(self, start: Embedded, encoded: Sequence[Tokens]) -> Tensor:
        """Return what the decoder makes of all tokens, which the tails predict from.

        Args:
            start: what :meth:`embed` returned.
            encoded: outputs of the encoder blocks, first to last.

        Returns:
            Tokens (B, N, D).

        Raises:
            ValueError: if the field is not predicted.
        """
        if self.tail is None:
            raise ValueError("a field that is not predicted has no decoder")
        last = encoded[-1] if self.class_token is None else self.class_token.leave(encoded[-1])
        values = last.values if start.order is None else _put(start.tokens.values, start.order, last)
        x = start.tokens._replace(values=values)
        for block, source in zip(self.decoder, self.sources, strict=True):
            x = block(x, encoded[source])
        return x.values

    def predict(self, start: Embedded, decoded: Tensor) -> Tensor:
        """Members (B, L, K, I, J, M, V) in normalised units from the decoder's tokens (B, L, K, I, J, D).

        Raises:
            ValueError: if the field is not predicted.
        """
        if self.tail is None:
            raise ValueError("a field that is not predicted has no tails")
        members: Tensor = self.tail(decoded.flatten(1, 4)).unflatten(1, decoded.shape[1:5])
        return members if start.guess is None else members + start.guess.unsqueeze(-2)


def _visible_first(blank: Tensor) -> tuple[Tensor, Tensor | None]:
    """Numbers (B, P) of the visible tokens of each sample, filled up to the most visible of the batch.

    Returns:
        The numbers, and (B, P) False where a number fills up; None where none does.
    """
    counts = (~blank).sum(1)
    most = max(1, int(counts.max()))  # a sample without any token left attends to a blank one
    order = blank.to(torch.uint8).argsort(dim=1, stable=True)[:, :most]
    if bool((counts == most).all()):
        return order, None
    present = torch.arange(most, device=blank.device) < counts.clamp(min=1).unsqueeze(1)
    return order, present


def _take(x: Tensor, order: Tensor) -> Tensor:
    return x.gather(1, order.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def _put(x: Tensor, order: Tensor, tokens: Tokens) -> Tensor:
    """Return ``x`` (B, N, D) with the present tokens in their places."""
    index = order.unsqueeze(-1).expand(-1, -1, x.shape[-1])
    values = tokens.values
    if tokens.present is not None:
        values = torch.where(tokens.present.unsqueeze(-1), values, x.gather(1, index))
    return x.scatter(1, index, values.to(x.dtype))
