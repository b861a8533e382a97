"""Attention of the AtmoRep transformer on plain ``scaled_dot_product_attention``.

Shapes: B batch, N tokens of this field, P tokens attended to, D width, A heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, N, A·d) to (B, A, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _join(x: Tensor) -> Tensor:
    """(B, A, N, d) to (B, N, A·d)."""
    return x.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Dense space-time self-attention with residual: x + proj(σ(Q Kᵀ)V) of the normed x.

    Args:
        dim: width D.
        heads: heads A.
        dropout: dropout rate of the projected output.
        qk_norm: layer norm (no affine) on queries and keys.
    """

    def __init__(self, dim: int, heads: int, dropout: float, qk_norm: bool) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.head_norm = nn.LayerNorm(dim // heads, elementwise_affine=False) if qk_norm else nn.Identity()
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to (B, N, D)."""
        q, k, v = (_split(y, self.heads) for y in self.qkv(self.norm(x)).chunk(3, dim=-1))
        y = scaled_dot_product_attention(self.head_norm(q), self.head_norm(k), v)
        return x + self.dropout(self.out(_join(y)))


class DecoderAttention(nn.Module):
    """Half of the heads attend to the decoder's own tokens, half to an encoder block's output.

    Args:
        dim: width D.
        heads: heads A, an even number.
        dropout: dropout rate of the projected output.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, half = heads // 2, dim // 2
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.encoder_norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.qkv = nn.Linear(dim, 3 * half, bias=False)
        self.cross_q = nn.Linear(dim, half, bias=False)
        self.cross_kv = nn.Linear(dim, 2 * half, bias=False)
        self.q_norm = nn.LayerNorm(dim // heads)
        self.k_norm = nn.LayerNorm(dim // heads)
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, encoded: Tensor) -> Tensor:
        """(B, N, D) and the encoder block's (B, P, D) to (B, N, D)."""
        y, other = self.norm(x), self.encoder_norm(encoded)
        own = self._attend(*self.qkv(y).chunk(3, dim=-1))
        cross = self._attend(self.cross_q(y), *self.cross_kv(other).chunk(2, dim=-1))
        return x + self.dropout(self.out(torch.cat([own, cross], dim=-1)))

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (_split(y, self.heads) for y in (q, k, v))
        return _join(scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v))
