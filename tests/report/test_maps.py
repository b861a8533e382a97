"""Coastlines, and what a map takes from maps.nc."""

import numpy as np
import pandas as pd
import pytest

from atmorep.evaluation.metrics import COLUMNS
from atmorep.fields import field
from atmorep.report.coastlines import coastlines
from atmorep.report.maps import Case, Colours
from atmorep.report.skill import Scores

from .artefacts import configuration, representative


def near(lines, longitude, latitude, degrees):
    points = np.concatenate(lines)
    return np.hypot(*(points - [longitude, latitude]).T).min() < degrees


@pytest.mark.parametrize(
    ("box", "longitude", "latitude"),
    [
        ((-12, 12, 47, 60), -5.72, 50.07),  # Land's End
        ((-12, 12, 47, 60), 1.31, 51.13),  # Dover
        ((340, 372, 47, 60), 361.31, 51.13),  # the same, in a domain that passes 360°
        ((0, 360, -90, 90), 18.47, -34.36),  # Cape of Good Hope
        ((-180, 180, -90, 90), -57, -63.4),  # Antarctic Peninsula
    ],
)
def test_coast_is_where_it_is(box, longitude, latitude):
    assert near(coastlines(*box), longitude, latitude, 0.1 if box[1] - box[0] < 90 else 1)


def test_no_coast_in_the_middle_of_the_ocean():
    assert coastlines(-40, -35, 40, 45) == ()


def test_no_line_crosses_the_map():
    for line in coastlines(-180, 180, -90, 90):
        assert np.abs(np.diff(line[:, 0])).max() < 30
        assert line[:, 1].min() > -89


@pytest.fixture
def msl():
    config = configuration(fields={"msl": None})
    row = ("forecast", "atmorep", "msl", 0, 6, "domain", "rmse", 1, 1, 1, 9)
    table = pd.DataFrame([row], columns=COLUMNS)
    return representative(config, "msl", np.random.default_rng(1)), Scores.of(
        table, field("msl"), "forecast", "model"
    )


def test_case(msl):
    maps, scores = msl
    case = Case.of(maps, scores, 0, 6)
    expected = maps["target"].sel(task="forecast", level=0).isel(lead_time=5 - 1)
    assert maps["lead_time"].to_numpy()[4] == np.timedelta64(6, "h")
    np.testing.assert_allclose(case.values["target"], expected / 100, rtol=1e-6)  # hPa
    assert str(case.valid) == "2019-03-12T12"
    assert case.reference == "Persistence"
    assert case.edges == (-12.25, 12.25, 46.75, 60.25)


def test_padding_is_no_case(msl):
    maps, scores = msl
    assert Case.of(maps, scores, 0, 1) is None  # a lead time of another task
    assert Case.of(maps, scores, 0, 12) is None
    assert Case.of(maps, scores, 850, 6) is None


def test_rows_run_north_to_south_and_columns_east(msl):
    maps, scores = msl
    turned = maps.isel(latitude=slice(None, None, -1), longitude=slice(None, None, -1))
    case, same = Case.of(maps, scores, 0, 6), Case.of(turned, scores, 0, 6)
    np.testing.assert_array_equal(case.values["target"], same.values["target"])
    np.testing.assert_array_equal(case.hidden, same.hidden)
    assert same.latitude[0] == 60
    assert same.longitude[0] == -12


def test_rms_counts_hidden_points_only(msl):
    maps, scores = msl
    case = Case.of(maps, scores, 0, 6)
    error = np.full(case.hidden.shape, 2.0)
    assert case.rms(error) == pytest.approx(2)
    case.hidden[:, :10] = False
    error[:, :10] = 100
    assert case.rms(error) == pytest.approx(2)


def test_colours():
    waves = np.linspace(-3, 3, 201)
    assert (Colours.of_errors(waves + 1).low, Colours.of_errors(waves + 1).high) == pytest.approx(
        (-3.97, 3.97), abs=0.01
    )
    assert Colours.of_values(waves).low == -Colours.of_values(waves).high
    assert Colours.of_values(waves + 270).map == "viridis"
    assert Colours.of_spread(np.zeros(9)).high > 0
