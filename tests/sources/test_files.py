"""The source 'files': GRIB, real samples, then what goes wrong with them."""

import shutil
from pathlib import Path

import numpy as np
import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)
import pytest

import eccodes  # isort: skip

from files_on_disk import ATLANTIC, SMALL, UK, UK_FILE, YUKON, bodies, download, experiment, uk

from atmorep.config import Config
from atmorep.errors import AtmoRepError, DataError, SourceError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import grib, stage
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.raw import open_raw
from atmorep.timeaxis import Span, data_spans


@pytest.fixture(autouse=True)
def _in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# -- real GRIB -----------------------------------------------------------------------------------


def test_messages_are_copied_as_they_are(shared):
    config = uk(shared)
    stage.check(config)
    download(config)
    assert bodies(Paths(config).raw("2t", 0, "2019-03")) == bodies(shared / UK_FILE)
    assert Paths(config).resolved_config.exists()


def test_check_prints_the_groups(shared, capsys):
    stage.check(uk(shared))
    assert capsys.readouterr().out == "2t: 2t\n"


def test_fields_are_taken_out_of_a_file_of_several(shared):
    days = [(f"2011-01-0{day}", f"2011-01-0{day}") for day in (1, 2, 3)]
    config = experiment(shared / "era5_grib", "pypos*", ATLANTIC, days, ["10u", "10v", "msl"])
    download(config)
    for field in ("10u", "10v", "msl"):
        messages = grib.scan(Paths(config).raw(field, 0, "2011-01-01_2011-01-03"))
        assert {m.field for m in messages} == {field}
        hours = Span.parse("2011-01-01_2011-01-03").hours(1)
        np.testing.assert_array_equal([m.valid_time for m in messages], hours)


def test_forecast_steps_of_precipitation_become_valid_times(shared):
    days = [("2023-01-01", "2023-01-20"), ("2023-01-21", "2023-01-25"), ("2023-01-26", "2023-01-31")]
    config = experiment(shared / "era5_grib", "era5_re_resl_{year}*", YUKON, days, ["tp", "2t"])
    download(config)
    raw = open_raw(config, "tp", 0, Span.parse("2023-01"))
    np.testing.assert_array_equal(raw.times, Span.parse("2023-01").hours(1))
    assert raw.read(raw.times[7]).shape == (7, 7)
    for number in (0, 7, 100, 743):
        base, step = forecast_of(bodies(raw.path)[number])
        assert step[1] - step[0] == 1
        assert base.astype(int) % 24 in (6, 18)
        assert base + np.timedelta64(step[1], "h") == raw.times[number]


def forecast_of(message: bytes) -> tuple[np.datetime64, tuple[int, int]]:
    """Start of a forecast, and the steps in hours between which a field is accumulated."""
    handle = eccodes.codes_new_from_message(message)
    keys = ("dataDate", "dataTime", "startStep", "endStep")
    date, time, start, end = (eccodes.codes_get(handle, key, ktype=int) for key in keys)
    eccodes.codes_release(handle)
    text = str(date)
    day = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}", "h")
    return day + np.timedelta64(time // 100, "h"), (start, end)


def test_a_coarser_time_step_takes_every_sixth_hour(shared):
    config = uk(shared, step=6)
    download(config)
    assert len(grib.scan(Paths(config).raw("2t", 0, "2019-03"))) == 124


def test_a_reduced_grid_is_refused(shared):
    config = experiment(
        shared / "era5_grib",
        "*N320*",
        {"north": 90, "south": -90, "west": 0, "east": 359.75, "resolution": 0.25},
        [(f"1979-01-0{d}", f"1979-01-0{d}") for d in (1, 2, 3)],
        ["2t"],
    )
    with pytest.raises(DataError, match=r"N320.*message 1 \(2t.*reduced_gg"):
        stage.check(config)


def test_corrupted_grib_is_refused(shared):
    days = [(f"2017-01-0{d}", f"2017-01-0{d}") for d in (1, 2, 3)]
    grid = {"north": 90, "south": -90, "west": 0, "east": 357, "resolution": 3}
    levels = {"type": "pressure", "values": [850]}
    config = experiment(shared / "corrupted", "*.grib", grid, days, ["t"], levels)
    with pytest.raises(DataError, match=r"era5-levels-corrupted.grib, message 1 at byte 0.*corrupted"):
        stage.check(config)
    with pytest.raises(DataError, match="message 1"):
        stage.download(config, "t", "2017-01-01_2017-01-03")
    assert not Paths(config).raw_folder.joinpath("t").exists()


def test_a_grid_the_source_lacks_is_refused_before_any_job(shared):
    config = uk(shared)
    wrong = config.model_copy(
        update={
            "data": config.data.model_copy(update={"grid": config.data.grid.model_copy(update={"north": 57})})
        }
    )
    with pytest.raises(DataError, match=r"2t.*33 x 49 points.*data\.grid \(29 x 49"):
        stage.check(wrong)


def test_dates_the_source_lacks_are_refused_before_any_job(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-04-01", "2019-04-30")]
    with pytest.raises(DataError, match=r"era5-2mt-2019-03-uk\.grib.*2t.*lacks 720 of 720 hours: 2019-04-01"):
        stage.check(uk(shared, days))


def test_a_field_the_source_lacks_is_refused_before_any_job(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    config = experiment(shared / "era5_grib", "era5-2mt-*.grib", UK, days, ["msl"])
    with pytest.raises(SourceError, match="no message of field msl on surface level 0; the files hold 2t"):
        stage.check(config)


def test_a_pattern_that_fits_nothing_is_refused(shared):
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    config = experiment(shared / "era5_grib", "{field}/{year}-{month}.grib", UK, days, ["2t"])
    with pytest.raises(SourceError, match=r"2t/2019-03\.grib: no such file.*source\.pattern"):
        stage.check(config)


# -- GRIB gone wrong -----------------------------------------------------------------------------


def altered(shared, change) -> Config:
    """The UK sample with its list of messages changed by ``change``, in a folder of its own."""
    messages = bodies(shared / UK_FILE)
    change(messages)
    Path("archive").mkdir()
    Path("archive/uk.grib").write_bytes(b"".join(messages))
    days = [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    return experiment("archive", "*.grib", UK, days, ["2t"])


def refused(config: Config, match: str) -> None:
    for attempt in (stage.check, download):
        with pytest.raises(AtmoRepError, match=match):
            attempt(config)
    assert not list(Paths(config).raw_folder.rglob("*.grib*"))


def test_a_missing_hour_is_refused(shared):
    config = altered(shared, lambda m: m.pop(100))
    refused(config, r"uk\.grib.*2t.*lacks 1 of 744 hours: 2019-03-05T04:00.*source.record_missing: true")


def test_a_missing_hour_is_recorded(shared):
    config = altered(shared, lambda m: m.pop(100))
    lenient = config.model_copy(update={"source": config.source.model_copy(update={"record_missing": True})})
    download(lenient)
    assert len(grib.scan(Paths(lenient).raw("2t", 0, "2019-03"))) == 743


def test_a_doubled_hour_is_refused(shared):
    config = altered(shared, lambda m: m.insert(50, m[300]))
    refused(config, r"uk\.grib, message 302 \(2t.*2019-03-13T12:00.*message 51")


def test_a_doubled_hour_in_two_files_is_refused(shared):
    config = altered(shared, lambda m: None)
    shutil.copy("archive/uk.grib", "archive/zz.grib")
    refused(config, r"zz\.grib, message 1 \(2t.*there already in archive/uk\.grib, message 1")


def test_order_does_not_matter(shared):
    config = altered(shared, lambda m: m.reverse())
    download(config)
    assert bodies(Paths(config).raw("2t", 0, "2019-03")) == bodies(shared / UK_FILE)


@pytest.mark.parametrize("cut", [1, 1000, 3334])
def test_a_truncated_file_is_refused(shared, cut):
    def change(messages):
        messages[-1] = messages[-1][:-cut]

    refused(altered(shared, change), r"uk\.grib, message 744.*truncated")


def test_a_file_that_ends_between_two_messages_lacks_hours(shared):
    refused(altered(shared, lambda m: m.pop()), r"uk\.grib.*lacks 1 of 744 hours: 2019-03-31T23:00")


def test_an_empty_file_is_refused(shared):
    refused(altered(shared, lambda m: m.clear()), r"uk\.grib: holds no GRIB message")


@pytest.mark.parametrize("edition", [1, 2])
def test_levels_of_both_editions(edition):
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    levels = {"type": "pressure", "values": [500, 850]}
    config = experiment("archive", "{field}_{level}_{year}.grib", SMALL, days, ["t"], levels, step=6)
    grid, rng = Grid.from_config(config.data.grid), np.random.default_rng(0)
    states = rng.normal(280, 5, (12, 2, *grid.shape))
    hours = Span.parse("2020-01-01_2020-01-03").hours(6)
    for number, level in enumerate((500, 850)):
        with GribWriter(Path(f"archive/t_{level}_2020.grib"), grid, edition=edition) as writer:
            for time, state in zip(hours, states, strict=True):
                writer.write("t", "pressure", level, time, state[number])
    stage.check(config)
    download(config)
    for number, level in enumerate((500, 850)):
        raw = open_raw(config, "t", level, data_spans(config.data)[0])
        for time, state in zip(hours, states, strict=True):
            np.testing.assert_allclose(raw.read(time), state[number], atol=raw.step(time))


def test_model_levels_are_not_taken_for_pressure_levels():
    days = [(f"2020-01-0{d}", f"2020-01-0{d}") for d in (1, 2, 3)]
    config = experiment(
        "archive", "*.grib", SMALL, days, ["t"], {"type": "pressure", "values": [100]}, step=6
    )
    grid = Grid.from_config(config.data.grid)
    with GribWriter(Path("archive/t.grib"), grid) as writer:
        for time in Span.parse("2020-01-01_2020-01-03").hours(6):
            writer.write("t", "model", 100, time, np.arange(20.0).reshape(grid.shape))
    refused(config, "no message of field t on pressure level 100; the files hold t model 100")
