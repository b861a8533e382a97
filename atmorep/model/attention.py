"""Attention of the AtmoRep transformer on plain ``scaled_dot_product_attention``.

Shapes: B batch, N tokens of this field, P tokens attended to, D width, A heads, d width of a head.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from atmorep.config.network import Network
from atmorep.model.inputs import Tokens
from atmorep.model.rotary import rotation


def _split(x: Tensor, heads: int) -> Tensor:
    """(B, N, A·d) to (B, A, N, d)."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


class Attend(nn.Module):
    """σ(Q Kᵀ / √d) V. A module, so that a hook on it sees the queries and keys of every head."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, present: Tensor | None) -> Tensor:
        """Attend.

        Args:
            q: (B, A, N, d).
            k: (B, A, P, d).
            v: (B, A, P, d).
            present: (B, P), False where a key is none; None where all are there.

        Returns:
            Heads side by side (B, N, A·d).
        """
        mask = None if present is None else present[:, None, None, :]
        return scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)


def _norm(width: int, wanted: bool) -> nn.Module:
    return nn.LayerNorm(width, elementwise_affine=False) if wanted else nn.Identity()


class CrossAttention(nn.Module):
    """Heads of one field that attend to the tokens of another: σ(Q Kᵀ)V with queries of the former.

    Their projection into the field's latent space starts at zero: a field that is coupled predicts what it
    predicted alone, until the coupling is trained.

    Args:
        dim: width D of the field that attends.
        other_dim: width of the other field.
        config: the network section of the configuration.
    """

    def __init__(self, dim: int, other_dim: int, config: Network) -> None:
        super().__init__()
        self.heads, width = config.coupling_heads, dim // config.heads
        self.norm = _norm(other_dim, config.layer_norm == "all")
        self.q = nn.Linear(dim, self.heads * width, bias=False)
        self.kv = nn.Linear(other_dim, 2 * self.heads * width, bias=False)
        self.query_norm = _norm(width, config.qk_norm and config.coupling_norm == "both")
        self.key_norm, self.rotation = _norm(width, config.qk_norm), rotation(config, width)
        self.attend = Attend()
        self.out = nn.Linear(self.heads * width, dim, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, normed: Tensor, place: Tensor, other: Tokens) -> Tensor:
        """Normed tokens (B, N, D), their places, and the other field's (B, P, D') to a summand (B, N, D)."""
        k, v = (_split(y, self.heads) for y in self.kv(self.norm(other.values)).chunk(2, dim=-1))
        q = self.rotation(self.query_norm(_split(self.q(normed), self.heads)), place)
        y = self.attend(q, self.rotation(self.key_norm(k), other.place), v, other.present)
        summand: Tensor = self.out(y)
        return summand


class EncoderAttention(nn.Module):
    """Dense space-time self-attention, and cross-attention to the coupled fields, with residual.

    x + proj(σ(Q Kᵀ)V) + Σ_μ proj_μ(σ(Q_μ K_μᵀ)V_μ) of the normed x (Lessig et al. 2023, section 3.3). The
    released code concatenates all heads before one projection, which is the same sum.

    Args:
        dim: width D.
        config: the network section of the configuration.
        others: widths of the coupled fields by name.
    """

    def __init__(self, dim: int, config: Network, others: Mapping[str, int]) -> None:
        super().__init__()
        self.heads, width = config.heads, dim // config.heads
        self.norm = _norm(dim, config.layer_norm == "all")
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.head_norm, self.rotation = _norm(width, config.qk_norm), rotation(config, width)
        self.attend = Attend()
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)
        self.cross = nn.ModuleDict({name: CrossAttention(dim, d, config) for name, d in others.items()})

    def forward(self, x: Tokens, others: Mapping[str, Tokens]) -> Tensor:
        """The field's tokens (B, N, D) and those of the coupled fields to (B, N, D)."""
        normed = self.norm(x.values)
        q, k, v = (_split(y, self.heads) for y in self.qkv(normed).chunk(3, dim=-1))
        q, k = (self.rotation(self.head_norm(y), x.place) for y in (q, k))
        y = self.out(self.attend(q, k, v, x.present))
        for name, cross in self.cross.items():
            y = y + cross(normed, x.place, others[name])
        return x.values + self.dropout(y)


class DecoderAttention(nn.Module):
    """Some heads attend to the decoder's own tokens, the others to an encoder block's output.

    Args:
        dim: width D.
        config: the network section of the configuration; published is half and half.
    """

    def __init__(self, dim: int, config: Network) -> None:
        super().__init__()
        self.heads, self.cross_heads = config.decoder_split
        width = dim // (self.heads + self.cross_heads)
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.encoder_norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.qkv = nn.Linear(dim, 3 * self.heads * width, bias=False)
        self.cross_q = nn.Linear(dim, self.cross_heads * width, bias=False)
        self.cross_kv = nn.Linear(dim, 2 * self.cross_heads * width, bias=False)
        self.q_norm = nn.LayerNorm(width)
        self.k_norm = nn.LayerNorm(width)
        self.rotation = rotation(config, width)
        self.attend, self.attend_encoder = Attend(), Attend()
        self.out = nn.Linear(dim, dim, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tokens, encoded: Tokens) -> Tensor:
        """All tokens (B, N, D) and the encoder block's (B, P, D) to (B, N, D)."""
        normed = self.norm(x.values)
        q, k, v = (_split(y, self.heads) for y in self.qkv(normed).chunk(3, dim=-1))
        own = self.attend(self._query(q, x), self._key(k, x), v, None)
        other_q = _split(self.cross_q(normed), self.cross_heads)
        kv = self.cross_kv(self.encoder_norm(encoded.values)).chunk(2, dim=-1)
        other_k, other_v = (_split(y, self.cross_heads) for y in kv)
        other = self.attend_encoder(
            self._query(other_q, x), self._key(other_k, encoded), other_v, encoded.present
        )
        return x.values + self.dropout(self.out(torch.cat([own, other], dim=-1)))

    def _query(self, q: Tensor, tokens: Tokens) -> Tensor:
        turned: Tensor = self.rotation(self.q_norm(q), tokens.place)
        return turned

    def _key(self, k: Tensor, tokens: Tokens) -> Tensor:
        turned: Tensor = self.rotation(self.k_norm(k), tokens.place)
        return turned
