"""Values and token information enter where they should, and only those parts that are asked for."""

import pytest
import torch

from atmorep.config import Network
from atmorep.model.embedding import EMBEDDINGS, ClassToken, Information, Reappended
from atmorep.model.inputs import Tokens
from atmorep.sampling.info import COLUMNS, FEATURES


def network(**changes):
    return Network(**{"embed_dim": 16, "heads": 2, "info_dim": 4, **changes})


def embedding(place):
    return EMBEDDINGS[place](6, 16, network(information_place=place))


@pytest.fixture
def given():
    return torch.randn(2, 12, 6), torch.randn(2, 12, FEATURES["circle"])


@pytest.mark.parametrize("place", ["appended", "reappended"])
def test_information_is_appended_to_the_values(given, place):
    layer = embedding(place)
    embedded = layer(*given)
    assert embedded.shape == (2, 12, 16)
    assert torch.equal(embedded[..., :12], layer.values(given[0]))
    assert torch.equal(embedded[..., 12:], layer.info(given[1]))


def test_information_is_added_to_the_values(given):
    layer = embedding("added")
    assert torch.allclose(layer(*given), layer.values(given[0]) + layer.info(given[1]))
    assert layer(*given).shape == (2, 12, 16)


def test_values_are_alone_where_the_information_is_a_class_token(given):
    layer = embedding("class_token")
    assert torch.equal(layer(*given), layer.values(given[0]))


@pytest.mark.parametrize("form", COLUMNS)
@pytest.mark.parametrize("left_out", COLUMNS["circle"])
def test_a_part_that_is_left_out_has_no_influence_and_all_others_have(form, left_out):
    parts = tuple(part for part in COLUMNS[form] if part != left_out)
    info = torch.randn(1, 3, FEATURES[form]).requires_grad_()
    Information(network(information=form, information_parts=parts), 4)(info).square().sum().backward()
    reached = (info.grad != 0).any(1)[0]
    for part, columns in COLUMNS[form].items():
        assert all(reached[column] == (part != left_out) for column in columns)


def test_the_order_in_which_parts_are_named_does_not_matter():
    named = [Information(network(information_parts=p), 4) for p in (("level", "day"), ("day", "level"))]
    named[1].load_state_dict(named[0].state_dict())
    info = torch.randn(2, FEATURES["circle"])
    assert torch.equal(named[0](info), named[1](info))


def sequence(batch=2, number=5, present=None):
    values, start = torch.randn(2, batch, number, 16)
    return Tokens(values, torch.rand(number, 4), start, present)


class TestClassToken:
    """One token more, of the whole neighbourhood."""

    @pytest.mark.parametrize("present", [None, torch.tensor([[True] * 5, [True] * 3 + [False] * 2])])
    def test_it_stands_behind_the_others_and_leaves_them_as_they_were(self, present):
        token, tokens = ClassToken(network(), 16), sequence(present=present)
        joined = token.join(tokens, torch.randn(2, 12, FEATURES["circle"]))
        assert joined.values.shape == joined.embedded.shape == (2, 6, 16)
        assert joined.place.shape == (6, 4)
        assert joined.present is None if present is None else joined.present[:, -1].all()
        for before, after in zip(tokens, token.leave(joined), strict=True):
            assert after is None if before is None else torch.equal(before, after)

    def test_it_is_the_mean_information(self):
        token, info = ClassToken(network(), 16), torch.randn(2, 12, FEATURES["circle"])
        last = token.join(sequence(), info).values[:, -1]
        assert torch.allclose(last, token.info(info.mean(1)), atol=1e-6)

    def test_places_of_each_sample_stay_with_it(self):
        tokens = sequence()._replace(place=torch.rand(2, 5, 4))
        joined = ClassToken(network(), 16).join(tokens, torch.randn(2, 12, FEATURES["circle"]))
        assert torch.equal(joined.place[:, :-1], tokens.place)
        assert (joined.place[:, -1] == 0.5).all()


def test_what_is_reappended_is_the_information_as_it_was_embedded():
    tokens = sequence()
    again = Reappended(4)(tokens)
    assert torch.equal(again[..., :12], tokens.values[..., :12])
    assert torch.equal(again[..., 12:], tokens.embedded[..., 12:])
