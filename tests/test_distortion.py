"""What the model sees of hidden tokens: nothing, noise, true means; and never what lies below."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.config import Masking
from atmorep.distortion import coarsen, distort
from atmorep.masking import Masked, Masks, Shares, hide

GRID = (2, 4, 3, 5)  # levels, time, latitude, longitude
SIZE = (2, 3, 4)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def masks_of(shares, seed=0, samples=3):
    rngs = [np.random.default_rng([seed, n]) for n in range(samples)]
    drawn = [hide(Masked(0.5, 0.5).select(GRID, rng), Shares(*shares), rng) for rng in rngs]
    return Masks(*(np.stack(parts) for parts in zip(*drawn, strict=True)))


def noise(seed=0, first=0):
    return lambda n: np.random.default_rng([seed, 1, first + n])


def test_tokens_are_changed_only_as_drawn():
    tokens, masks = normal(3, *GRID, 24), masks_of((0.4, 0.3, 0.2))
    before = tokens.clone()
    seen = distort(tokens, masks, noise(), Masking(coarsening=2, noise_std=0.5), SIZE)
    blank, noised, coarsened = (torch.from_numpy(mask) for mask in masks[1:])
    assert (seen[blank] == 0).all()
    assert torch.equal(seen[coarsened], coarsen(tokens[coarsened], 2, SIZE))
    unchanged = ~(blank | noised | coarsened)
    assert torch.equal(seen[unchanged], tokens[unchanged])
    added = (seen - tokens)[noised]
    assert added.std().item() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * added.numel()))
    assert abs(added.mean().item()) < 4 * 0.5 / np.sqrt(added.numel())
    assert torch.equal(tokens, before)


def test_a_sample_is_distorted_alike_whatever_its_batch():
    tokens, masks = normal(3, *GRID, 24), masks_of((0.4, 0.4, 0.2))
    seen = distort(tokens, masks, noise(), Masking(), SIZE)
    for n in range(3):
        one = Masks(*(mask[n : n + 1] for mask in masks))
        assert torch.equal(distort(tokens[n : n + 1], one, noise(first=n), Masking(), SIZE)[0], seen[n])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), blank=st.floats(0, 1))
def test_what_lies_under_blank_tokens_never_shows(seed, blank):
    tokens, masks = normal(3, *GRID, 24, seed=seed), masks_of((blank, (1 - blank) / 2, (1 - blank) / 2), seed)
    other = torch.where(torch.from_numpy(masks.blank)[..., None], normal(3, *GRID, 24, seed=seed + 1), tokens)
    seen, again = (distort(t, masks, noise(seed), Masking(), SIZE) for t in (tokens, other))
    assert torch.equal(seen, again)
    other[torch.from_numpy(masks.blank)] = float("nan")
    assert torch.equal(seen, distort(other, masks, noise(seed), Masking(), SIZE))


@settings(max_examples=80, deadline=None)
@given(size=st.tuples(*[st.integers(1, 7)] * 3), factor=st.integers(2, 9), count=st.integers(1, 3))
def test_coarsening_replaces_by_means_over_blocks(size, factor, count):
    tokens = torch.randn(count, int(np.prod(size)), generator=torch.Generator().manual_seed(0))
    images = tokens.view(-1, *size).numpy()
    expected = np.empty_like(images)
    for row in range(0, size[1], factor):
        for column in range(0, size[2], factor):
            block = (..., slice(row, row + factor), slice(column, column + factor))
            expected[block] = images[block].mean((-2, -1), keepdims=True)
    found = coarsen(tokens, factor, size).view(-1, *size).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)  # sums of up to 49 numbers in float32
