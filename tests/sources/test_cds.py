"""The real client against a loopback server that speaks the archive's API."""

import datetime as dt
import itertools

import numpy as np
import pytest
from cds_archive import SPAN, assert_delivered, configuration, fetch
from cds_server import KEY, answer, values

from atmorep.config import parse
from atmorep.errors import CredentialsError, SourceError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, open_source
from atmorep.sources.cds import PRESSURE_LEVELS
from atmorep.sources.cds_requests import Forecast, build
from atmorep.sources.check import verify_messages
from atmorep.sources.grib import decode, eccodes, read, scan
from atmorep.timeaxis import Span

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize("name", ["model_an", "surface_an", "surface_fc"])
@pytest.mark.parametrize("step", [1, 6])
def test_each_group_is_one_request_and_arrives_as_one_file_a_field_and_level(server, name, step):
    config = configuration(step=step)
    raw = fetch(config, name)
    assert_delivered(config, raw)
    assert len(server.submitted) == 1


def test_pressure_levels(server):
    config = configuration(("t", "z"), {"type": "pressure", "values": [500, 850]}, step=12)
    assert_delivered(config, fetch(config, "pressure"))
    ((dataset, keys),) = server.submitted
    assert dataset == "reanalysis-era5-pressure-levels"
    assert keys["variable"] == ["temperature", "geopotential"]
    assert keys["pressure_level"] == ["500", "850"]


def test_the_globe_from_any_first_column(server):
    globe = {"north": 90, "south": -90, "west": -180, "east": 150, "resolution": 30}
    config = configuration(("2t",), grid=globe)
    path = fetch(config, "surface_an")["2t", 0]
    assert server.submitted[0][1]["area"] == [90, 0, -90, 330]
    archived = Grid(90, 0, 30, (7, 12))
    message = scan(path)[0]
    expected = np.roll(values("2t", 0, message.valid_time, archived), 6, axis=1)
    assert np.allclose(decode(message, Grid.from_config(config.data.grid)), expected, atol=2 * message.step)


def test_messages_are_kept_byte_by_byte(server):
    raw = fetch(configuration())
    delivered = answer(*server.submitted[0])
    messages = [read(m) for path in raw.values() for m in scan(path)]
    assert len(b"".join(messages)) == len(delivered)
    assert all(message in delivered for message in messages)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 6, 8, 12, 24])
def test_a_block_of_forecasts_holds_every_hour_once(step):
    hours = Span.parse("2020-03").hours(step)
    block = Forecast.reaching(hours)
    assert len(set(block.hours.tolist())) == len(block.hours)
    assert set(hours.tolist()) <= set(block.hours.tolist())
    assert block.dates[0] == dt.date(2020, 2, 29)
    assert set(block.times) <= {6, 18}
    assert set(block.steps) <= set(range(1, 13))


def test_real_precipitation_comes_from_the_forecasts_asked_for(shared, tmp_path):
    hours = Span.parse("2023-01-01_2023-01-03").hours(1)
    month = (shared / "era5_grib/era5_re_resl_20230101_to_20230131.grib").read_bytes()
    path = tmp_path / "three_days.grib"
    path.write_bytes(month[: len(month) // 31 * 3])  # hour by hour, all messages of one length
    precipitation = [m for m in scan(path) if m.field == "tp"]
    where = {"level_type": "surface", "where": str(path), "expver": "final"}
    verify_messages(precipitation, "tp", 0, hours, Grid(65.7, -139.0, 0.25, (7, 7)), **where)
    block = Forecast.reaching(hours)
    for message in precipitation:
        handle = eccodes.codes_new_from_message(read(message))
        day, time, step = (eccodes.codes_get(handle, k, int) for k in ("dataDate", "dataTime", "endStep"))
        eccodes.codes_release(handle)
        assert dt.datetime.strptime(str(day), "%Y%m%d").date() in block.dates
        assert time // 100 in block.times
        assert step in block.steps


def test_hourly_precipitation_asks_for_the_forecast_of_the_evening_before():
    request = build("surface_fc", [("tp", 0)], SPAN.hours(1), Grid(52, -1, 1, (3, 4)), "final")
    assert request.dataset == "reanalysis-era5-complete"
    assert request.keys == {
        **{"class": "ea", "stream": "oper", "expver": "1", "type": "fc", "levtype": "sfc", "param": "228"},
        **{"date": "2019-02-28/to/2019-03-02", "time": "06:00:00/18:00:00"},
        **{"step": "1/2/3/4/5/6/7/8/9/10/11/12", "grid": "1/1", "area": "52/-1/50/2", "format": "grib"},
    }


# -- what passes ---------------------------------------------------------------------------------


def test_queueing(server):
    server.states = ["accepted", "accepted", "running"]
    config = configuration()
    assert_delivered(config, fetch(config))
    assert server.calls.count("status") == 4 + 2  # two more for the link to the results


@pytest.mark.parametrize("status", [429, 500])
@pytest.mark.parametrize("operation", ["submit", "status", "results", "body"])
def test_what_passes_is_tried_again(server, operation, status):
    server.faults[operation].extend([status, status])
    config = configuration()
    assert_delivered(config, fetch(config))
    assert len(server.submitted) == 1
    assert server.calls.count(operation) >= 3


@pytest.fixture
def small_chunks(monkeypatch):
    """What came of a chunk when the connection breaks is lost; the test's bodies are small."""
    monkeypatch.setattr("atmorep.sources.cds_client._CHUNK_BYTES", 16)


@pytest.mark.usefixtures("small_chunks")
def test_a_broken_download_goes_on_where_it_broke(server):
    server.faults["body"].extend(["cut", "cut"])
    config = configuration()
    assert_delivered(config, fetch(config))
    size = len(server.bodies["job1"])
    assert server.ranges == [None, f"bytes={size // 2}-", f"bytes={size // 2 + (size - size // 2) // 2}-"]


@pytest.mark.usefixtures("small_chunks")
def test_a_later_run_goes_on_with_the_same_request_and_the_rest_of_the_body(server):
    server.faults["body"].extend(["cut", 503, 503, 503])
    config = configuration()
    with pytest.raises(SourceError, match=r"failed 4 times.*503.*rerun later"):
        fetch(config)
    assert not list(Paths(config).raw_folder.glob("[!.]*"))
    assert_delivered(config, fetch(config))
    assert len(server.submitted) == 1
    assert server.ranges[-1] == f"bytes={len(server.bodies['job1']) // 2}-"


@pytest.mark.parametrize(("operation", "fault"), [("body", "expired"), ("results", 404), ("status", 410)])
def test_an_expired_result_is_asked_for_again(server, operation, fault):
    server.faults[operation].append(fault)
    config = configuration()
    assert_delivered(config, fetch(config))
    assert len(server.submitted) == 2


def test_a_result_that_always_expires_ends(server):
    server.faults["body"].extend(["expired"] * 4)
    with pytest.raises(SourceError, match="expired 4 times"):
        fetch(configuration())


def test_a_job_that_stays_queued_keeps_its_place(server):
    server.states = ["accepted"] * 5
    with pytest.raises(SourceError, match=r"job1 is still accepted.*timeout_hours = 1e-06.*rerun"):
        fetch(configuration(timeout_hours=1e-6))
    config = configuration()
    assert_delivered(config, fetch(config))
    assert len(server.submitted) == 1


def test_waits_double(server, monkeypatch):
    waits = []
    monkeypatch.setattr("atmorep.sources.cds_client.time.sleep", waits.append)
    server.faults["submit"].extend([429, 500, 502])
    fetch(configuration(backoff_seconds=4))
    assert waits == [4, 8, 16]


# -- rerun ---------------------------------------------------------------------------------------


def test_a_rerun_fetches_nothing(server):
    config = configuration()
    stamps = {path: path.stat().st_mtime_ns for path in fetch(config).values()}
    calls = list(server.calls)
    assert {path: path.stat().st_mtime_ns for path in fetch(config).values()} == stamps
    assert server.calls == calls


def test_a_rerun_fetches_only_what_is_absent_or_damaged(server):
    config = configuration()
    raw = fetch(config)
    raw["t", 105].unlink()
    raw["t", 137].write_bytes(raw["t", 137].read_bytes()[:-30])
    kept = raw["vo", 105].stat().st_mtime_ns
    assert_delivered(config, fetch(config))
    assert raw["vo", 105].stat().st_mtime_ns == kept
    assert server.submitted[1][1]["param"] == "130"
    assert server.submitted[1][1]["levelist"] == "105/137"


# -- check ---------------------------------------------------------------------------------------


def test_check_passes_with_credentials_from_environment_or_file(server, monkeypatch, tmp_path):
    open_source(configuration()).check()
    monkeypatch.delenv("CDSAPI_KEY")
    (tmp_path / "home/.cdsapirc").write_text(f"url: {server.url}\nkey: {KEY}\n")
    open_source(configuration()).check()
    assert server.calls == []


@pytest.mark.parametrize(
    ("key", "message"),
    [(None, "no credentials; copy url and key"), ("12345:abc", "former form"), ("", "key is empty")],
)
def test_check_wants_a_key(server, monkeypatch, key, message):
    monkeypatch.delenv("CDSAPI_KEY")
    if key is not None:
        monkeypatch.setenv("CDSAPI_KEY", key)
    with pytest.raises(CredentialsError, match=message):
        open_source(configuration()).check()


def test_check_names_fields_and_levels_the_archive_lacks(server):
    with pytest.raises(SourceError, match=r"fields\.z.*model level 1 only.*pressure"):
        open_source(configuration(("z",))).check()
    pressure = {"type": "pressure", "values": [500, 510]}
    with pytest.raises(SourceError, match="no pressure level 510 hPa"):
        open_source(configuration(("t",), pressure)).check()
    open_source(configuration(("2t",), pressure)).check()
    assert len(PRESSURE_LEVELS) == 37


@pytest.mark.parametrize("day", ["1939-12-31", "2999-01-01"])
def test_check_names_days_the_archive_lacks(server, day):
    values = configuration(("2t",)).model_dump(mode="json")
    values["data"]["periods"]["train"] = [{"start": day, "end": day}]
    with pytest.raises(SourceError, match=rf"data\.periods.*not on {day}"):
        open_source(parse(values)).check()


def test_check_names_the_missing_client(server, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "cdsapi", None)
    monkeypatch.delitem(sys.modules, "atmorep.sources.cds_client", raising=False)
    monkeypatch.delattr("atmorep.sources.cds_client", raising=False)
    with pytest.raises(SourceError, match=r"pip install 'atmorep\[cds\]'"):
        open_source(configuration()).check()


def test_groups_hold_every_field_and_level_once():
    config = configuration(("vo", "t", "2t", "msl", "tp"))
    groups = open_source(config).groups()
    assert [g.name for g in groups] == ["model_an", "surface_an", "surface_fc"]
    assert groups[0] == Group("model_an", tuple(itertools.product(("vo", "t"), (105, 137))))
    members = [m for g in groups for m in g.members]
    assert sorted(members) == sorted((f, v) for f in config.fields for v in config.store_levels(f))
