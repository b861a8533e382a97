"""Instants, sums and means from what the files hold, at exactly the times of the store."""

import numpy as np
import pytest

from atmorep.config.target import TargetTime
from atmorep.errors import ConfigError, DataError
from atmorep.targets.times import Tiling

HOURS = np.arange("2020-02-01T00", "2020-02-01T04", dtype="datetime64[h]")


def intervals(first: str, minutes: int, count: int) -> np.ndarray:
    """As many intervals of ``minutes``, one after the other from ``first`` on."""
    start = np.datetime64(first, "m") + minutes * np.arange(count)
    return np.stack([start, start + np.timedelta64(minutes, "m")], 1)


def members(found: np.ndarray, hours: np.ndarray = HOURS, **time) -> list[list[int]]:
    return [list(some) for some in Tiling("rain", TargetTime(**time), found).members(hours)]


def test_twelve_five_minute_sums_make_the_hour_that_ends_at_its_time():
    """From 23 UTC of the last day of January on, so that 00 UTC of February has its hour."""
    got = members(intervals("2020-01-31T23:00", 5, 36), kind="sum")
    assert got == [list(range(12)), list(range(12, 24)), list(range(24, 36)), []]


def test_without_the_hour_before_the_month_its_first_hour_is_missing():
    got = members(intervals("2020-02-01T00:00", 5, 36), kind="sum")
    assert got == [[], list(range(12)), list(range(12, 24)), list(range(24, 36))]


def test_a_gap_makes_only_its_hour_missing():
    found = np.delete(intervals("2020-01-31T23:00", 5, 48), 17, axis=0)
    got = members(found, kind="sum")
    assert [len(some) for some in got] == [12, 0, 12, 12]


def test_windows_of_several_hours():
    got = members(intervals("2020-01-31T22:00", 60, 5), kind="mean", window_hours=3)
    assert got == [[], [0, 1, 2], [1, 2, 3], [2, 3, 4]]


def test_order_of_the_files_does_not_matter():
    found = intervals("2020-01-31T23:00", 30, 8)[::-1]
    assert members(found, kind="sum") == [[7, 6], [5, 4], [3, 2], [1, 0]]


def test_hours_that_end_at_minute_50_are_refused_with_the_remedy():
    found = intervals("2020-01-31T22:50", 60, 6)
    with pytest.raises(ConfigError, match=r"targets\.rain\.time\.offset_minutes = 0.*offset_minutes: 10, or"):
        members(found, kind="sum")
    assert members(found, kind="sum", offset_minutes=10) == [[0], [1], [2], [3]]


def test_instants_exactly_at_their_times():
    found = np.repeat(np.arange("2020-01-31T23:50", "2020-02-01T05:00", 60, dtype="datetime64[m]"), 2)
    assert members(found.reshape(-1, 2), kind="instant", offset_minutes=10) == [[0], [1], [2], [3]]
    with pytest.raises(ConfigError, match="offset_minutes: 10"):
        members(found.reshape(-1, 2), kind="instant")


@pytest.mark.parametrize(
    ("found", "time", "words"),
    [
        (intervals("2020-01-31T00:00", 1440, 3), {"kind": "sum"}, "window_hours = 1.*stand for 1440 minutes"),
        (intervals("2020-01-31T23:00", 60, 3), {"kind": "instant"}, "values of kind sum or mean"),
        (intervals("2020-01-31T23:00", 0, 3)[:1], {"kind": "sum"}, "values of kind instant"),
        (intervals("2020-01-31T23:00", 60, 3)[[0, 1, 1]], {"kind": "sum"}, "two values for 2020-02-01T01:00"),
        (intervals("2019-01-31T23:00", 60, 9), {"kind": "sum"}, "nothing of 2020-02-01T00:00 to 2020-02"),
    ],
)
def test_what_cannot_be_put_together(found, time, words):
    with pytest.raises((ConfigError, DataError), match=words):
        members(found, **time)


def test_sums_add_and_means_weigh_by_length():
    found = np.concatenate([intervals("2020-01-31T23:00", 20, 1), intervals("2020-01-31T23:20", 40, 1)])[::-1]
    for kind, expected in (("sum", [1, 1]), ("mean", [1 / 3, 2 / 3])):
        tiling = Tiling("rain", TargetTime(kind=kind), found)
        np.testing.assert_allclose(tiling.weights(tiling.members(HOURS[:1])[0]), expected)
