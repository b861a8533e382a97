"""Options of the transformer: how tokens are told apart, and encoders that see visible ones only."""

import math

import pytest
import torch
from small_network import (
    DIM,
    FEATURES,
    SHAPES,
    TOKENS,
    VOLUME,
    all_inputs,
    inputs,
    multiformer,
    trained,
    transformer,
)

from atmorep.losses import crps_gaussian
from atmorep.model.inputs import Inputs

CHOICES = [
    *({"position": kind} for kind in ("harmonic", "published", "global", "learned")),
    *({"information_place": place} for place in ("added", "reappended", "class_token")),
]


@pytest.mark.parametrize("encoder_tokens", ["all", "visible"])
@pytest.mark.parametrize("changes", CHOICES, ids=lambda changes: "-".join(changes.values()))
class TestPositionAndInformation:
    """Whatever the encoding, and wherever the information enters."""

    def test_every_point_is_predicted_and_the_gradient_reaches_every_parameter(self, changes, encoder_tokens):
        model = trained(multiformer(**changes, encoder_tokens=encoder_tokens))
        members = model(all_inputs())
        for name, shape in SHAPES.items():
            assert members[name].shape == (2, *shape.tokens, 3, math.prod(shape.token_size))
        sum(crps_gaussian(m, torch.zeros_like(m[..., 0, :])).mean() for m in members.values()).backward()
        for name, parameter in model.named_parameters():
            assert (parameter.grad != 0).any(), name

    def test_samples_of_a_batch_do_not_depend_on_each_other(self, changes, encoder_tokens):
        model = trained(multiformer(**changes, encoder_tokens=encoder_tokens)).eval()
        given = all_inputs()
        given["u"].blank[0, :, 1:] = True  # far fewer in one sample than in the other
        both = model(given)
        for n in range(2):
            alone = model({f: Inputs(*(x[n : n + 1] for x in i)) for f, i in given.items()})
            for name in SHAPES:
                assert torch.allclose(both[name][n], alone[name][0], atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [{}, *(c for c in CHOICES if c != {"position": "published"})],
    ids=lambda c: "-".join(c.values()),
)
def test_blank_tokens_of_the_same_information_are_told_apart(changes):
    """The published encoding takes some for the same, since its row is wrong."""
    model, (source, info, blank) = transformer(**changes).eval(), inputs(1)
    predicted = model(source, torch.zeros_like(info), blank)[blank].flatten(1)
    assert torch.pdist(predicted).min() > 1e-3


def test_the_rotary_encoding_tells_apart_by_the_others_only():
    """Where all tokens are alike each has the same to look at, wherever it is."""
    model = transformer().eval()
    nothing = torch.zeros(1, *TOKENS, dtype=torch.bool)
    predicted = model(torch.ones(1, *TOKENS, VOLUME), torch.ones(1, *TOKENS, FEATURES), nothing)
    assert torch.allclose(predicted, predicted[:, :1, :1, :1, :1].expand_as(predicted), atol=1e-5)


class TestVisibleOnly:
    """An encoder of visible tokens only."""

    def test_what_is_not_blank_at_all_passes_as_with_all_tokens(self):
        model, other = transformer(encoder_tokens="visible").eval(), transformer().eval()
        source, info, _ = inputs()
        nothing = torch.zeros(2, *TOKENS, dtype=torch.bool)
        assert torch.allclose(model(source, info, nothing), other(source, info, nothing), atol=1e-6)

    def test_the_encoder_processes_as_many_tokens_as_are_visible_at_most(self):
        model, (source, info, blank) = transformer(encoder_tokens="visible"), inputs()
        sizes = []
        model.encoder[0].register_forward_hook(
            lambda _, arguments, __: sizes.append(arguments[0].values.shape)
        )
        model(source, info, blank)
        assert sizes == [(2, (~blank).flatten(1).sum(1).max(), DIM)]

    @pytest.mark.parametrize("coupled", [False, True])
    def test_samples_of_a_batch_do_not_depend_on_each_other(self, coupled):
        """Padding must not show."""
        fields = ("u", "v", "t") if coupled else ("u",)
        model = trained(multiformer(fields, encoder_tokens="visible")).eval()
        given = all_inputs(fields)
        given["u"].blank[0, :, 1:] = True  # far fewer in one sample than in the other
        both = model(given)
        for n in range(2):
            alone = model({f: Inputs(*(x[n : n + 1] for x in i)) for f, i in given.items()})
            for name in fields:
                assert torch.allclose(both[name][n], alone[name][0], atol=1e-5)

    def test_a_neighbourhood_without_any_visible_token_is_predicted(self):
        model, (source, info, blank) = transformer(encoder_tokens="visible"), inputs()
        blank[0] = True
        assert torch.isfinite(model(source, info, blank)).all()
        assert torch.isfinite(model(source, info, torch.ones_like(blank))).all()

    def test_visible_tokens_are_seen_and_blank_ones_are_not(self):
        model, (source, info, blank) = transformer(encoder_tokens="visible"), inputs(1)
        source.requires_grad_()
        model(source, info, blank)[0, 0, 0, 0, 0].sum().backward()
        assert (source.grad.abs().amax(-1)[~blank] > 0).all()
