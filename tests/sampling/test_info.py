"""Token information is continuous, of order one, and where it belongs."""

import numpy as np

from atmorep.sampling.info import FEATURES, token_information

YEAR, SEASON, SOLAR, LATITUDE, LONGITUDE, LEVEL, RESOLUTION = 0, [1, 2], [3, 4], 5, [6, 7], 8, 9


def info(times, latitude=(50.0,), longitude=(10.0,), levels=(137.0,), resolution=0.25, form="circle"):
    """Information of tokens of one point each, or of several where these are given as lists."""
    times, latitude, longitude = (
        np.array(points).reshape(1, len(points), -1)
        for points in (np.array(times, "datetime64[m]"), latitude, longitude)
    )
    return token_information(form, times, np.array(levels), latitude, longitude, resolution)[0]


def test_each_number_varies_along_its_own_axis_only():
    values = info(["2001-01-01T00", "2002-06-01T06"], (60.0, 40.0, -5.0), range(5), (96.0, 137.0))
    assert values.shape == (2, 2, 3, 5, FEATURES["circle"])
    assert values.dtype == np.float32
    axes = {YEAR: 1, LATITUDE: 2, LEVEL: 0} | dict.fromkeys(SEASON, 1) | dict.fromkeys(LONGITUDE, 3)
    for number, axis in axes.items():
        varies = [np.ptp(values[..., number], axis=a).max() > 0 for a in range(4)]
        assert varies == [a == axis for a in range(4)]
    np.testing.assert_allclose(values[0, 0, :, 0, LATITUDE], np.sin(np.radians([60, 40, -5])), rtol=1e-6)


def test_midnight_follows_23_h_and_january_december():
    late, next_day = info(["2003-12-31T23:30", "2004-01-01T00:30"])[0, :, 0, 0]
    # an hour is 15 degrees of the day's circle and 0.04 degrees of the year's
    assert np.linalg.norm((late - next_day)[SOLAR]) < 0.27
    assert np.linalg.norm((late - next_day)[SEASON]) < 0.02


def test_the_hour_is_local_solar_time():
    noon = info(["2001-03-01T12"], longitude=[0.0])[0, 0, 0, 0]
    for hour, longitude in (("00", 180.0), ("18", -90.0), ("18", 270.0)):
        there = info([f"2001-03-01T{hour}"], longitude=[longitude])[0, 0, 0, 0]
        np.testing.assert_allclose(there[SOLAR], noon[SOLAR], atol=1e-6)


def test_longitude_is_periodic():
    west, east = info(["2001-01-01"], longitude=[-0.001, 359.999])[0, 0, 0]
    np.testing.assert_allclose(west, east, atol=1e-6)


def test_all_numbers_are_of_order_one():
    values = info(["1940-01-01", "2040-12-31T23"], (90.0, -90.0), (-180.0, 359.0), (0.0, 137.0, 1000.0))
    assert np.abs(values).max() <= 10


def test_a_token_is_where_and_when_its_middle_is():
    wide = info([["2001-01-01T00", "2001-01-01T06"]], [[60.0, 50.0, 40.0]], [[350.0, 355.0, 360.0, 365.0]])
    point = info(["2001-01-01T03"], [50.0], [357.5])
    np.testing.assert_allclose(wide, point, atol=1e-6)


def test_the_published_form_is_that_of_the_released_sampler():
    """Last step, point behind the middle, latitude from the North Pole: facts of its multifield sampler."""
    values = info(
        np.array(["2020-02-29T23", "2021-01-01T00"], "M8[h]")[:, None] - np.array([2, 1, 0]),
        [[30.5, 30.25, 30.0], [-89.5, -89.75, -90.0]],
        [[-0.5, -0.25, 0.0, 0.25]],
        (96.0, 137.0),
        form="published",
    )
    assert values.shape == (2, 2, 2, 1, FEATURES["published"])
    assert values[0, 0, 0, 0].tolist() == [2020, 31 + 28, 23, 96, 59.75, 0, 96, 0.25]
    assert values[1, 1, 1, 0].tolist() == [2021, 0, 0, 137, 179.75, 0, 137, 0.25]
    west = info(["2021-03-01"], longitude=[[-2.0, -1.0, 0.0]], form="published")
    assert west[0, 0, 0, 0, 5] == 359
