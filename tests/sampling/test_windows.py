"""Windows: a pure function of (seed, epoch, index), unbiased, and whole."""

import datetime as dt
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from atmorep.config import Extent, Period
from atmorep.grids import Grid
from atmorep.sampling.windows import WindowSampler, sample_generator, valid_starts
from atmorep.timeaxis import TimeAxis

GLOBE = Grid(90.0, 0.0, 2.5, (73, 144))
COARSE = Grid(90.0, 0.0, 10.0, (19, 36))
EUROPE = Grid(72.5, -12.5, 2.5, (17, 21))
STARTS = np.array([3, 4, 5, 90])
FIRST = dt.date(2001, 1, 1)


def draws(grid, rows, columns, number, purpose="train"):
    sampler = WindowSampler(grid, Extent(time=4, latitude=rows, longitude=columns), STARTS)
    return [sampler.draw(sample_generator(purpose, 0, 0, n)) for n in range(number)]


def test_a_sample_depends_on_seed_epoch_and_index_only():
    sampler = WindowSampler(GLOBE, Extent(time=4, latitude=9, longitude=9), STARTS)
    keys = [("train", s, e, i) for s in (0, 1) for e in range(5) for i in range(20)]
    forwards = {key: sampler.draw(sample_generator(*key)) for key in keys}
    backwards = {key: sampler.draw(sample_generator(*key)) for key in reversed(keys)}
    assert forwards == backwards
    assert len(set(forwards.values())) > 190  # of 200: two may coincide by chance


@pytest.mark.parametrize("change", [("validation", 0, 0), ("train", 1, 0), ("train", 0, 1)])
def test_purposes_seeds_and_epochs_are_independent(change):
    number = 2000
    one = np.array([sample_generator("train", 0, 0, n).random() for n in range(number)])
    other = np.array([sample_generator(*change, n).random() for n in range(number)])
    assert not np.isin(one, other).any()
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(number)  # four standard errors


def test_the_share_of_centres_near_the_poles_is_that_of_their_area():
    number, rows = 10_000, 9  # centres at 80 to -80 degrees, each in a ring 2.5 degrees wide
    centre = np.array([GLOBE.latitude[w.row + rows // 2] for w in draws(GLOBE, rows, 9, number)])
    share = np.mean(np.abs(centre) > 61.25)  # the edge of a ring
    area = 1 - np.sin(np.radians(61.25)) / np.sin(np.radians(81.25))
    bound = 4 * np.sqrt(area * (1 - area) / number)  # binomial, four standard errors
    assert abs(share - area) < bound
    uniform_in_latitude = np.mean(np.abs(np.arange(-80, 81, 2.5)) > 61.25)
    assert uniform_in_latitude - area > 5 * bound  # what the bound tells it from


@pytest.mark.parametrize(("grid", "rows"), [(GLOBE, 9), (GLOBE, 8), (COARSE, 1), (EUROPE, 6)])
def test_every_row_is_drawn_in_proportion_to_the_area_around_its_centre(grid, rows):
    number, places, half = 6000, grid.shape[0] - rows + 1, grid.resolution / 2
    centre = grid.north - grid.resolution * (np.arange(places) + (rows - 1) / 2)
    upper, lower = np.minimum(centre + half, 90), np.maximum(centre - half, -90)
    area = np.sin(np.radians(upper)) - np.sin(np.radians(lower))
    found = np.bincount([w.row for w in draws(grid, rows, 9, number)], minlength=places)
    assert chisquare(found, number * area / area.sum()).pvalue > 1e-3


@pytest.mark.parametrize(("grid", "places"), [(GLOBE, 144), (EUROPE, 21 - 9 + 1)])
def test_columns_and_starts_are_drawn_uniformly(grid, places):
    drawn = draws(grid, 6, 9, 6000)
    columns = np.bincount([w.column for w in drawn])
    assert len(columns) == places  # beyond Greenwich too where the grid is periodic
    assert chisquare(columns).pvalue > 1e-3
    starts, times = np.unique([w.start for w in drawn], return_counts=True)
    assert np.array_equal(starts, STARTS)
    assert chisquare(times).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    rows=st.integers(1, 12),
    columns=st.integers(2, 36),
    north=st.sampled_from([90.0, 55.0]),
)
def test_windows_lie_within_the_grid(data, rows, columns, north):
    grid = Grid(north, 0.0, 10.0, (rows, columns))
    extent = Extent(
        time=1, latitude=data.draw(st.integers(1, rows)), longitude=data.draw(st.integers(1, columns))
    )
    sampler = WindowSampler(grid, extent, STARTS)
    for n in range(20):
        window = sampler.draw(sample_generator("train", 0, 0, n))
        assert 0 <= window.row <= rows - extent.latitude
        assert 0 <= window.column < columns
        assert grid.periodic or window.column <= columns - extent.longitude


@st.composite
def records(draw):
    """An axis, periods of it in any order, and which of its times are there."""
    step, days = draw(st.sampled_from([1, 6, 12, 24])), draw(st.integers(2, 12))
    edges = sorted(draw(st.sets(st.integers(0, days), min_size=2)))
    pairs = [(a, b - 1) for a, b in itertools.pairwise(edges) if draw(st.booleans())]
    day = dt.timedelta(days=1)
    periods = [Period(start=FIRST + a * day, end=FIRST + b * day) for a, b in draw(st.permutations(pairs))]
    axis = TimeAxis(np.datetime64(FIRST, "h"), step, days * 24 // step)
    gaps = draw(st.sets(st.integers(0, axis.size - 1), max_size=4))
    available = np.ones(axis.size, bool)
    available[list(gaps)] = False
    return axis, periods, available


@settings(max_examples=150, deadline=None)
@given(record=records(), steps=st.integers(1, 30))
def test_starts_are_all_those_whose_window_is_whole_within_one_period(record, steps):
    axis, periods, available = record
    whole = []
    for period in periods:
        days = axis.times().astype("datetime64[D]")
        usable = (np.datetime64(period.start) <= days) & (days <= np.datetime64(period.end)) & available
        whole += [s for s in range(axis.size - steps + 1) if usable[s : s + steps].all()]
    assert valid_starts(axis, periods, steps, available).tolist() == whole
