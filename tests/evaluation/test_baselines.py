import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.evaluation.baselines import BASELINES, harmonic, linear, persistence

SHAPE = (8, 2, 3, 4)


def random_case(seed, share):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=SHAPE).astype(np.float32)
    return values, rng.random(SHAPE) < share, rng.normal(size=SHAPE).astype(np.float32)


def nearest_visible(series, hidden, step):
    earlier = [t for t in range(step, -1, -1) if not hidden[t]]
    later = [t for t in range(step, len(hidden)) if not hidden[t]]
    return earlier, later


@given(st.integers(0, 2**20), st.floats(0, 1))
def test_persistence_and_linear_by_definition(seed, share):
    values, hidden, climatology = random_case(seed, share)
    persisted, interpolated = persistence(values, hidden, climatology), linear(values, hidden, climatology)
    for index in np.ndindex(SHAPE):
        step, place = index[0], index[1:]
        series, mask = values[:, *place], hidden[:, *place]
        earlier, later = nearest_visible(series, mask, step)
        if mask.all():
            assert persisted[index] == interpolated[index] == climatology[index]
            continue
        assert persisted[index] == series[(earlier or later)[0]]
        known = np.flatnonzero(~mask)
        np.testing.assert_allclose(
            interpolated[index], np.interp(step, known, series[known]), rtol=1e-5, atol=1e-6
        )


@settings(max_examples=25)
@given(st.integers(0, 2**20))
def test_hidden_values_are_not_looked_at(seed):
    values, hidden, climatology = random_case(seed, 0.6)
    blanked = np.where(hidden, np.nan, values).astype(np.float32)
    for baseline in BASELINES.values():
        np.testing.assert_array_equal(
            baseline(values, hidden, climatology), baseline(blanked, hidden, climatology)
        )


def test_linear_is_exact_where_time_is_linear():
    steps = np.arange(SHAPE[0], dtype=np.float32)[:, None, None, None]
    values = np.broadcast_to(3 + 2 * steps, SHAPE).astype(np.float32)
    hidden = np.zeros(SHAPE, bool)
    hidden[3:6] = True
    np.testing.assert_allclose(linear(values, hidden, values * 0), values, rtol=1e-6)


def test_harmonic_is_exact_on_anomalies_that_are_harmonic():
    """x² - y² and linear functions solve Laplace's equation, the discrete one too."""
    y, x = np.mgrid[:9, :11].astype(np.float32)
    anomaly = np.stack([x**2 - y**2, 3 * x - y])[:, None].repeat(2, axis=1)  # step, level, row, column
    climatology = np.random.default_rng(0).normal(size=anomaly.shape).astype(np.float32)
    hidden = np.zeros(anomaly.shape, bool)
    hidden[..., 2:6, 3:8] = True
    values = climatology + anomaly
    filled = harmonic(np.where(hidden, 1e6, values).astype(np.float32), hidden, climatology)
    np.testing.assert_allclose(filled, values, atol=1e-3)


def test_harmonic_stays_between_what_is_around_and_needs_something_there():
    values, hidden, climatology = random_case(3, 0.5)
    hidden[:] = hidden[0, 0]
    filled = harmonic(values, hidden, np.zeros_like(values))
    visible = np.where(hidden, np.nan, values)
    assert (filled[~hidden] == values[~hidden]).all()
    assert (filled <= np.nanmax(visible, (2, 3), keepdims=True) + 1e-5).all()
    assert (filled >= np.nanmin(visible, (2, 3), keepdims=True) - 1e-5).all()
    np.testing.assert_array_equal(harmonic(values, np.ones_like(hidden), climatology), climatology)
