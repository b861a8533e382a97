"""Weights go from models of before into new ones: whole, resized where tokens changed, or not at all."""

import math

import pytest
import torch

from atmorep.config import Network
from atmorep.errors import IntegrityError
from atmorep.model.field_transformer import FieldShape
from atmorep.model.inputs import Inputs
from atmorep.model.multiformer import Multiformer
from atmorep.model.transfer import transfer

NETWORK = {"embed_dim": 32, "info_dim": 4, "heads": 2, "encoder_blocks": 2, "decoder_blocks": 2, "tails": 3}
TOKENS, SIZE = (2, 3, 2, 2), (2, 3, 3)


def made(fields, coupled=None, size=SIZE, seed=0, dims=None, **changes):
    torch.manual_seed(seed)
    shapes = {f: FieldShape(TOKENS, size, (dims or {}).get(f, 32), (0.3, 0.6)) for f in fields}
    network = Network(**{**NETWORK, "dropout": 0.0, **changes})
    model = Multiformer(
        shapes, {f: [o for o in (coupled or {}).get(f, ()) if o in fields] for f in fields}, network
    )
    for parameter in model.parameters():
        if parameter.ndim == 1:  # norms and biases that would be alike in all models
            torch.nn.init.normal_(parameter)
    return model.eval()


def inputs(fields, features=10, size=SIZE):
    given = {}
    for n, name in enumerate(sorted(fields)):
        random = torch.Generator().manual_seed(n)
        source = torch.randn(2, *TOKENS, math.prod(size), generator=random)
        info = torch.randn(2, *TOKENS, features, generator=random)
        given[name] = Inputs(source, info, torch.zeros(2, *TOKENS, dtype=torch.bool))
    return given


def trained(model):
    for name, parameter in model.named_parameters():
        if ".cross." in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


ALL = {"u": ["v", "t"], "v": ["u"], "t": ["u", "v"]}


def test_pretrained_fields_predict_in_the_multiformer_what_they_predicted_alone():
    alone = {f: made([f], seed=n) for n, f in enumerate(ALL)}
    model = made(ALL, ALL, seed=9)
    done = transfer(model, alone)
    for name, members in model(inputs(ALL)).items():
        expected = alone[name]({name: inputs(ALL)[name]})[name]
        assert torch.allclose(members, expected, atol=1e-6)
    assert set(done.loaded) == {key for key in model.state_dict() if ".cross." not in key}
    assert set(done.fresh) == {key for key in model.state_dict() if ".cross." in key}
    assert done.resized == done.dropped == []


def test_a_field_is_added_without_a_change_to_those_that_were_coupled_before():
    before = trained(made(["u", "v"], ALL, seed=1))
    alone = made(["t"], seed=2)
    model = made(ALL, ALL, seed=9)
    done = transfer(model, {"u": before, "v": before, "t": alone})
    found, old = model(inputs(ALL)), before({f: i for f, i in inputs(ALL).items() if f != "t"})
    for name in ("u", "v"):
        assert torch.allclose(found[name], old[name], atol=1e-6)
    assert torch.allclose(found["t"], alone({"t": inputs(ALL)["t"]})["t"], atol=1e-6)
    assert any(".cross.v." in key for key in done.loaded)
    assert all(".cross.t." in key or key.startswith("fields.t.") for key in done.fresh)


def test_a_field_is_removed_and_what_belonged_to_it_is_named():
    before = trained(made(ALL, ALL, seed=1))
    model = made(["u", "v"], ALL, seed=9)
    done = transfer(model, {"u": before, "v": before})
    assert done.fresh == []
    assert done.dropped
    assert all(".cross.t." in key for key in done.dropped)
    # without the removed field's share of the attention, nothing else is different
    for block in before.fields["u"].encoder:
        torch.nn.init.zeros_(block.attention.cross["t"].out.weight)
    given = inputs(ALL)
    expected = before(given)["u"]
    for block in before.fields["v"].encoder:
        assert "t" not in block.attention.cross
    assert torch.allclose(model({f: given[f] for f in ("u", "v")})["u"], expected, atol=1e-6)


@pytest.mark.parametrize("after", [(2, 6, 6), (1, 3, 3), (4, 2, 5)])
def test_other_token_sizes_keep_the_response_to_smooth_fields(after):
    before, model = made(["u"], seed=1), made(["u"], size=after, seed=9)
    done = transfer(model, {"u": before})
    assert {key.split(".", 2)[2] for key in done.resized} == {
        "embedding.values.weight",
        "tail.weight",
        "tail.bias",
    }
    old, new = (m.fields["u"] for m in (before, model))
    constant = [torch.ones(1, 1, math.prod(size)) for size in (SIZE, after)]
    embedded = [f.embedding.values(x) for f, x in zip((old, new), constant, strict=True)]
    assert torch.allclose(*embedded, rtol=0.5, atol=0.3)
    assert new.tail.weight.shape[-1] == math.prod(after)


def test_resizing_there_and_back_is_nothing_for_a_token_that_varies_linearly():
    before, finer, again = made(["u"], seed=1), made(["u"], size=(4, 6, 6)), made(["u"], seed=3)
    with torch.no_grad():
        before.fields["u"].tail.bias.copy_(
            torch.arange(18.0).view(2, 9)[:, 4].repeat_interleave(9).expand(3, -1)
        )
    transfer(finer, {"u": before})
    transfer(again, {"u": finer})
    assert torch.allclose(
        again.fields["u"].tail.bias.mean(-1), before.fields["u"].tail.bias.mean(-1), atol=1e-4
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"dims": {"u": 64}}, "embedding.values.weight: has the shape"),
        ({"tails": 4}, "tail.scale: has the shape"),
        ({"encoder_blocks": 3}, "encoder.2.attention.qkv.weight: the model before has none"),
        ({"first_guess": "temporal"}, "guess.distance.weight: the model before has none"),
    ],
)
def test_what_cannot_be_taken_is_named_and_nothing_is_taken(changes, named):
    model = made(["u"], seed=9, **changes)
    untouched = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.raises(IntegrityError, match=named):
        transfer(model, {"u": made(["u"])})
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, untouched[key])
