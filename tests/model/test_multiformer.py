"""The transformer as a whole: size, shapes, order of blocks, gradients, and values that must not drift."""

import math
from dataclasses import replace

import pytest
import torch
from small_network import (
    COUPLED,
    DIM,
    FEATURES,
    GUESSES,
    NETWORK,
    SHAPES,
    SIZE,
    TOKENS,
    VOLUME,
    all_inputs,
    inputs,
    multiformer,
    network,
    trained,
    transformer,
)

from atmorep.losses import crps_gaussian
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.tokens import interpolate_in_time


def perceptron(d, factor):
    return d * factor * d + factor * d + factor * d * d + d


@pytest.mark.parametrize("changes", [{}, {"encoder_blocks": 4, "decoder_blocks": 4, "tails": 5}])
@pytest.mark.parametrize("factor", [2, 4])
def test_the_number_of_parameters_is_that_of_the_architecture(changes, factor):
    c, d, info = network(**changes), DIM, NETWORK["info_dim"]
    embedding = (VOLUME + 1) * (d - info) + (FEATURES + 1) * info
    encoder = 3 * d * d + d * d + perceptron(d, factor)
    heads = 2 * 2 * (d // c.heads)  # norms of queries and keys
    decoder = 3 * d * d // 2 + d * d // 2 + d * d + d * d + heads + perceptron(d, factor)
    tail = c.tails * (2 * d + d * VOLUME + VOLUME)
    expected = embedding + c.encoder_blocks * encoder + c.decoder_blocks * decoder + tail
    model = transformer(**changes, mlp_factor=factor)
    assert sum(p.numel() for p in model.parameters()) == expected


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("batch", [1, 3])
def test_every_member_predicts_every_point_of_every_token(guess, batch):
    members = transformer(first_guess=guess)(*inputs(batch))
    assert members.shape == (batch, *TOKENS, 3, VOLUME)
    assert torch.isfinite(members).all()


@pytest.mark.parametrize(
    ("encoders", "rate", "sources"),
    [
        (3, 1.0, [2, 1, 0]),
        (4, 1.0, [3, 2]),
        (5, 1.7, [4, 3, 1]),
        (2, 0.0, [1, 1, 1]),
        (2, 0.5, [1, 1, 0, 0]),  # deeper than the encoder
    ],
)
def test_decoder_blocks_attend_to_encoder_blocks_deepest_first(encoders, rate, sources):
    model = transformer(encoder_blocks=encoders, decoder_blocks=len(sources), decoder_cross_rate=rate)
    encoded, attended = [], []
    for block in model.encoder:
        block.register_forward_hook(lambda _, __, output: encoded.append(output))
    for block in model.decoder:
        block.register_forward_pre_hook(lambda _, arguments: attended.append(arguments[1]))
    model(*inputs())
    assert len(encoded) == encoders
    assert [next(n for n, one in enumerate(encoded) if one is other) for other in attended] == sources


def test_a_field_that_is_not_predicted_informs_the_others_only():
    torch.manual_seed(0)
    shapes = {**SHAPES, "t": replace(SHAPES["t"], predicted=False)}
    model, given = trained(Multiformer(shapes, COUPLED, network())), all_inputs()
    assert not any(name.startswith(("fields.t.decoder", "fields.t.tail")) for name in model.state_dict())
    before = model(given)
    assert model.predicted == tuple(before) == ("u", "v")
    given["t"] = given["t"]._replace(source=given["t"].source + 1)
    assert not torch.allclose(before["u"], model(given)["u"], atol=1e-4)
    with pytest.raises(ValueError, match="not predicted"):
        model(given, ["t"])


def test_tokens_of_the_same_content_are_told_apart_by_position():
    model = transformer(position="harmonic").eval()
    source, info = torch.ones(1, *TOKENS, VOLUME), torch.ones(1, *TOKENS, FEATURES)
    predicted = model(source, info, torch.zeros(1, *TOKENS, dtype=torch.bool))[0].flatten(0, 3).flatten(1)
    distance = (predicted[:, None] - predicted).norm(dim=-1).fill_diagonal_(torch.inf)
    assert distance.min() > 1e-2


def test_a_token_is_predicted_from_every_visible_one():
    model = transformer()
    source, info, blank = inputs(1)
    source.requires_grad_()
    model(source, info, blank)[0, 0, 0, 0, 0].sum().backward()
    assert (source.grad.abs().amax(-1) > 0).all()


def test_without_tails_the_prediction_is_the_first_guess():
    model, (source, info, blank) = transformer(first_guess="temporal"), inputs()
    for parameter in (model.tail.weight, model.tail.bias):
        torch.nn.init.zeros_(parameter)
    expected, _ = interpolate_in_time(source, blank, SIZE)
    for member in model(source, info, blank).unbind(-2):
        assert torch.equal(member, expected)


def test_training_from_a_first_guess_starts_close_to_it():
    model, (source, info, blank) = transformer(first_guess="temporal"), inputs()
    guess, _ = interpolate_in_time(source, blank, SIZE)
    departure = model(source, info, blank) - guess.unsqueeze(-2)
    assert 0 < departure.square().mean().sqrt() < 0.1


@pytest.mark.parametrize("guess", GUESSES)
@pytest.mark.parametrize("qk_norm", [False, True])
def test_the_gradient_reaches_every_parameter(guess, qk_norm):
    model = transformer(first_guess=guess, qk_norm=qk_norm)
    members = model(*inputs())
    crps_gaussian(members, torch.randn(2, *TOKENS, VOLUME)).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name
        assert torch.isfinite(parameter.grad).all(), name


@pytest.mark.parametrize("guess", GUESSES)
def test_bf16_autocast_agrees_with_float32(guess):
    model, batch = transformer(first_guess=guess).eval(), inputs()
    exact = model(*batch)
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(*batch).float()
    # bf16 has 8 bits of precision, and its errors add up over five blocks
    assert (rough - exact).square().mean().sqrt() < 0.03 * exact.std()


def test_dropout_acts_in_training_only():
    model, batch = transformer(dropout=0.5), inputs()
    assert not torch.equal(model(*batch), model(*batch))
    model.eval()
    assert torch.equal(model(*batch), model(*batch))


def waves(*shape, start):
    """Numbers that no random generator has a part in."""
    count = math.prod(shape)
    return torch.sin(0.7 * torch.arange(count, dtype=torch.float64) + start).float().view(shape)


GOLDEN = {
    ("harmonic", "none"): [0.2308691, -0.1728779, 0.175285, 0.0001817, 0.1419765],
    ("harmonic", "temporal"): [0.073269, 0.6027675, 0.4734769, -0.0100648, 0.5869972],
    ("rotary", "none"): [0.2447601, -0.1708937, 0.1621035, 0.000303, 0.1407917],
    ("rotary", "temporal"): [0.0774186, 0.5983889, 0.4669468, -0.0100668, 0.5877253],
}


@pytest.mark.parametrize(("position", "guess"), GOLDEN)
def test_the_output_of_given_weights_does_not_drift(position, guess):
    """Weights are named waves, so that neither initialisation nor order of construction matters."""
    model = transformer(position=position, first_guess=guess).eval()
    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(model.named_parameters())):
            parameter.copy_(waves(*parameter.shape, start=n) / math.sqrt(parameter.shape[-1]))
        blank = (torch.arange(math.prod(TOKENS)) % 3 == 0).view(1, *TOKENS)
        source = waves(1, *TOKENS, VOLUME, start=0) * ~blank.unsqueeze(-1)
        members = model(source, waves(1, *TOKENS, FEATURES, start=1), blank)
    found = [members[0, 0, 0, 0, 0, 0, 0], members[0, 1, 2, 1, 0, 1, 7], members[0, 0, 3, 2, 1, 2, 23]]
    found += [members.mean(), members.std()]
    # float32 through five blocks; other libraries of linear algebra differ by about 1e-6
    torch.testing.assert_close(torch.stack(found), torch.tensor(GOLDEN[position, guess]), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes", [{}, {"qk_norm": True}, {"first_guess": "temporal"}, {"coupling_heads": 2}]
)
def test_a_coupled_model_predicts_each_field_on_its_own_tokens(changes):
    members = trained(multiformer(**changes))(all_inputs())
    for name, shape in SHAPES.items():
        assert members[name].shape == (2, *shape.tokens, 3, math.prod(shape.token_size))


def test_before_it_is_trained_a_coupling_changes_nothing():
    coupled, alone = multiformer().eval(), {f: multiformer([f]).eval() for f in SHAPES}
    for name, model in alone.items():
        model.load_state_dict({k: v for k, v in coupled.state_dict().items() if k in model.state_dict()})
        alone[name] = model(all_inputs([name]))[name]
    for name, members in coupled(all_inputs()).items():
        assert torch.equal(members, alone[name])


def influence(model, field):
    """Fields whose source has an influence on the prediction of ``field``."""
    given = {name: i._replace(source=i.source.requires_grad_()) for name, i in all_inputs().items()}
    model(given, [field])[field].sum().backward()
    gradients = {name: i.source.grad for name, i in given.items()}
    return {name for name, g in gradients.items() if g is not None and g.abs().max() > 0}


def test_a_trained_coupling_sees_the_fields_it_names_and_no_other():
    model = trained(multiformer(coupled={"u": ["v"], "v": [], "t": ["u"]}, encoder_blocks=2))
    seen = {field: influence(model, field) for field in SHAPES}
    # t attends to u, which attends to v a block earlier
    assert seen == {"u": {"u", "v"}, "v": {"v"}, "t": {"t", "u", "v"}}


def test_a_block_sees_what_the_block_before_made_of_the_others():
    """One block deep, nothing of v reaches t by way of u, whatever the order of the fields."""
    shallow = {"encoder_blocks": 1, "decoder_blocks": 1}
    model = trained(multiformer(coupled={"u": ["v"], "v": [], "t": ["u"]}, **shallow))
    assert influence(model, "t") == {"t", "u"}


def test_the_order_of_the_fields_does_not_matter():
    model, turned = trained(multiformer()).eval(), multiformer(["t", "v", "u"]).eval()
    turned.load_state_dict(model.state_dict())
    expected, found = model(all_inputs()), turned(all_inputs())
    for name in SHAPES:
        assert torch.allclose(found[name], expected[name], atol=1e-6)


def test_only_wanted_fields_are_predicted_and_the_same():
    model = trained(multiformer()).eval()
    everything, some = model(all_inputs()), model(all_inputs(), ["t"])
    assert list(some) == ["t"]
    assert torch.equal(some["t"], everything["t"])


def test_the_gradient_reaches_every_parameter_of_a_coupled_model():
    model = trained(multiformer(first_guess="temporal"))
    members = model(all_inputs()).values()
    sum(crps_gaussian(m, torch.zeros_like(m[..., 0, :])).mean() for m in members).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad != 0).any(), name
