"""Tokens join to what was cut; interpolation in time is NumPy's, without a look at what is blank."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atmorep.sampling.tokens import detokenise, interpolate_in_time, per_point, tokenise

sizes = st.tuples(*[st.integers(1, 4)] * 3)
counts = st.tuples(*[st.integers(1, 3)] * 3)
masks = st.tuples(st.integers(1, 2), st.integers(1, 2), st.integers(1, 5), *[st.integers(1, 2)] * 2).flatmap(
    lambda shape: arrays(bool, shape)
)


def numbered(batch, levels, count, size):
    """Every grid point has a number of its own."""
    shape = (batch, levels, *(c * s for c, s in zip(count, size, strict=True)))
    return np.arange(np.prod(shape)).reshape(shape)


def tokens_of(values, size):
    """Tokens as a tensor."""
    return torch.from_numpy(tokenise(values, size))


@settings(max_examples=60, deadline=None)
@given(batch=st.integers(1, 2), levels=st.integers(1, 3), count=counts, size=sizes)
def test_joining_undoes_cutting(batch, levels, count, size):
    values = numbered(batch, levels, count, size)
    tokens = tokenise(values, size)
    assert tokens.shape == (batch, levels, *count, np.prod(size))
    assert np.array_equal(detokenise(torch.from_numpy(tokens), size), values)


@settings(max_examples=30, deadline=None)
@given(count=counts, size=sizes, data=st.data())
def test_order_of_tokens_and_of_points_in_a_token(count, size, data):
    values = numbered(1, 2, count, size)
    tokens = tokenise(values, size)
    k, i, j = (data.draw(st.integers(0, c - 1)) for c in count)
    t, h, w = (data.draw(st.integers(0, s - 1)) for s in size)
    point = (t * size[1] + h) * size[2] + w
    expected = values[0, 1, k * size[0] + t, i * size[1] + h, j * size[2] + w]
    assert tokens[0, 1, k, i, j, point] == expected


@settings(max_examples=30, deadline=None)
@given(blank=masks, size=sizes)
def test_a_token_mask_covers_the_points_of_its_tokens(blank, size):
    points = per_point(torch.from_numpy(blank), size)
    assert np.array_equal(points.numpy(), np.kron(blank, np.ones((1, 1, *size), bool)))


def reference(values, hidden):
    """np.interp at every place; 0 where nothing is known. Both (B, L, T, H, W)."""
    filled = np.zeros_like(values)
    steps = np.arange(values.shape[2])
    for place in np.ndindex(*values.shape[:2], *values.shape[3:]):
        series = (*place[:2], slice(None), *place[2:])
        known = ~hidden[series]
        if known.any():
            filled[series] = np.interp(steps, steps[known], values[series][known])
    return filled


@settings(max_examples=60, deadline=None)
@given(blank=masks, size=st.tuples(*[st.integers(1, 3)] * 3), seed=st.integers(0, 99))
def test_interpolation_is_that_of_numpy(blank, size, seed):
    shape = (*blank.shape[:2], *(c * s for c, s in zip(blank.shape[2:], size, strict=True)))
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    hidden = np.kron(blank, np.ones((1, 1, *size), bool))
    seen = tokens_of(np.where(hidden, np.float32("nan"), values), size)  # any look at it would show
    filled, _ = interpolate_in_time(seen, torch.from_numpy(blank), size)
    # float32 has 6e-8 of relative precision; the weights are quotients of numbers up to 15
    np.testing.assert_allclose(detokenise(filled, size).numpy(), reference(values, hidden), atol=2e-6)
    known = torch.from_numpy(~blank)
    assert torch.equal(filled[known], seen[known])  # unchanged, bit for bit


def test_what_is_linear_in_time_is_recovered_between_known_tokens_and_repeated_outside():
    size, blank = (3, 1, 1), torch.tensor([1, 0, 1, 1, 0, 1], dtype=torch.bool)
    values = torch.arange(18.0).view(1, 1, 18, 1, 1) / 2 - 3
    filled, _ = interpolate_in_time(tokens_of(values.numpy(), size), blank.view(1, 1, 6, 1, 1), size)
    series = detokenise(filled, size).flatten()
    assert torch.allclose(series[3:15], values.flatten()[3:15], atol=1e-6)
    assert torch.equal(series[:3], values.flatten()[3].expand(3))
    assert torch.equal(series[15:], values.flatten()[14].expand(3))


@settings(max_examples=60, deadline=None)
@given(blank=masks)
def test_distances_are_token_steps_to_the_nearest_known(blank):
    size, count = (2, 1, 1), blank.shape[2]
    tokens = torch.zeros(*blank.shape, 2)
    _, distance = interpolate_in_time(tokens, torch.from_numpy(blank), size)
    for place in np.ndindex(blank.shape):
        known = [k for k in range(count) if not blank[(*place[:2], k, *place[3:])]]
        before = min((place[2] - k for k in known if k <= place[2]), default=count)
        after = min((k - place[2] for k in known if k >= place[2]), default=count)
        assert distance[place].tolist() == [before, after]
