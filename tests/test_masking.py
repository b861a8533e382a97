"""What is hidden: exact numbers, right shares, the same steps and, where asked for, places in all fields."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from atmorep.config import parse
from atmorep.masking import (
    BLANK,
    Forecast,
    Masked,
    Mixture,
    Shares,
    Span,
    Spatial,
    TemporalInterpolation,
    hide,
    training_masks,
)

GRID = (2, 4, 3, 5)  # levels, time, latitude, longitude: 60 tokens a level
SIZE = (2, 3, 4)
STEPS = GRID[1] * SIZE[0]


def selections(scheme, number, grid=GRID):
    rngs = (np.random.default_rng(n) for n in range(number))
    return np.stack([scheme.draw(rng).select(grid, rng) for rng in rngs])


grids = st.tuples(*[st.integers(1, 7)] * 4)
seeds = st.integers(0, 2**32)


@settings(max_examples=100, deadline=None)
@given(grid=grids, ratio=st.floats(0, 1), seed=seeds)
def test_a_ratio_hides_exactly_that_share_of_each_level(grid, ratio, seed):
    mask = Masked(ratio, ratio).select(grid, np.random.default_rng(seed))
    tokens = math.prod(grid[1:])
    assert mask.shape == grid
    assert (mask.sum((1, 2, 3)) == max(1, round(ratio * tokens))).all()


@settings(max_examples=100, deadline=None)
@given(grid=grids, ratio=st.floats(0, 1), seed=seeds, patches=st.integers(1, 4))
def test_missing_places_are_patches_of_exactly_that_share_at_all_times_and_levels(grid, ratio, seed, patches):
    strategy = Spatial(ratio, ratio, patches, (9 * grid[2], 5 * grid[3]))
    mask = strategy.select(grid, np.random.default_rng(seed))
    assert mask.shape == grid
    assert (mask == mask[:1, :1]).all()
    assert mask[0, 0].sum() == max(1, round(ratio * grid[2] * grid[3]))
    assert label(mask[0, 0])[1] <= patches  # connected by sides
    assert strategy.shares == BLANK


def test_many_patches_are_places_here_and_there():
    strategy = Spatial(0.25, 0.25, 500, (90, 90))
    parts = [label(strategy.select((1, 1, 10, 10), np.random.default_rng(n))[0, 0])[1] for n in range(50)]
    assert np.mean(parts) > 5  # of 25 places


def test_every_place_is_missing_now_and_then():
    masks = selections(Spatial(0.1, 0.5, 1, (30, 50)), 500)
    assert masks.any(0).all()
    assert len({mask.tobytes() for mask in masks}) > 100


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


def test_how_tokens_are_hidden_is_disjoint_within_the_selected_and_of_the_configured_shares():
    selected = np.random.default_rng(0).random((4, 20, 20, 20)) < 0.5
    drawn = hide(selected, Shares(0.6, 0.2, 0.1), np.random.default_rng(1))
    assert np.array_equal(drawn.selected, selected)
    parts = np.stack(drawn[1:])
    assert parts.sum(0).max() == 1
    assert not (parts & ~selected).any()
    shares = parts.sum((1, 2, 3, 4)) / selected.sum()
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.1], atol=4 * 0.5 / np.sqrt(selected.sum()))


PERIOD = {"train": "2001", "validation": "2002", "test": "2003"}
SETTINGS = {
    "experiment": "masks",
    "source": {"kind": "simulated"},
    "data": {
        "levels": {"type": "pressure", "values": [850, 500, 250]},
        "periods": {k: [{"start": f"{y}-01-01", "end": f"{y}-01-31"}] for k, y in PERIOD.items()},
    },
    "network": {
        "neighbourhood": {"time": 12, "latitude": 12, "longitude": 24},
        "token_size": {"time": 3, "latitude": 6, "longitude": 6},
    },
    "evaluation": {},
}


def drawn(fields, seed=0, **masking):
    """Masks of one sample of fields, as batches draw them: fields of one key from one generator."""
    config = parse({**SETTINGS, "fields": fields, "masking": masking})
    return {
        field: masks.draw(
            np.random.default_rng(seed), np.random.default_rng([seed, *"".join(masks.key).encode()])
        )
        for field, masks in training_masks(config, fields).items()
    }


def points(mask):
    """A mask (L, K, I, J) of the neighbourhood, spread over its grid points."""
    for axis, count in enumerate((12, 12, 24), start=1):
        mask = mask.repeat(count // mask.shape[axis], axis=axis)
    return mask


SYNCHRONISED = {"synchronised": True, "ratio_min": 0.2, "masked": 0.5, "noised": 0.2, "coarsened": 0.2}


def of_size(time, latitude, longitude, **keys):
    return {"token_size": {"time": time, "latitude": latitude, "longitude": longitude}, **keys}


@settings(max_examples=40, deadline=None)
@given(seed=seeds, spatial=st.sampled_from([0, 1]))
def test_synchronised_fields_of_one_token_grid_are_hidden_alike(seed, spatial):
    masks = drawn({"u": {}, "v": {}, "t": {"levels": [250, 850]}}, seed, spatial=spatial, **SYNCHRONISED)
    for u, v, t in zip(*masks.values(), strict=True):
        assert np.array_equal(u, v)
        assert np.array_equal(u[[2, 0]], t)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, spatial=st.sampled_from([0, 1]))
def test_synchronised_fields_of_nested_tokens_are_hidden_at_the_same_points(seed, spatial):
    fields = {"u": of_size(1, 2, 3), "v": of_size(3, 6, 6), "t": of_size(3, 2, 6)}
    for parts in zip(*drawn(fields, seed, spatial=spatial, **SYNCHRONISED).values(), strict=True):
        assert all(np.array_equal(points(parts[0]), points(other)) for other in parts[1:])


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_synchronised_token_is_hidden_with_the_coarse_one_its_centre_is_in(seed):
    fields = {"u": of_size(2, 4, 8), "v": of_size(4, 6, 6), "t": of_size(4, 6, 8)}  # t: coarsest in each
    masks = drawn(fields, seed, **SYNCHRONISED)
    coarse = points(masks["t"].selected)
    for field in ("u", "v"):
        size = fields[field]["token_size"].values()
        centres = coarse[:, *(slice(n // 2, None, n) for n in size)]
        assert np.array_equal(masks[field].selected, centres)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_of_synchronised_fields_the_one_with_the_smaller_ratio_lacks_a_part_of_what_the_other_lacks(seed):
    fields = {"u": {"masking": {"ratio_max": 0.4, "ratio_min": 0.4}}, "v": {}}
    masks = drawn(fields, seed, synchronised=True, ratio_min=0.75, ratio_max=0.75)
    u, v = (masks[field].selected for field in fields)
    assert (u <= v).all()
    assert (u.sum((1, 2, 3)), v.sum((1, 2, 3))) == (pytest.approx(13), pytest.approx(24))


def test_fields_that_are_not_synchronised_are_hidden_independently():
    both = np.mean(
        [
            np.logical_and(
                *(m.selected for m in drawn({"u": {}, "v": {}}, n, ratio_min=0.5, ratio_max=0.5).values())
            )
            for n in range(200)
        ]
    )
    assert both == pytest.approx(0.25, abs=4 * 0.5 / np.sqrt(200 * 3 * 32))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, kind=st.sampled_from(["forecast", "temporal_interpolation", "spatial"]))
def test_what_a_task_hides_is_hidden_wholly_whatever_random_tokens_look_like(seed, kind):
    """A noised future would be seen."""
    masks = drawn({"u": {}, "2t": {}}, seed, masked=0.1, noised=0.4, coarsened=0.4, **{kind: 1})
    for mask in masks.values():
        assert np.array_equal(mask.blank, mask.selected)
        assert not (mask.noised | mask.coarsened).any()


@settings(max_examples=40, deadline=None)
@given(seed=seeds, synchronised=st.booleans())
def test_a_field_may_have_ratios_and_shares_of_its_own(seed, synchronised):
    own = {"ratio_min": 0.9, "ratio_max": 0.9, "masked": 0, "noised": 1, "coarsened": 0}
    fields, common = {"u": {"masking": own}, "v": {}}, {"ratio_min": 0.5, "ratio_max": 0.5, "masked": 1}
    masks = drawn(fields, seed, synchronised=synchronised, noised=0, coarsened=0, **common)
    assert (masks["u"].noised.sum((1, 2, 3)) == round(0.9 * 32)).all()
    assert not (masks["u"].blank | masks["v"].noised).any()
    assert (masks["v"].blank.sum((1, 2, 3)) == 16).all()


@pytest.mark.parametrize(("hours", "counts"), [(3, {3}), (4, {3, 6}), (9, {3, 6, 9}), (None, {3, 6})])
def test_forecasts_are_as_long_as_configured_and_half_of_the_neighbourhood_by_default(hours, counts):
    masks = [drawn({"u": {}}, n, forecast=1, forecast_hours=hours)["u"] for n in range(60)]
    assert {int(points(mask.blank)[0, :, 0, 0].sum()) for mask in masks} == counts


@settings(max_examples=40, deadline=None)
@given(seed=seeds, kind=st.sampled_from(["forecast", "temporal_interpolation"]), synchronised=st.booleans())
def test_fields_of_a_sample_lack_the_same_steps(seed, kind, synchronised):
    fields = {"u": of_size(1, 2, 3), "v": of_size(2, 6, 6), "2t": of_size(4, 4, 6)}
    lacking = [
        points(mask.blank).all((0, 2, 3))
        for mask in drawn(fields, seed, synchronised=synchronised, **{kind: 1}).values()
    ]
    assert lacking[0].any()
    assert all(np.array_equal(one, other) for one, other in pairwise(lacking))
