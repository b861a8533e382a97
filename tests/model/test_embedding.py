"""Every token is told from every other, on grids that are not square."""

import numpy as np
import pytest
import torch

from atmorep.model.embedding import Embedding, harmonic_encoding, published_encoding


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


def test_values_information_and_position_enter_where_they_should():
    tokens = (1, 2, 3, 2)
    layer = Embedding(volume=6, features=10, dim=16, info_dim=4, tokens=tokens, position="harmonic")
    source, info = torch.randn(2, 12, 6), torch.randn(2, 12, 10)
    embedded = layer(source, info)
    assert embedded.shape == (2, 12, 16)
    content = embedded - harmonic_encoding(tokens, 16)
    assert torch.allclose(content[..., :12], layer.values(source), atol=1e-6)
    assert torch.allclose(content[..., 12:], layer.info(info), atol=1e-6)


def test_the_encoding_is_no_weight():
    layer = Embedding(volume=6, features=10, dim=16, info_dim=4, tokens=(1, 2, 3, 2), position="harmonic")
    assert set(layer.state_dict()) == {"values.weight", "values.bias", "info.weight", "info.bias"}
