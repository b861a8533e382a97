"""The kernel of attention computes what scaled_dot_product_attention does, to rounding."""

import os
import shutil
from functools import partial

import pytest
import torch
from runs import first_step, gradients, same_gradients, task
from torch.nn.functional import scaled_dot_product_attention

from atmorep.model.attention import Attend
from atmorep.training import native, outside

compiler = pytest.mark.skipif(
    not (os.environ.get("CXX") or any(map(shutil.which, ("c++", "g++", "clang++")))),
    reason="there is no C++ compiler",
)


def heads(queries, keys, d, factor=1.0):
    """Queries, keys and values of two samples and three heads, as a projection leaves them, and dy."""
    generator = torch.Generator().manual_seed(0)

    def projected(tokens, parts):
        x = torch.randn(2, tokens, parts * 3 * d, generator=generator)
        return [part.unflatten(-1, (3, d)).transpose(1, 2) for part in x.chunk(parts, -1)]

    (q,), (k, v) = projected(queries, 1), projected(keys, 2)
    return factor * q, k, v, torch.randn(2, queries, 3, d, generator=generator)


def results(function, *given):
    """(B, N, A, d) and the gradients of queries, keys and values."""
    *inputs, dy = (x.detach().clone() for x in given)
    leaves = [x.requires_grad_() for x in inputs]
    y = function(*leaves)
    return [y.detach(), *torch.autograd.grad(y, leaves, dy)]


def plain(q, k, v):
    return scaled_dot_product_attention(q, k, v).transpose(1, 2)


def fast(q, k, v):
    return native.attention(q, k, v)[0]


@compiler
@pytest.mark.parametrize("d", [1, 8, 16, 24, 32, 64])
@pytest.mark.parametrize(("queries", "keys"), [(48, 96), (49, 97), (1, 200), (150, 1), (500, 300)])
def test_values_and_gradients_are_those_of_pytorch_to_rounding(queries, keys, d):
    given = heads(queries, keys, d)
    exact = results(plain, *(x.double() for x in given))
    for found, expected, truth in zip(results(fast, *given), results(plain, *given), exact, strict=True):
        off, allowed = (found - truth).abs().max(), (expected - truth).abs().max()
        assert off <= 4 * allowed + 1e-6 * truth.abs().max()


@compiler
def test_large_scores_neither_overflow_nor_lose_the_largest():
    given = heads(100, 200, 16, factor=100.0)
    exact = results(plain, *(x.double() for x in given))
    for found, truth in zip(results(fast, *given), exact, strict=True):
        torch.testing.assert_close(found, truth.float(), rtol=0, atol=1e-3 * float(truth.abs().max()))


@compiler
@pytest.mark.parametrize(("part", "broken"), [(0, 1), (1, 100), (2, 100)])
def test_what_is_not_a_number_is_seen(part, broken):
    """A query spoils its own token; a key or a value spoils all."""
    given = heads(100, 200, 16)
    given[part][0, 0, 5, 3] = torch.nan
    y, *found = results(fast, *given)
    assert y[0, :, 0].isnan().any(-1).sum() == broken
    assert not y[1].isnan().any()
    assert found[0][0, 0, 5].isnan().any()


@compiler
def test_threads_do_not_change_a_bit():
    given, before = heads(300, 200, 16), torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 7):
            torch.set_num_threads(threads)
            found.append(results(fast, *given))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@compiler
def test_the_operator_is_registered_as_pytorch_wants_it():
    q, k, v, _ = heads(50, 60, 8)
    torch.library.opcheck(native.attention, [x.detach().requires_grad_() for x in (q, k, v)])


call = native._call


@compiler
@pytest.mark.parametrize("how", ["alone", "recomputed", "compiled"])
def test_a_network_has_the_same_gradients(configure, monkeypatch, how):
    monkeypatch.setattr(native, "LEAST_TOKENS", 1)
    config = configure(
        network={"dropout": 0.2, "qk_norm": True, "position": "rotary"},
        fields={"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t"]}},
        training={"gradient_checkpointing": how == "recomputed", "compile": how == "compiled"},
    )
    pretraining, samples = task(config, "t", "2t")
    names, calls = list(pretraining.state_dict()), []
    torch.compiler.reset()  # it counts how often a function was compiled, and refuses in the end
    monkeypatch.setattr(torch, "compile", partial(torch.compile, fullgraph=True, backend="aot_eager"))
    monkeypatch.setattr(native, "_call", lambda *given: calls.append(given[0]) or call(*given))
    outside.speed_up(pretraining.model, config.training, torch.device("cpu"))
    assert list(pretraining.state_dict()) == names
    same_gradients(first_step(pretraining, samples), gradients(config, "t", "2t"))
    torch.compiler.reset()
    assert {"forward", "backward"} == set(calls)


def test_it_is_for_large_attention_without_masks_in_single_precision():
    q, k, v, _ = heads(native.LEAST_TOKENS, native.LEAST_TOKENS, 16)
    assert native.suits(q, k, None)
    present = torch.ones(2, native.LEAST_TOKENS, dtype=torch.bool)
    few = q[:, :, 1:], k
    wide = heads(native.LEAST_TOKENS, native.LEAST_TOKENS, native.WIDEST + 1)[:2]
    others = [(q, k, present), (q.double(), k, None), (q.to("meta"), k, None), (*few, None), (*wide, None)]
    assert not any(native.suits(*other) for other in others)
    attend = Attend()
    assert torch.equal(native.attend(attend, q, k, v, present), attend(q, k, v, present))


@compiler
def test_it_is_applied_on_a_cpu_where_there_are_many_tokens(configure, monkeypatch):
    def applied(device):
        config = configure()
        model = task(config, "2t")[0].model
        outside.speed_up(model, config.training, torch.device(device))
        return {"forward" in m.__dict__ for m in model.modules() if isinstance(m, Attend)}

    assert applied("cpu") == {False}
    monkeypatch.setattr(native, "LEAST_TOKENS", 1)
    assert applied("cpu") == {True}
    assert applied("cuda") == {False}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CXX": "false"}, "false fails"),
        ({"PATH": "", "CXX": ""}, "there is no C"),
        ({"CXX": "true"}, "loaded"),
    ],
)
def test_without_a_compiler_attention_stays_pytorchs(monkeypatch, changes, message):
    for name, value in changes.items():
        monkeypatch.setenv(name, value)
    with pytest.warns(UserWarning, match=message):
        assert native.kernel.__wrapped__() is None
    monkeypatch.setattr(native, "kernel", lambda: None)
    model = torch.nn.Sequential(Attend())
    outside.attend_natively(model)
    assert "forward" not in model[0].__dict__
