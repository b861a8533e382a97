"""Attention equals its formula, and mixes what it should."""

import pytest
import torch
from torch.nn.functional import layer_norm

from atmorep.model.attention import DecoderAttention, SelfAttention

DIM, HEADS = 16, 4
TOLERANCE = 1e-12  # all in float64


def tokens(number, seed=0):
    return torch.randn(2, number, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def made(kind, *arguments):
    torch.manual_seed(0)
    return kind(DIM, HEADS, 0.0, *arguments).double()


def attend(q, k, v):
    """softmax(q kᵀ / √d) v of one head, (B, N, d)."""
    scores = torch.einsum("bnd,bpd->bnp", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bnp,bpd->bnd", scores.softmax(-1), v)


def heads(x, number):
    return x.chunk(number, dim=-1)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_self_attention_is_its_formula_head_by_head(qk_norm):
    layer, x = made(SelfAttention, qk_norm), tokens(7)
    q, k, v = (layer_norm(x, (DIM,)) @ w.T for w in layer.qkv.weight.chunk(3))
    parts = []
    for a, b, c in zip(heads(q, HEADS), heads(k, HEADS), heads(v, HEADS), strict=True):
        if qk_norm:
            a, b = layer_norm(a, (DIM // HEADS,)), layer_norm(b, (DIM // HEADS,))
        parts.append(attend(a, b, c))
    expected = x + torch.cat(parts, -1) @ layer.out.weight.T
    assert torch.allclose(layer(x), expected, atol=TOLERANCE)


def test_half_of_the_decoders_heads_attend_to_the_encoder():
    layer, x, encoded = made(DecoderAttention), tokens(7), tokens(5, seed=1)
    for norm in (layer.q_norm, layer.k_norm):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-1, 1)
    y, other = layer_norm(x, (DIM,)), layer_norm(encoded, (DIM,))
    own = [y @ w.T for w in layer.qkv.weight.chunk(3)]
    cross = [y @ layer.cross_q.weight.T, *(other @ w.T for w in layer.cross_kv.weight.chunk(2))]
    parts = [
        attend(layer.q_norm(a), layer.k_norm(b), c)
        for triple in (own, cross)
        for a, b, c in zip(*(heads(part, HEADS // 2) for part in triple), strict=True)
    ]
    expected = x + torch.cat(parts, -1) @ layer.out.weight.T
    assert torch.allclose(layer(x, encoded), expected, atol=TOLERANCE)


def test_self_attention_knows_no_order():
    layer, x = made(SelfAttention, False), tokens(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x)[:, order], layer(x[:, order]), atol=TOLERANCE)


def test_every_token_sees_every_other():
    layer, x = made(SelfAttention, False), tokens(6).requires_grad_()
    for n in range(6):
        (gradient,) = torch.autograd.grad(layer(x)[:, n].sum(), x)
        assert (gradient.abs().amax(-1) > 0).all()
