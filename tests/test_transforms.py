"""Transforms and their inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmorep.fields import FIELDS
from atmorep.transforms import LOG_SCALE, forward, inverse

RANGES = {"tp": (0.0, 0.3), "t": (150.0, 350.0), "q": (0.0, 0.05), "u": (-150.0, 150.0)}


@pytest.mark.parametrize("name", RANGES)
@given(share=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_the_inverse_undoes_the_transform(name, share):
    low, high = RANGES[name]
    values = (low + (high - low) * np.array(share)).astype(np.float32)
    # log1p and expm1 in float32: a few units in the last place of numbers up to log(3001) = 8
    np.testing.assert_allclose(inverse(name, forward(name, values)), values, rtol=2e-5, atol=1e-9)


def test_precipitation_is_linear_below_and_logarithmic_above_its_scale():
    depth = np.array([0, 1e-7, LOG_SCALE, 1e-2], np.float32)
    np.testing.assert_allclose(forward("tp", depth), [0, 1e-3, np.log(2), np.log(101)], rtol=1e-3)


def test_values_below_zero_that_packing_leaves_count_as_zero():
    assert forward("tp", np.array([-1e-9], np.float32)) == 0


@pytest.mark.parametrize("name", FIELDS)
def test_results_respect_the_floor_of_the_field(name):
    low = inverse(name, np.array([-1e3], np.float32))
    assert low == (-1e3 if FIELDS[name].floor is None else FIELDS[name].floor)


@pytest.mark.parametrize("name", ["tp", "t"])
def test_arguments_stay_as_they_are(name):
    values = np.array([-1.0, 2.0], np.float32)
    forward(name, values)
    inverse(name, values)
    assert values.tolist() == [-1.0, 2.0]
