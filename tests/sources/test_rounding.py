import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atmorep.sources.rounding import round_to, rounding_step, tolerance


@given(
    values=arrays(np.float64, 20, elements=st.floats(-1e5, 1e5)),
    step=st.floats(1e-9, 1e3),
)
def test_error_stays_below_half_a_step_or_float32(values, step):
    out = np.empty(values.shape, np.float32)
    power = rounding_step(step)
    assert power <= step < 2 * power
    round_to(values, power, out=out)
    assert np.abs(values - out).max() <= tolerance(power, np.abs(values).max())


@given(values=arrays(np.float32, 20, elements=st.floats(-1e5, 1e5, width=32)))
def test_without_a_step_nothing_changes(values):
    out = np.empty_like(values)
    round_to(values, rounding_step(0.0), out=out)
    np.testing.assert_array_equal(out, values)


def test_rounded_values_are_multiples_of_the_step():
    values, out = np.random.default_rng(0).normal(280, 20, 1000), np.empty(1000, np.float32)
    round_to(values, 2.0**-9, out=out)
    np.testing.assert_array_equal(out * 2**9 % 1, 0)


def test_ties_go_to_even():
    out = np.empty(3, np.float32)
    round_to(np.array([0.5, 1.5, 2.5]), 1.0, out=out)
    assert out.tolist() == pytest.approx([0, 2, 2])
