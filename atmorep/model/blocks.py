"""Encoder and decoder blocks: attention followed by a perceptron, both with residual."""

from __future__ import annotations

from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.attention import DecoderAttention, SelfAttention


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
    """Self-attention and perceptron."""

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, config.heads, config.dropout, config.qk_norm)
        self.mlp = Perceptron(dim, config)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        y: Tensor = self.mlp(self.attention(x))
        return y


class DecoderBlock(nn.Module):
    """Self- and cross-attention to one encoder block, and perceptron."""

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        self.attention = DecoderAttention(dim, config.heads, config.dropout)
        self.mlp = Perceptron(dim, config)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """(B, N, D) and the encoder block's (B, P, D) to (B, N, D)."""
        y: Tensor = self.mlp(self.attention(x, encoded))
        return y
