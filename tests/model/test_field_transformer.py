"""The transformer as a whole: size, shapes, order of blocks, gradients, and values that must not drift."""

import math

import pytest
import torch

from atmorep.config import Network
from atmorep.losses import crps_gaussian
from atmorep.model.field_transformer import FieldShape, FieldTransformer
from atmorep.sampling.info import FEATURES
from atmorep.sampling.tokens import interpolate_in_time

TOKENS, SIZE, DIM = (2, 4, 3, 2), (2, 3, 4), 128
VOLUME = 24
NETWORK = {
    "embed_dim": DIM,
    "info_dim": 4,
    "heads": 4,
    "encoder_blocks": 3,
    "decoder_blocks": 2,
    "tails": 3,
    "dropout": 0.0,
}
GUESSES = ["none", "temporal"]


def network(**changes):
    return Network(**{**NETWORK, **changes})


def transformer(**changes):
    torch.manual_seed(0)
    return FieldTransformer(FieldShape(TOKENS, SIZE, DIM), network(**changes))


def inputs(batch=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    blank = torch.rand(batch, *TOKENS, generator=random) < 0.5
    source = torch.randn(batch, *TOKENS, VOLUME, generator=random)
    return source * ~blank.unsqueeze(-1), torch.randn(batch, *TOKENS, FEATURES, generator=random), blank


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


@pytest.mark.parametrize(("encoders", "decoders"), [(3, 3), (4, 2)])
def test_decoder_blocks_attend_to_encoder_blocks_deepest_first(encoders, decoders):
    model = transformer(encoder_blocks=encoders, decoder_blocks=decoders)
    encoded, attended = [], []
    for block in model.encoder:
        block.register_forward_hook(lambda _, __, output: encoded.append(output))
    for block in model.decoder:
        block.register_forward_pre_hook(lambda _, arguments: attended.append(arguments[1]))
    model(*inputs())
    assert len(encoded) == encoders
    assert len(attended) == decoders
    for k, other in enumerate(attended):
        assert other is encoded[encoders - 1 - k]


def test_tokens_of_the_same_content_are_told_apart_by_position():
    model = transformer().eval()
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
    "none": [0.2308691, -0.1728779, 0.175285, 0.0001817, 0.1419765],
    "temporal": [0.073269, 0.6027675, 0.4734769, -0.0100648, 0.5869972],
}


@pytest.mark.parametrize("guess", GUESSES)
def test_the_output_of_given_weights_does_not_drift(guess):
    """Weights are named waves, so that neither initialisation nor order of construction matters."""
    model = transformer(first_guess=guess).eval()
    with torch.no_grad():
        for n, (_, parameter) in enumerate(sorted(model.named_parameters())):
            parameter.copy_(waves(*parameter.shape, start=n) / math.sqrt(parameter.shape[-1]))
        blank = (torch.arange(math.prod(TOKENS)) % 3 == 0).view(1, *TOKENS)
        source = waves(1, *TOKENS, VOLUME, start=0) * ~blank.unsqueeze(-1)
        members = model(source, waves(1, *TOKENS, FEATURES, start=1), blank)
    found = [members[0, 0, 0, 0, 0, 0, 0], members[0, 1, 2, 1, 0, 1, 7], members[0, 0, 3, 2, 1, 2, 23]]
    found += [members.mean(), members.std()]
    # float32 through five blocks; other libraries of linear algebra differ by about 1e-6
    torch.testing.assert_close(torch.stack(found), torch.tensor(GOLDEN[guess]), atol=1e-5, rtol=0)
