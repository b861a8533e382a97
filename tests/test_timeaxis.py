"""Spans cover periods and never cross a month; the axis counts hours exactly."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atmorep.config import Data, Period, Periods
from atmorep.errors import ConfigError
from atmorep.timeaxis import Span, TimeAxis, data_spans, spans, training_spans

DAYS = st.dates(dt.date(1940, 1, 1), dt.date(2030, 12, 31))


def data(train, validation, test, time_step=1):
    periods = (
        tuple(Period(start=dt.date.fromisoformat(a), end=dt.date.fromisoformat(b)) for a, b in part)
        for part in (train, validation, test)
    )
    return Data(
        time_step=time_step,
        periods=Periods(**dict(zip(("train", "validation", "test"), periods, strict=True))),
    )


MARCH = data(
    [("2019-01-15", "2019-03-10")], [("2019-03-12", "2019-03-15")], [("2019-03-20", "2019-03-31")], 6
)


@given(DAYS, st.integers(0, 800))
def test_spans_cover_a_period_exactly(start, days):
    end = start + dt.timedelta(days=days)
    covered = [
        s.start + dt.timedelta(n) for s in spans([Period(start=start, end=end)]) for n in range(s.days)
    ]
    assert covered == [start + dt.timedelta(n) for n in range(days + 1)]


@given(DAYS, st.integers(0, 30))
def test_a_span_reads_what_it_wrote(start, days):
    end = start + dt.timedelta(days=days)
    if (start.year, start.month) == (end.year, end.month):
        assert Span.parse(str(Span(start, end))) == Span(start, end)


@pytest.mark.parametrize(("year", "days"), [(1900, 28), (2000, 29), (2019, 28), (2020, 29)])
def test_a_month_is_written_short(year, days):
    february = Span.month(year, 2)
    assert february.days == days
    assert str(february) == f"{year}-02"
    assert str(Span(february.start, february.end - dt.timedelta(1))) == f"{year}-02-01_{year}-02-{days - 1}"


@pytest.mark.parametrize(
    "text", ["2019", "2019-13", "2019-01-31_2019-02-01", "2019-01-02_2019-01-01", "../x"]
)
def test_no_span(text):
    with pytest.raises(ConfigError, match="is not YYYY-MM or"):
        Span.parse(text)


def test_one_span_a_month_over_all_periods():
    assert [str(s) for s in data_spans(MARCH)] == ["2019-01-15_2019-01-31", "2019-02", "2019-03"]


def test_training_spans_hold_training_days_only():
    assert [str(s) for s in training_spans(MARCH)] == [
        "2019-01-15_2019-01-31",
        "2019-02",
        "2019-03-01_2019-03-10",
    ]


def test_axis():
    axis = TimeAxis.of(MARCH)
    assert axis.origin == np.datetime64("2019-01-01T00", "h")
    assert axis.size == 4 * 90
    assert axis.per_day == 4
    assert axis.times()[-1] == np.datetime64("2019-03-31T18", "h")
    assert axis.times(4, 6).tolist() == [dt.datetime(2019, 1, 2), dt.datetime(2019, 1, 2, 6)]


@given(st.integers(0, 4 * 90 - 1))
def test_index_undoes_times(n):
    axis = TimeAxis.of(MARCH)
    assert axis.index(axis.times(n, n + 1)) == n


@pytest.mark.parametrize("time", ["2018-12-31T18", "2019-01-01T01", "2019-04-01T00"])
def test_a_time_off_the_axis(time):
    with pytest.raises(ValueError, match="is not on the axis"):
        TimeAxis.of(MARCH).index(np.datetime64(time, "h"))


def test_hours_of_a_span():
    hours = Span.parse("2019-02").hours(6)
    assert (len(hours), hours[0], hours[-1]) == (
        112,
        np.datetime64("2019-02-01T00"),
        np.datetime64("2019-02-28T18"),
    )
