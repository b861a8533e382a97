"""An imported checkpoint computes what the original does: fixtures of its own, and any settings of it."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from .original import COUPLED, Original, older, random_inputs, random_tensors, settings, three, write

RELATIVE = 1e-5
ROUNDING = (
    1e-6  # of the largest value: members near zero are differences of large numbers in single precision
)


def close(found, expected):
    expected = np.asarray(expected, np.float64).reshape(found.shape)
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=ROUNDING * np.abs(expected).max())


@dataclass
class Fixture:
    """A checkpoint of the original with what it computed."""

    folder: object
    settings: dict
    tensors: dict
    inputs: dict
    outputs: dict


@pytest.fixture(params=["single0", "multi000"])
def fixture(request, shared):
    folder = shared / "legacy_checkpoints" / request.param
    given, outputs = (dict(np.load(folder / f"{name}.npz")) for name in ("input", "output"))
    inputs = {}
    for name in (key.removesuffix(".source") for key in given if key.endswith(".source")):
        source = torch.from_numpy(given[f"{name}.source"]).flatten(5)
        info = torch.from_numpy(given[f"{name}.token_info"])
        inputs[name] = (source, info.reshape(*source.shape[:-1], 8))
    return Fixture(
        folder,
        json.loads((folder / f"model_id{request.param}.json").read_text()),
        torch.load(folder / f"AtmoRep_id{request.param}.mod", weights_only=True),
        inputs,
        outputs,
    )


def test_the_originals_checkpoints_give_the_originals_outputs(fixture, imported):
    model = imported(fixture.folder)
    embedded, members = model.embed(fixture.inputs), model(fixture.inputs)
    assert set(members) == set(fixture.inputs)
    for name in fixture.inputs:
        close(embedded[name], fixture.outputs[f"{name}.embedding"])
        ensemble = members[name].flatten(0, 1)
        close(ensemble, fixture.outputs[f"{name}.ensemble"])
        close(ensemble.mean(1), fixture.outputs[f"{name}.mean"])
        close(ensemble.std(1), fixture.outputs[f"{name}.std"])


def test_what_others_are_compared_with_computes_the_originals_outputs(fixture):
    original = Original(fixture.settings, fixture.tensors)
    for name, members in original(fixture.inputs).items():
        close(members.flatten(0, 1), fixture.outputs[f"{name}.ensemble"])
        embedded = original.embed(name, *fixture.inputs[name])
        close(embedded, fixture.outputs[f"{name}.embedding"])


def test_the_older_layout_of_the_originals_checkpoints_gives_the_same(fixture, imported, tmp_path):
    folder = write(tmp_path / "older", fixture.settings, older(fixture.settings, fixture.tensors, norms=True))
    members, expected = imported(folder)(fixture.inputs), imported(fixture.folder)(fixture.inputs)
    for name in expected:
        assert torch.equal(members[name], expected[name])


def compare(imported, s, tensors, folder, query_norm=False):
    """Compare the checkpoint in ``folder`` with what its ``tensors`` compute."""
    model, original, inputs = imported(folder), Original(s, tensors, query_norm), random_inputs(s)
    embedded = model.embed(inputs)
    for name, pair in inputs.items():
        close(embedded[name], original.embed(name, *pair))
    members, expected = model(inputs), original(inputs)
    assert set(members) == set(expected) == {name for name, _ in s["fields_prediction"]}
    for name in expected:
        close(members[name], expected[name])
        close(members[name].std(2), expected[name].std(2))


VARIANTS = {
    "as_usual": settings(),
    "norm of queries and keys": settings(with_qk_lnorm=True),
    "no layer norm": three(with_layernorm=False, encoder_num_layers=1, decoder_num_layers=1),
    "hidden tail layers": settings(net_tail_num_layers=2, net_tail_num_nets=5),
    "deeper perceptrons": settings(encoder_num_mlp_layers=4, decoder_num_mlp_layers=3),
    "one layer is two": settings(encoder_num_mlp_layers=1, decoder_num_mlp_layers=0),
    "encoder deeper": settings(encoder_num_layers=4),
    "encoder layers left out": settings(
        encoder_num_layers=5, decoder_num_layers=3, decoder_cross_att_rate=1.7
    ),
    "deepest layer only": settings(decoder_cross_att_rate=0),
    "other heads": settings(encoder_num_heads=1, decoder_num_heads=8, decoder_cross_att_ratio=0.3),
    "coupled": three(),
    "coupled, normed": three(with_qk_lnorm=True),
    "some predicted, in another order": three(fields_prediction=[["temperature", 0.3], ["velocity_u", 0.7]]),
    "one predicted": three(fields_prediction=[["velocity_v", 1.0]]),
    "narrow information": settings(size_token_info_net=1),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_compute_what_the_original_does(name, imported, tmp_path):
    s = VARIANTS[name]
    tensors = random_tensors(s)
    compare(imported, s, tensors, write(tmp_path / "checkpoint", s, tensors))


@hypothesis(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_settings_compute_what_the_original_does(data, imported, tmp_path_factory):
    layers = data.draw(st.integers(1, 3))
    decoder = data.draw(st.integers(1, layers))
    heads = data.draw(st.sampled_from([2, 4, 8]))
    order = data.draw(st.permutations(COUPLED))
    s = three(
        fields=order,
        fields_prediction=[[field[0], 1.0] for field in data.draw(st.permutations(order))],
        encoder_num_layers=layers,
        decoder_num_layers=decoder,
        decoder_cross_att_rate=data.draw(st.floats(0, (layers - 1) / max(1, decoder - 1))),
        encoder_num_heads=data.draw(st.sampled_from([1, 2, 4, 8])),
        decoder_num_heads=heads,
        decoder_cross_att_ratio=data.draw(st.floats(1 / heads, 1 - 1 / heads)),
        with_qk_lnorm=data.draw(st.booleans()),
        net_tail_num_layers=data.draw(st.integers(0, 2)),
        encoder_num_mlp_layers=data.draw(st.integers(2, 3)),
    )
    tensors = random_tensors(s, seed=data.draw(st.integers(0, 1000)))
    compare(imported, s, tensors, write(tmp_path_factory.mktemp("checkpoint"), s, tensors))


@pytest.mark.parametrize("shared_layer", ["zero", "absent"])
def test_the_shared_token_information_of_older_checkpoints(shared_layer, imported, tmp_path):
    s = three()
    tensors = random_tensors(s)
    tensors["embeds_token_info.0.weight"].zero_()
    there = tensors
    if shared_layer == "absent":
        there = {name: t for name, t in tensors.items() if not name.startswith("embeds_token_info")}
    compare(imported, s, tensors, write(tmp_path / "checkpoint", s, there))


@pytest.mark.parametrize("left_out", ["embed_token_info", "embeds.0", "encoders.0.embed"])
def test_what_the_original_keeps_twice_may_be_there_once(left_out, imported, tmp_path):
    s = settings()
    tensors = random_tensors(s)
    there = {name: tensor for name, tensor in tensors.items() if not name.startswith(f"{left_out}.")}
    compare(imported, s, tensors, write(tmp_path / "checkpoint", s, there))


@pytest.mark.parametrize("changes", [{}, {"with_qk_lnorm": True}, {"decoder_cross_att_ratio": 0.3}])
def test_the_older_layout_takes_norms_of_ones(changes, imported, tmp_path):
    """As the released loader has them: weights and, which changes nothing, biases."""
    s = settings(decoder_num_heads=8, **changes)
    tensors = random_tensors(s)
    folder = write(tmp_path / "checkpoint", s, older(s, tensors))
    for name, tensor in tensors.items():
        if name.rsplit(".", 1)[0].endswith(("ln_q", "ln_k")):
            tensor.fill_(1)
    compare(imported, s, tensors, folder)
    for name, tensor in tensors.items():
        if name.endswith(("ln_q.bias", "ln_k.bias")):
            tensor.zero_()
    compare(imported, s, tensors, folder)


@pytest.mark.parametrize("heads", [1, 2])
def test_coupled_heads_of_the_older_layout_norm_their_queries_too(heads, imported, tmp_path):
    s = three(with_qk_lnorm=True, coupling_num_heads_per_field=heads)
    tensors = random_tensors(s)
    folder = write(tmp_path / "checkpoint", s, older(s, tensors, norms=True))
    compare(imported, s, tensors, folder, query_norm=True)


def test_half_precision_and_files_of_before_archives_are_read(imported, tmp_path):
    s = settings()
    tensors = {name: tensor.half() for name, tensor in random_tensors(s).items()}
    folder = write(tmp_path / "checkpoint", s, tensors)
    torch.save(tensors, folder / "AtmoRep_idabc.mod", _use_new_zipfile_serialization=False)
    compare(imported, s, tensors, folder)


def test_the_last_epoch_is_found_where_it_is_the_only_one(imported, tmp_path):
    s = settings()
    tensors = random_tensors(s)
    folder = write(tmp_path / "checkpoint", s, tensors)
    (folder / "AtmoRep_idabc.mod").rename(folder / "AtmoRep_idabc_epoch127.mod")
    (folder / "AtmoRep_encoder_velocity_u_idabc.mod").write_bytes(b"parts are saved besides")
    compare(imported, s, tensors, folder)


def test_members_are_those_of_the_tails_in_order(imported, tmp_path):
    """A constant in the last bias of each tail comes out as its own member."""
    s = settings()
    tensors = random_tensors(s)
    for m in range(3):
        tensors[f"tails.0.tail_nets.{m}.1.weight"].zero_()
        tensors[f"tails.0.tail_nets.{m}.1.bias"].copy_(torch.arange(12) + 100 * m)
    members = imported(write(tmp_path / "checkpoint", s, tensors))(random_inputs(s))["velocity_u"]
    assert members.shape == (2, math.prod((2, 2, 2, 3)), 3, 12)
    for m in range(3):
        assert (members[:, :, m] == torch.arange(12) + 100 * m).all()
