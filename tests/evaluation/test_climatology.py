import numpy as np
import pytest

from atmorep.errors import DataError
from atmorep.evaluation import climatology
from atmorep.store.reader import FieldReader

EVERYWHERE = (slice(None), slice(None))
DAYS = {"january": 31, "february": 10}


def from_start(day):
    return (np.datetime64(day, "h") - np.datetime64("2001-01-01", "h")).astype(int)


def ramp(hours, level, latitude, longitude):
    """A day's number, plus place, plus a diurnal cycle; absurd after the training days."""
    absurd = np.where(hours >= from_start("2001-02-11"), 1e4, 0.0)
    return hours // 24 + hours % 24 / 100 + latitude + longitude / 1000 + absurd


def compute(config, tmp_path, field="2t"):
    reader = FieldReader(config, field)
    return climatology.compute(config, field, reader, tmp_path / "c.npy"), reader.grid


def test_means_are_of_training_days_by_hour_and_month(make_store, tmp_path):
    config = make_store(ramp)
    found, grid = compute(config, tmp_path)
    assert found.months == (2, 4)
    times = np.array(["2001-02-20T06", "2001-04-03T18"], "datetime64[h]")
    place = grid.latitude[:, None] + grid.longitude / 1000
    february = np.mean(range(31, 41))
    values = found.at(times, *EVERYWHERE)
    np.testing.assert_allclose(values[0, 0], february + 0.06 + place, rtol=1e-6)
    whole = np.mean(range(41))  # April has no training day: all of them
    np.testing.assert_allclose(values[1, 0], whole + 0.18 + place, rtol=1e-6)
    part = found.at(times, slice(2, 4), slice(5, 9))
    np.testing.assert_array_equal(part, values[..., 2:4, 5:9])


def test_months_of_other_periods_are_held_where_asked_for(make_store, tmp_path):
    config = make_store(ramp)
    reader, periods = FieldReader(config, "2t"), config.data.periods
    path = tmp_path / "c.npy"
    found = climatology.compute(config, "2t", reader, path, (*periods.train, *periods.test))
    assert found.months == (1, 2, 4)
    january = found.at(np.array(["2001-01-20T06"], "datetime64[h]"), *EVERYWHERE)[0, 0]
    place = reader.grid.latitude[:, None] + reader.grid.longitude / 1000
    np.testing.assert_allclose(january, np.mean(range(31)) + 0.06 + place, rtol=1e-6)


def test_missing_hours_are_left_out(make_store, tmp_path):
    config = make_store(ramp, missing=("2001-02-03T12", "2001-02-10T12"))
    found, grid = compute(config, tmp_path)
    days = [d for d in range(31, 41) if d not in (33, 40)]
    times = np.array(["2001-02-20T12"], "datetime64[h]")
    np.testing.assert_allclose(
        found.at(times, *EVERYWHERE)[0, 0, 0, 0], np.mean(days) + 0.12 + grid.latitude[0], rtol=1e-6
    )


def test_small_reads_give_the_same(make_store, tmp_path, monkeypatch):
    config = make_store(ramp, field="t")
    whole = compute(config, tmp_path, "t")[0].means.copy()
    monkeypatch.setattr(climatology, "READ_BYTES", 1)
    np.testing.assert_allclose(compute(config, tmp_path, "t")[0].means, whole, rtol=1e-6)


def test_an_hour_without_training_data_is_refused(make_store, tmp_path):
    days = np.arange("2001-01-01", "2001-02-11", dtype="datetime64[D]")
    config = make_store(ramp, missing=tuple(f"{day}T18" for day in days))
    with pytest.raises(DataError, match=r"2t: no training day has data at 18 UTC.*data\.periods\.train"):
        compute(config, tmp_path)
