"""Attention equals its formula, and mixes what it should."""

import pytest
import torch
from torch.nn.functional import layer_norm

from atmorep.config import Network
from atmorep.model.attention import DecoderAttention, EncoderAttention
from atmorep.model.inputs import Tokens

DIM, HEADS = 16, 4
NETWORK = {"embed_dim": DIM, "info_dim": 4, "heads": HEADS, "dropout": 0.0, "position": "harmonic"}
TOLERANCE = 1e-12  # all in float64


def tokens(number, seed=0):
    return torch.randn(2, number, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of(x, present=None):
    """Tokens of some values, all in one place."""
    return Tokens(x, torch.zeros(x.shape[1], 4), x, present)


def encoder(qk_norm=False, others=None, **changes):
    torch.manual_seed(0)
    layer = EncoderAttention(DIM, Network(**NETWORK, qk_norm=qk_norm, **changes), others or {}).double()
    for cross in layer.cross.values():
        torch.nn.init.normal_(cross.out.weight)
    return layer


def alone(layer):
    """Self-attention as a function of a tensor."""
    return lambda x: layer(of(x), {})


def attend(q, k, v):
    """softmax(q kᵀ / √d) v of one head, (B, N, d)."""
    scores = torch.einsum("bnd,bpd->bnp", q, k) / q.shape[-1] ** 0.5
    return torch.einsum("bnp,bpd->bnd", scores.softmax(-1), v)


def heads(x, number):
    return x.chunk(number, dim=-1)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_self_attention_is_its_formula_head_by_head(qk_norm):
    layer, x = encoder(qk_norm), tokens(7)
    q, k, v = (layer_norm(x, (DIM,)) @ w.T for w in layer.qkv.weight.chunk(3))
    parts = []
    for a, b, c in zip(heads(q, HEADS), heads(k, HEADS), heads(v, HEADS), strict=True):
        if qk_norm:
            a, b = layer_norm(a, (DIM // HEADS,)), layer_norm(b, (DIM // HEADS,))
        parts.append(attend(a, b, c))
    expected = x + torch.cat(parts, -1) @ layer.out.weight.T
    assert torch.allclose(layer(of(x), {}), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("qk_norm", "normed_part"), [(False, "keys"), (True, "keys"), (True, "both"), (False, "both")]
)
@pytest.mark.parametrize("number", [1, 2])
def test_coupling_heads_attend_to_the_other_field_and_add_up(qk_norm, normed_part, number):
    layer, x = (
        encoder(qk_norm, {"v": DIM, "t": 8}, coupling_heads=number, coupling_norm=normed_part),
        tokens(7),
    )
    others = {"v": tokens(5, seed=1), "t": torch.randn(2, 3, 8, dtype=torch.float64)}
    expected = layer(of(x), {name: of(torch.zeros_like(o)) for name, o in others.items()})
    for name, other in others.items():
        cross, normed = layer.cross[name], layer_norm(other, other.shape[-1:])
        q = layer_norm(x, (DIM,)) @ cross.q.weight.T
        k, v = (normed @ w.T for w in cross.kv.weight.chunk(2))
        parts = []
        for a, b, c in zip(heads(q, number), heads(k, number), heads(v, number), strict=True):
            a = layer_norm(a, (DIM // HEADS,)) if qk_norm and normed_part == "both" else a
            parts.append(attend(a, layer_norm(b, (DIM // HEADS,)) if qk_norm else b, c))
        expected = expected + torch.cat(parts, -1) @ cross.out.weight.T
    found = layer(of(x), {name: of(o) for name, o in others.items()})
    assert torch.allclose(found, expected, atol=TOLERANCE)


def test_absent_tokens_are_not_attended_to():
    layer, x, other = encoder(others={"v": DIM}), tokens(6), tokens(5, seed=1)
    there, part = torch.tensor([True] * 4 + [False] * 2), torch.tensor([True] * 3 + [False] * 2)
    found = layer(of(x, there.expand(2, 6)), {"v": of(other, part.expand(2, 5))})
    expected = layer(of(x[:, :4]), {"v": of(other[:, :3])})
    assert torch.allclose(found[:, :4], expected, atol=TOLERANCE)


def test_without_layer_norms_there_is_none_in_the_encoder():
    layer, x, other = encoder(others={"v": DIM}, layer_norm="decoder"), tokens(7), tokens(5, seed=1)
    q, k, v = (heads(x @ w.T, HEADS) for w in layer.qkv.weight.chunk(3))
    cross = layer.cross["v"]
    coupled = attend(x @ cross.q.weight.T, *(other @ w.T for w in cross.kv.weight.chunk(2)))
    own = torch.cat([attend(*one) for one in zip(q, k, v, strict=True)], -1)
    expected = x + own @ layer.out.weight.T + coupled @ cross.out.weight.T
    assert torch.allclose(layer(of(x), {"v": of(other)}), expected, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("changes", "split"),
    [
        ({}, (2, 2)),
        ({"decoder_cross_ratio": 0.3}, (3, 1)),
        ({"decoder_heads": 8, "decoder_cross_ratio": 0.8}, (2, 6)),
        ({"decoder_heads": 2, "layer_norm": "decoder"}, (1, 1)),
    ],
)
def test_a_share_of_the_decoders_heads_attends_to_the_encoder(changes, split):
    torch.manual_seed(0)
    layer = DecoderAttention(DIM, Network(**NETWORK, **changes)).double()
    x, encoded = tokens(7), tokens(5, seed=1)
    for norm in (layer.q_norm, layer.k_norm):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.uniform_(-1, 1)
    y, other = layer_norm(x, (DIM,)), layer_norm(encoded, (DIM,))
    own = [y @ w.T for w in layer.qkv.weight.chunk(3)]
    cross = [y @ layer.cross_q.weight.T, *(other @ w.T for w in layer.cross_kv.weight.chunk(2))]
    parts = [
        attend(layer.q_norm(a), layer.k_norm(b), c)
        for triple, number in zip((own, cross), split, strict=True)
        for a, b, c in zip(*(heads(part, number) for part in triple), strict=True)
    ]
    expected = x + torch.cat(parts, -1) @ layer.out.weight.T
    assert torch.allclose(layer(of(x), of(encoded)), expected, atol=TOLERANCE)


def test_self_attention_knows_no_order():
    layer, x = alone(encoder()), tokens(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(layer(x)[:, order], layer(x[:, order]), atol=TOLERANCE)


def test_every_token_sees_every_other():
    layer, x = alone(encoder()), tokens(6).requires_grad_()
    for n in range(6):
        (gradient,) = torch.autograd.grad(layer(x)[:, n].sum(), x)
        assert (gradient.abs().amax(-1) > 0).all()
