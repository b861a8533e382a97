"""What is hidden and how: exact numbers, right shares, true means."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.config import Masking
from atmorep.masking import (
    Forecast,
    Masked,
    Mixture,
    Span,
    TemporalInterpolation,
    coarsen,
    distort,
    draw_distortion,
)

GRID = (2, 4, 3, 5)  # levels, time, latitude, longitude: 60 tokens a level
SIZE = (2, 3, 4)
STEPS = GRID[1] * SIZE[0]


def selections(scheme, number, grid=GRID):
    rngs = (np.random.default_rng(n) for n in range(number))
    return np.stack([scheme.draw(rng).select(grid, rng) for rng in rngs])


@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.9, 1.0])
def test_a_ratio_hides_exactly_that_share_of_each_level(ratio):
    masks = selections(Masked(ratio, ratio), 50)
    assert (masks.sum((2, 3, 4)) == round(ratio * 60)).all()


def test_at_least_one_token_is_selected():
    assert (selections(Masked(0, 0), 20).sum((2, 3, 4)) == 1).all()


def test_drawn_ratios_hide_their_mean_share_everywhere():
    number = 4000
    masks = selections(Masked(0.0, 0.9), number)
    shares = masks.mean((2, 3, 4))[:, 0]
    # standard deviation of a uniform share is 0.9 / sqrt(12) = 0.26; four standard errors
    assert abs(shares.mean() - 0.45) < 4 * 0.26 / np.sqrt(number)
    assert shares.max() == pytest.approx(0.9, abs=0.02)
    assert np.abs(masks.mean(0) - 0.45).max() < 5 * 0.5 / np.sqrt(number)  # no place is favoured


def test_levels_are_drawn_independently():
    masks = selections(Masked(0.5, 0.5), 1000)
    both = (masks[:, 0] & masks[:, 1]).mean()
    assert both == pytest.approx(0.25, abs=4 * 0.5 / np.sqrt(masks[:, 0].size))


def test_samples_draw_different_tokens():
    masks = selections(Masked(0.5, 0.5), 100)
    assert len({mask.tobytes() for mask in masks}) == 100


def test_forecasts_hide_the_last_steps_of_all_levels():
    masks = selections(Forecast(2, 2, STEPS), 1000)
    steps = masks.any((1, 3, 4))
    assert (masks == steps[:, None, :, None, None]).all()
    assert set(map(tuple, steps.tolist())) == {(0, 0, 0, 1), (0, 0, 1, 1)}
    assert steps[:, 2].mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(1000))


def test_temporal_interpolation_hides_one_inner_step_of_all_levels():
    masks = selections(TemporalInterpolation(2, STEPS), 1000)
    steps = masks.any((1, 3, 4))
    assert (masks == steps[:, None, :, None, None]).all()
    assert set(map(tuple, steps.tolist())) == {(0, 1, 0, 0), (0, 0, 1, 0)}


@given(
    span=st.tuples(st.integers(0, 23), st.integers(1, 24)), tokens=st.sampled_from([1, 2, 3, 4, 6, 12, 24])
)
def test_a_span_hides_every_token_that_holds_a_step_of_it(span, tokens):
    first, stop = span[0], max(span[0] + 1, span[1])
    mask = Span(first, stop, 24).select((2, tokens, 1, 2), np.random.default_rng(0))
    held = [any(first <= step < stop for step in part) for part in np.split(np.arange(24), tokens)]
    assert (mask == np.array(held)[None, :, None, None]).all()


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.sampled_from([1, 2, 3, 4, 6]), min_size=1, max_size=3), seed=st.integers(0, 1000))
@pytest.mark.parametrize("kind", ["forecast", "interpolation"])
def test_fields_of_any_token_length_lack_the_same_steps(kind, sizes, seed):
    """A forecast that sees another field's future is none."""
    beat = math.lcm(*sizes)
    scheme = Forecast(beat, 2, 36) if kind == "forecast" else TemporalInterpolation(beat, 36)
    lacking = []
    for size in sizes:
        mask = scheme.draw(np.random.default_rng(seed)).select(
            (1, 36 // size, 1, 1), np.random.default_rng(size)
        )
        lacking.append(mask.repeat(size, axis=1).ravel())
    assert all(np.array_equal(lacking[0], other) for other in lacking)
    assert not lacking[0][0]
    assert lacking[0][-1] == (kind == "forecast")


def test_a_mixture_draws_each_scheme_with_its_share():
    number = 3000
    schemes = (Masked(0.4, 0.4), Forecast(2, 1, STEPS), TemporalInterpolation(2, STEPS))
    masks = selections(Mixture(schemes, (0.5, 0.3, 0.2)), number)
    steps = masks.mean((1, 3, 4))
    found = {
        0.3: (steps == [0, 0, 0, 1]).all(1).mean(),
        0.2: ((steps == [0, 1, 0, 0]) | (steps == [0, 0, 1, 0])).all(1).mean(),
        0.5: (masks.sum((2, 3, 4)) == 24).all(1).mean(),
    }
    for share, observed in found.items():
        assert observed == pytest.approx(share, abs=4 * 0.5 / np.sqrt(number))
    assert sum(found.values()) == pytest.approx(1)


def test_distortions_are_disjoint_within_the_selected_and_of_the_configured_shares():
    config = Masking(masked=0.6, noised=0.2, coarsened=0.1)
    selected = np.random.default_rng(0).random((4, 20, 20, 20)) < 0.5
    drawn = draw_distortion(selected, config, np.random.default_rng(1))
    parts = np.stack([drawn.blank, drawn.noised, drawn.coarsened])
    assert parts.sum(0).max() == 1
    assert not (parts & ~selected).any()
    shares = parts.sum((1, 2, 3, 4)) / selected.sum()
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.1], atol=4 * 0.5 / np.sqrt(selected.sum()))


def distorted(config, seed=0):
    """Tokens, what was drawn for them, and what the model sees."""
    tokens = torch.randn(3, *GRID, int(np.prod(SIZE)), generator=torch.Generator().manual_seed(seed))
    rngs = [np.random.default_rng([seed, n]) for n in range(3)]
    drawn = [draw_distortion(Masked(0.5, 0.5).select(GRID, rng), config, rng) for rng in rngs]
    return tokens, drawn, distort(tokens, drawn, config, SIZE)


def test_tokens_are_changed_only_as_drawn():
    config = Masking(masked=0.4, noised=0.3, coarsened=0.2, coarsening=2, noise_std=0.5)
    tokens, drawn, seen = distorted(config)
    before = tokens.clone()
    blank, noised, coarsened = (
        torch.from_numpy(np.stack([getattr(d, name) for d in drawn]))
        for name in ("blank", "noised", "coarsened")
    )
    assert (seen[blank] == 0).all()
    assert torch.equal(seen[coarsened], coarsen(tokens[coarsened], 2, SIZE))
    unchanged = ~(blank | noised | coarsened)
    assert torch.equal(seen[unchanged], tokens[unchanged])
    noise = (seen - tokens)[noised]
    assert noise.std().item() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * noise.numel()))
    assert abs(noise.mean().item()) < 4 * 0.5 / np.sqrt(noise.numel())
    assert torch.equal(tokens, before)


def test_a_sample_is_distorted_alike_whatever_its_batch():
    config = Masking(masked=0.4, noised=0.4, coarsened=0.2)
    tokens, drawn, seen = distorted(config)
    for n in range(3):
        alone = distort(tokens[n : n + 1], drawn[n : n + 1], config, SIZE)
        assert torch.equal(alone[0], seen[n])


def test_what_lies_under_blank_tokens_never_shows():
    config = Masking(masked=0.5, noised=0.25, coarsened=0.25)
    tokens, drawn, seen = distorted(config)
    blank = torch.from_numpy(np.stack([d.blank for d in drawn]))
    other = torch.where(blank.unsqueeze(-1), torch.full_like(tokens, float("nan")), tokens)
    assert torch.equal(distort(other, drawn, config, SIZE), seen)


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
