"""Encoder and decoder blocks: attention followed by a perceptron, both with residual."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.attention import DecoderAttention, EncoderAttention
from atmorep.model.inputs import Tokens


class Perceptron(nn.Module):
    """x + MLP(LayerNorm(x)) with one hidden layer.

    The released code of the paper puts a GELU behind the last linear layer too, which can only add
    to x; ``network.mlp_output: gelu`` keeps that.
    """

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        hidden = config.mlp_factor * dim
        last = nn.GELU() if config.mlp_output == "gelu" else nn.Identity()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim, elementwise_affine=False),
            nn.Linear(dim, hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, dim),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        y: Tensor = x + self.layers(x)
        return y


class EncoderBlock(nn.Module):
    """Self-attention with cross-attention to the coupled fields, and perceptron.

    Args:
        dim: width D.
        config: the network section of the configuration.
        others: widths of the coupled fields by name.
    """

    def __init__(self, dim: int, config: Network, others: Mapping[str, int]) -> None:
        super().__init__()
        self.attention = EncoderAttention(
            dim, config.heads, config.dropout, config.qk_norm, others, config.coupling_heads
        )
        self.mlp = Perceptron(dim, config)

    def forward(self, x: Tokens, others: Mapping[str, Tokens]) -> Tokens:
        """The field's tokens (B, N, D) and those of the coupled fields to (B, N, D)."""
        return x._replace(values=self.mlp(self.attention(x, others)))


class DecoderBlock(nn.Module):
    """Self- and cross-attention to one encoder block, and perceptron."""

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        self.attention = DecoderAttention(dim, config.heads, config.dropout)
        self.mlp = Perceptron(dim, config)

    def forward(self, x: Tensor, encoded: Tokens) -> Tensor:
        """(B, N, D) and the encoder block's (B, P, D) to (B, N, D)."""
        y: Tensor = self.mlp(self.attention(x, encoded))
        return y
