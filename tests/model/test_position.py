"""Every token is told from every other, on grids that are not square."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atmorep.config import Network
from atmorep.model.position import harmonic_encoding, position, published_encoding
from atmorep.model.rotary import Rotation, Unturned, places, rotation
from atmorep.sampling.info import token_information


@pytest.mark.parametrize("tokens", [(1, 3, 2, 5), (2, 3, 5, 2), (2, 4, 3, 7)])
def test_each_token_is_encoded_by_its_own_indices(tokens):
    """The released code divides the row by the number of time steps, which fits square grids only."""
    dim = 512
    encoding = harmonic_encoding(tokens, dim).double().numpy()
    frequency = 2 * np.pi * np.arange(0, dim, 2) / dim
    for n in range(len(encoding)):
        level, time, row, column = np.unravel_index(n, tokens)
        even = np.sin(time * frequency) + 0.5 * np.sin(8 * row * frequency)
        odd = np.cos(level * frequency) + 0.5 * np.cos(8 * column * frequency)
        np.testing.assert_allclose(encoding[n, 0::2], even, atol=1e-4)  # float32 angles up to 300
        np.testing.assert_allclose(encoding[n, 1::2], odd, atol=1e-4)


@pytest.mark.parametrize("tokens", [(1, 12, 6, 1), (5, 1, 1, 12)])
@pytest.mark.parametrize("dim", [64, 96, 512, 1024])
def test_no_two_tokens_are_encoded_alike_at_any_width(tokens, dim):
    """Time and row share the even features, level and column the odd ones: two tests are enough."""
    encoding = harmonic_encoding(tokens, dim).double()
    distance = (encoding[:, None] - encoding).norm(dim=-1).fill_diagonal_(torch.inf)
    assert distance.min() > 0.5


@pytest.mark.parametrize("tokens", [(1, 3, 2, 5), (2, 3, 5, 2), (2, 4, 3, 3)])
def test_the_published_encoding_keeps_the_wrong_row(tokens):
    """Which is the place in the horizontal grid over its rows; the frequencies are those of the width."""
    dim = 32
    encoding = published_encoding(tokens, dim).double().numpy()
    frequency = 2 * np.pi * np.arange(0, dim, 2) / dim
    for n in range(len(encoding)):
        level, time, row, column = np.unravel_index(n, tokens)
        wrong = (n % (tokens[2] * tokens[3])) // tokens[2]
        assert tokens[2] != tokens[3] or wrong == row
        even = np.sin(time * frequency) + 0.5 * np.sin(8 * wrong * frequency)
        odd = np.cos(level * frequency) + 0.5 * np.cos(8 * column * frequency)
        np.testing.assert_allclose(encoding[n, 0::2], even, atol=1e-4)
        np.testing.assert_allclose(encoding[n, 1::2], odd, atol=1e-4)


def encoding(kind, tokens, info, dim=64, form="circle"):
    return position(tokens, dim, Network(position=kind, information=form))(info)


def information(longitude, form="circle", latitude=(50.0, 40.0)):
    """Information of (1, 1, rows, columns) tokens, flat."""
    times = np.array([[["2001-01-01"]]], "datetime64[m]")
    place = (np.array(x, float).reshape(1, -1, 1) for x in (latitude, longitude))
    info = token_information(form, times, np.array([500.0]), *place, 0.25)
    return torch.from_numpy(info).flatten(1, 4)


class TestGlobal:
    """Half a sine of latitude and longitude on the globe."""

    @pytest.mark.parametrize("form", ["circle", "published"])
    def test_it_is_its_formula(self, form):
        tokens, latitude, longitude = (1, 1, 2, 3), (50.0, -40.0), (10.0, 130.0, 300.0)
        found = encoding("global", tokens, information(longitude, form, latitude), 64, form)[0]
        own = found - harmonic_encoding(tokens, 64)
        for n in range(6):
            phi, lam = np.radians(latitude[n // 3]), np.radians(longitude[n % 3])
            for k in range(32):
                wave, phase = 1 + k // 2 % 12, math.pi / 2 * (k % 2)
                np.testing.assert_allclose(own[n, 2 * k], 0.5 * np.sin(wave * phi + phase), atol=1e-4)
                np.testing.assert_allclose(own[n, 2 * k + 1], 0.5 * np.sin(wave * lam + phase), atol=1e-4)

    @pytest.mark.parametrize("form", ["circle", "published"])
    def test_nothing_jumps_where_longitudes_begin_again(self, form):
        west, east = (
            encoding("global", (1, 1, 2, 1), information([x], form), 64, form) for x in (0, 359.999)
        )
        assert torch.allclose(west, east, atol=1e-3)

    def test_no_two_places_on_the_globe_are_encoded_alike(self):
        everywhere = np.arange(0.0, 360.0, 15.0)
        info = information(everywhere, latitude=np.arange(-82.5, 90, 15))
        alone = [encoding("global", (1, 1, 1, 1), info[:, [n]])[0] for n in range(info.shape[1])]
        assert torch.pdist(torch.cat(alone)).min() > 0.3


def test_a_learned_table_has_a_row_a_token_and_is_learned():
    table = position((2, 3, 2, 5), 64, Network(position="learned"))
    added = table(torch.zeros(2, 60, 10))
    assert added.shape == (60, 64)
    assert torch.pdist(added).min() > 0
    added.square().sum().backward()
    assert (table.table.grad != 0).all()
    assert added.std() < 0.1


class TestRotary:
    """Places turn queries and keys."""

    @given(
        st.lists(st.floats(-2, 2), min_size=4, max_size=4),
        st.sampled_from([8, 10, 16, 64]),
        st.integers(0, 99),
    )
    def test_scores_depend_on_where_tokens_are_to_each_other(self, shift, width, seed):
        random = torch.Generator().manual_seed(seed)
        q, k = torch.randn(2, 1, 1, 7, width, dtype=torch.float64, generator=random)
        place = torch.rand(7, 4, dtype=torch.float64, generator=random)
        turn = Rotation(width).double()
        moved = place + torch.tensor(shift, dtype=torch.float64)
        scores, shifted = (turn(q, at) @ turn(k, at).mT for at in (place, moved))
        assert torch.allclose(scores, shifted, atol=1e-9)

    @pytest.mark.parametrize("width", [8, 16, 18])
    @pytest.mark.parametrize("axis", range(4))
    def test_a_step_along_any_axis_changes_scores(self, width, axis):
        q, k = torch.randn(2, 1, 1, 1, width, generator=torch.Generator().manual_seed(1))
        there = torch.zeros(1, 4).index_fill(1, torch.tensor([axis]), 1 / 12)
        turn, here = Rotation(width), torch.zeros(1, 4)
        assert (turn(q, here) @ turn(k, there).mT - q @ k.mT).abs() > 1e-3

    def test_nothing_gets_longer(self):
        x, place = torch.randn(2, 3, 7, 16), torch.rand(2, 7, 4)
        turned = Rotation(16)(x, place)
        assert torch.allclose(turned.norm(dim=-1), x.norm(dim=-1), rtol=1e-5)

    def test_each_sample_has_places_of_its_own(self):
        x, place = torch.randn(2, 3, 7, 16), torch.rand(2, 7, 4)
        for n in range(2):
            assert torch.equal(Rotation(16)(x, place)[n], Rotation(16)(x, place[n])[n])

    def test_fields_of_different_tokens_have_places_in_common(self):
        small, large = places((1, 6, 4, 2), [0.5]), places((1, 3, 2, 1), [0.5])
        inner = small.view(3, 2, 2, 2, 1, 2, 4).mean((1, 3, 5))  # of the small tokens in each large one
        assert torch.allclose(inner.flatten(0, 2), large)
        assert small.shape == (48, 4)

    def test_only_the_rotary_encoding_turns(self):
        assert isinstance(rotation(Network(position="rotary"), 16), Rotation)
        for kind in ("harmonic", "published", "global", "learned"):
            assert isinstance(rotation(Network(position=kind), 16), Unturned)
        assert not encoding("rotary", (1, 1, 1, 1), information([0.0], latitude=[0.0])).any()
