"""Smoothness and distribution of whole states, on fields of which they are known."""

import numpy as np
import pytest

from atmorep.evaluation.patterns import MOMENTS, SPREADS, Patterns, correlation, effective_resolution
from atmorep.evaluation.statistics import Sample
from atmorep.grids import Grid

GRID = Grid(50.0, 5.0, 0.1, (48, 64))
PATTERNS = Patterns(GRID, np.linspace(-5, 5, 201))
EVERYWHERE = np.ones(GRID.shape)


def wave(row, column):
    """A wave of the cosine transform, of variance 1/2 (1/4 where it varies along both axes)."""
    rows, columns = (np.arange(n) + 0.5 for n in GRID.shape)
    return np.cos(np.pi * row * rows / 48)[:, None] * np.cos(np.pi * column * columns / 64)


def metrics(target, members):
    means = PATTERNS.of(Sample(target, members), EVERYWHERE)
    return {name: float(metric(means, len(members))) for name, metric in PATTERNS.metrics()}


def test_the_power_of_a_wave_is_in_its_band():
    """12 half waves over 64 columns are a wavelength of 2 x 64 / 12 columns."""
    power = PATTERNS.power(wave(0, 12)[None], np.ones(GRID.shape, bool))
    length = 2 * 64 / 12 * PATTERNS.spacing[1]
    band = np.searchsorted(PATTERNS.bands, length) - 1
    assert power[band] == pytest.approx(0.5)
    assert power.sum() == pytest.approx(0.5)


def test_spacing_is_in_km():
    assert PATTERNS.spacing == pytest.approx((11.12, 11.12 * np.cos(np.radians(50 - 2.35))), abs=0.01)


def test_what_is_too_smooth():
    """Of a long and a short wave the prediction lacks half of the short one."""
    long, short = wave(4, 0), wave(0, 32)
    found = metrics(long + short, (long + short / 2)[None])
    bands = [name for name in found if name.startswith("power_ratio@")]
    ratios = [found[name] for name in bands if found[name] < 10]
    assert min(ratios) == pytest.approx(0.25)
    assert found["variance_ratio"] == pytest.approx((1 + 0.25) / 2)
    assert found["gradient_ratio"] == pytest.approx(0.25, abs=0.05)  # nearly all is of the short wave


def test_members_keep_what_their_mean_lacks():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(17, *GRID.shape))
    found = metrics(noise[0], noise[1:])
    assert found["variance_ratio"] == pytest.approx(1, abs=0.05)
    assert found["mean_variance_ratio"] == pytest.approx(1 / 16, rel=0.1)
    assert found["gradient_ratio"] == pytest.approx(1, abs=0.05)


def test_gaps_are_alike_in_prediction_and_target():
    target = wave(4, 0) + wave(0, 32)
    target[10:20, 5:30] = np.nan
    prediction = np.nan_to_num(target, nan=1e6)
    found = metrics(target, prediction[None])
    assert {name: value for name, value in found.items() if "ratio" in name and np.isfinite(value)} == {
        name: pytest.approx(1) for name in found if "ratio" in name and np.isfinite(found[name])
    }
    target[:30] = np.nan
    few = metrics(target, prediction[None])
    assert few["variance_ratio"] == pytest.approx(1)
    assert all(np.isnan(value) for name, value in few.items() if "power" in name)


def test_gradient_of_a_slope():
    """One unit a row: the difference of rows counts, that of columns is zero."""
    slope = np.arange(48.0)[:, None] * np.ones(64)
    north_south, east_west = 47 * 64, 48 * 63
    expected = north_south / PATTERNS.spacing[0] ** 2 / (north_south + east_west)
    assert PATTERNS.gradient(slope[None], slope >= 0) == pytest.approx(expected)


RING = Patterns(Grid(30.0, 0.0, 2.0, (31, 180)), np.linspace(-5, 5, 201))


def test_waves_along_a_ring_have_the_wavelength_of_their_row():
    """Wave number 20 is 2001 km long at the equator, 1733 km at 30 degrees: all in the band 1779 to 2516 or
    the one before."""
    states = np.cos(np.radians(20 * RING.grid.longitude)) * np.ones((1, 31, 1))
    power = RING.power(states, np.ones(RING.grid.shape, bool))
    length = 360 * 111.195 * np.cos(np.radians(RING.grid.latitude)) / 20
    area = RING.grid.row_area / RING.grid.row_area.sum()
    expected = [
        area[(low <= length) & (length < high)].sum() / 2
        for low, high in zip(RING.bands[:-1], RING.bands[1:], strict=True)
    ]
    assert sum(expected) == pytest.approx(0.5)
    np.testing.assert_allclose(power, expected, atol=1e-12)


def test_a_ring_has_no_edge():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(3, 31, 180))
    known = np.ones(RING.grid.shape, bool)
    turned = RING.power(np.roll(states, 71, axis=2), known)
    np.testing.assert_allclose(RING.power(states, known), turned)


def test_bands_of_a_ring_are_named_in_full():
    assert "1060" in RING.band_labels
    assert not [label for label in RING.band_labels if "e" in label]


def test_effective_resolution():
    """Variances are 1, 1, 0.71, 0.35, 0 of the target's from long waves to short: between 80 and 40 km."""
    bands = 10.0 * np.sqrt(2) * 2.0 ** np.arange(6)  # middles 20, 40, ... 320 km

    def found(*shares):
        means = {"power_of_target": np.full(5, 3.0), "power_of_mean": 3.0 * np.array(shares[::-1])}
        return float(effective_resolution(means, 1, "mean", bands))

    assert found(1, 1, 2**-0.5, 2**-1.5, 0) == pytest.approx(np.sqrt(80 * 40))
    assert found(1, 1, 2**-0.5, 2**-1.5, 1) == pytest.approx(np.sqrt(80 * 40))  # alike by chance
    assert found(1, 1, 2**0.5, 2**1.5, 99) == pytest.approx(np.sqrt(80 * 40))  # noise is no resolution
    assert found(1.9, 1, 1, 1, 0.6) == pytest.approx(bands[0])
    assert found(0.4, 1, 1, 1, 1) == pytest.approx(bands[-1])
    assert np.isnan(found(*[np.nan] * 5))


def test_errors_by_spread():
    """Half of the cells have spread 1.1 and error 1.1, the other half spread 3.3 and error 2.2."""
    wide = np.arange(64) < 32
    centre, half = np.where(wide, 2.2, 1.1), np.where(wide, 3.3, 1.1) / np.sqrt(2)
    sample = Sample(np.zeros(64), np.stack([centre + half, centre - half]))
    found = PATTERNS.errors(sample, np.ones(64))
    narrow, broad, error = (int(np.searchsorted(SPREADS, value)) - 1 for value in (1.1, 3.3, 2.2))
    assert found["spread_error"][narrow, narrow] == pytest.approx(0.5)
    assert found["spread_error"][broad, error] == pytest.approx(0.5)
    curve = [metric for name, metric in PATTERNS.metrics() if name.startswith("rmse_at_spread")]
    assert [float(curve[place](found, 2)) for place in (narrow, broad)] == pytest.approx([1.1, 2.2])
    one = PATTERNS.errors(Sample(sample.target, sample.members[:1]), np.ones(64))
    assert np.isnan(one["spread_error"]).all()


def test_quantiles():
    rng = np.random.default_rng(0)
    members = rng.normal(size=(8, *GRID.shape))
    found = metrics(np.zeros(GRID.shape), members)
    for share in (0.05, 0.5, 0.95, 0.99):
        assert found[f"quantile@{share:g}"] == pytest.approx(np.quantile(members, share), abs=0.02)


@pytest.mark.parametrize(("factor", "expected"), [(2.0, 1), (-0.1, -1)])
def test_correlation(factor, expected):
    target = 280 + wave(3, 5)
    sample = Sample(target, (280 + factor * wave(3, 5))[None])
    means = {name: statistic.compute(sample).mean() for name, statistic in MOMENTS.items()}
    assert correlation(means, 1) == pytest.approx(expected)
    constant = Sample(target, np.full((1, *GRID.shape), 280.0))
    means = {name: statistic.compute(constant).mean() for name, statistic in MOMENTS.items()}
    assert np.isnan(correlation(means, 1))
