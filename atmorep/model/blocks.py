"""Encoder and decoder blocks: attention followed by a perceptron, both with residual."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.attention import DecoderAttention, EncoderAttention
from atmorep.model.embedding import Attended, Reappended
from atmorep.model.inputs import Tokens


class Perceptron(nn.Module):
    """x + MLP(LayerNorm(x)).

    The released code of the paper puts a GELU behind the last linear layer too, which can only add
    to x; ``network.mlp_output: gelu`` keeps that.

    Args:
        dim: width D.
        config: the network section of the configuration.
        layers: linear layers.
    """

    def __init__(self, dim: int, config: Network, layers: int) -> None:
        super().__init__()
        hidden = config.mlp_factor * dim
        first = nn.LayerNorm(dim, elementwise_affine=False) if config.layer_norm == "all" else nn.Identity()
        last = nn.GELU() if config.mlp_output == "gelu" else nn.Identity()
        widths = [dim, *[hidden] * (layers - 1)]
        inner = [
            part
            for pair in pairwise(widths)
            for part in (nn.Linear(*pair), nn.GELU(), nn.Dropout(config.dropout))
        ]
        self.layers = nn.Sequential(first, *inner, nn.Linear(hidden, dim), last)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        y: Tensor = x + self.layers(x)
        return y


def _between(config: Network) -> nn.Module:
    """What happens between attention and perceptron."""
    again = config.information_place == "reappended"
    return Reappended(config.info_dim) if again else Attended()


class EncoderBlock(nn.Module):
    """Self-attention with cross-attention to the coupled fields, and perceptron.

    Args:
        dim: width D.
        config: the network section of the configuration.
        others: widths of the coupled fields by name.
    """

    def __init__(self, dim: int, config: Network, others: Mapping[str, int]) -> None:
        super().__init__()
        self.attention = EncoderAttention(dim, config, others)
        self.between = _between(config)
        self.mlp = Perceptron(dim, config, config.mlp_layers)

    def forward(self, x: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """The field's tokens (B, N, D) and those of the coupled fields to (B, N, D)."""
        attended = x._replace(values=self.attention(x, others))
        return x._replace(values=self.mlp(self.between(attended)))


class DecoderBlock(nn.Module):
    """Self- and cross-attention to one encoder block, and perceptron."""

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        self.attention = DecoderAttention(dim, config)
        self.between = _between(config)
        self.mlp = Perceptron(dim, config, config.decoder_mlp_layers or config.mlp_layers)

    def forward(self, x: Tokens, encoded: Tokens) -> Tokens:
        """All tokens (B, N, D) and the encoder block's (B, P, D) to (B, N, D)."""
        attended = x._replace(values=self.attention(x, encoded))
        return x._replace(values=self.mlp(self.between(attended)))
