"""Damped persistence on a series whose memory is known."""

import numpy as np
import pytest

from atmorep.errors import DataError
from atmorep.evaluation import damping
from atmorep.evaluation.climatology import Climatology
from atmorep.store.reader import FieldReader

RHO = np.array([0.9, 0.5])
"""Autocorrelation of a step, of each level."""


def autoregressive(hours, level, latitude, longitude):
    """x(t + 1) = ρ x(t) + sqrt(1 - ρ²) noise of unit variance at each point, on a mean of 280."""
    rho = RHO[:, None, None]
    noise = np.random.default_rng(0).normal(size=(len(hours), 2, latitude.size, longitude.size))
    states = [noise[0]]
    for new in noise[1:]:
        states.append(rho * states[-1] + np.sqrt(1 - rho**2) * new)
    return 280 + np.stack(states)


def test_the_share_that_lasts_is_the_power_of_the_autocorrelation(make_store):
    config = make_store(autoregressive, "t")
    reader = FieldReader(config, "t")
    mean = Climatology(tuple(range(1, 13)), 6, np.full((12, 4, 2, 7, 9), 280, np.float32))
    found = damping.fit(config, "t", reader, mean, [6, 12, 24])
    # 63 points and 160 times: standard error below 0.01 times the square root of the memory
    np.testing.assert_allclose(found, RHO ** np.array([[1], [2], [4]]), atol=0.03)


def test_the_damped_anomaly_is_added_to_the_climatology():
    last = np.array([[[284.0]], [[276.0]]], np.float32)  # two levels
    climatology = np.array([280, 281, 282], np.float32)[:, None, None, None] * np.ones(
        (1, 2, 1, 1), np.float32
    )
    remaining = np.array([[0.5, 1.0], [0.25, 0.0]])
    found = damping.damped(last, climatology, remaining)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[..., 0, 0], [[283, 277], [283, 282]])


def test_a_lead_longer_than_the_training_periods_is_refused(make_store):
    config = make_store(autoregressive, "t")
    mean = Climatology(tuple(range(1, 13)), 6, np.full((12, 4, 2, 7, 9), 280, np.float32))
    with pytest.raises(DataError, match="t: no training period holds states 984 h apart"):
        damping.fit(config, "t", FieldReader(config, "t"), mean, [6, 41 * 24])
