"""What is delivered passes only if it is exactly what was wanted."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.sources.check import verify_messages, write_messages
from atmorep.sources.grib import read, scan
from atmorep.sources.grib_writer import GribWriter
from atmorep.timeaxis import Span

GRID = Grid(52.0, -1.0, 1.0, (3, 4))
HOURS = Span.parse("2019-03-01_2019-03-02").hours(6)


def written(path, hours=HOURS, field="t", kind="model", level=105, grid=GRID):
    with GribWriter(path, grid) as writer:
        for hour in hours:
            writer.write(field, kind, level, hour, np.full(grid.shape, hour.astype(float)))
    return scan(path)


def verify(messages, field="t", level=105, level_type="model", grid=GRID, hours=HOURS, **options):
    return verify_messages(
        messages, field, level, hours, grid, level_type=level_type, where="delivery", **options
    )


@pytest.fixture(scope="module")
def messages(tmp_path_factory):
    return written(tmp_path_factory.mktemp("check") / "t.grib")


@settings(max_examples=50)
@given(st.data())
def test_hours_pass_in_any_order_but_none_may_lack_or_repeat(messages, data):
    chosen = data.draw(st.lists(st.sampled_from(messages), max_size=10))
    times = [m.valid_time for m in chosen]
    if len(set(times)) < len(times):
        with pytest.raises(DataError, match=r"the hour is there already in .*t.grib, message"):
            verify(chosen, record_missing=True)
    elif len(times) < len(HOURS):
        with pytest.raises(DataError, match=rf"delivery: field t, level 105 lacks {8 - len(times)} of 8"):
            verify(chosen)
        if times:
            assert [m.valid_time for m in verify(chosen, record_missing=True)] == sorted(times)
    else:
        assert verify(chosen) == messages


def test_permutations_come_back_in_order(messages):
    assert verify(messages[::-1]) == messages
    assert verify([*messages[4:], *messages[:4]]) == messages


def test_absent_hours_are_named_with_the_remedy(messages):
    with pytest.raises(DataError, match=r"lacks 1 of 8 hours: 2019-03-01T12:00; .*record_missing: true"):
        verify([*messages[:2], *messages[3:]])
    with pytest.raises(DataError, match=r"lacks 8 of 8 hours: .* and 3 more"):
        verify([], record_missing=True)


def test_an_hour_that_was_not_wanted_is_named(messages):
    with pytest.raises(DataError, match=r"t.grib, message 8 .*2019-03-02T18:00.*none of the 7 wanted"):
        verify(messages, hours=HOURS[:-1])


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"field": "q"}, r"message 1 \(t, model level 105.*expected field q on model level 105"),
        ({"level": 106}, "expected field t on model level 106"),
        ({"level_type": "pressure"}, "expected field t on pressure level 105"),
        ({"grid": Grid(53.0, -1.0, 1.0, (3, 4))}, r"message 1 .*is not data\.grid"),
        ({"grid": Grid(52.0, -1.0, 1.0, (3, 3))}, r"is not data\.grid"),
        ({"grid": Grid(52.0, -1.0, 0.5, (3, 4))}, r"is not data\.grid"),
    ],
)
def test_other_field_level_or_grid_is_named(messages, wanted, message):
    with pytest.raises(DataError, match=message):
        verify(messages, **wanted)


def test_one_message_on_another_grid_is_found(messages, tmp_path):
    moved = written(tmp_path / "moved.grib", HOURS[3:4], grid=Grid(52.0, 0.0, 1.0, (3, 4)))
    with pytest.raises(DataError, match=r"moved\.grib, message 1 .*is not data\.grid"):
        verify([*messages[:3], *moved, *messages[4:]])


def test_versions_are_never_mixed_and_era5t_is_taken_on_demand(messages):
    preliminary = [dataclasses.replace(m, expver="0005") for m in messages]
    assert verify(preliminary) == preliminary
    assert verify(messages, expver="final") == messages
    with pytest.raises(DataError, match=r"message 1 .*experiment version 0005.*source\.expver: any"):
        verify(preliminary, expver="final")
    with pytest.raises(DataError, match=r"message 5 .*never mixed in one file"):
        verify([*messages[:4], *preliminary[4:]])


def test_surface_fields_have_level_0(tmp_path):
    precipitation = written(tmp_path / "tp.grib", field="tp", kind="surface", level=0)
    assert verify(precipitation[::-1], "tp", 0, "surface") == precipitation


def test_bytes_are_written_unchanged_and_in_order(messages, tmp_path):
    target = tmp_path / "raw/t/105/2019-03.grib"
    write_messages(messages[::-1], target)
    assert target.read_bytes() == b"".join(read(m) for m in messages[::-1])
    assert list(target.parent.iterdir()) == [target]


def test_real_era5_passes(shared):
    hours = Span.parse("2011-01-01_2011-01-03").hours(1)
    path = shared / "era5_grib/pyposeidon_era5_20110101-03_10u10vmsl.grib"
    wind = [m for m in scan(path) if m.field == "10u"]
    grid = Grid(75.0, -30.0, 0.25, (81, 89))
    assert verify(wind, "10u", 0, "surface", grid, hours, expver="final") == wind
    with pytest.raises(DataError, match="lacks 1 of 72 hours: 2011-01-01T07:00"):
        verify([*wind[:7], *wind[8:]], "10u", 0, "surface", grid, hours)
