"""The real client against a loopback server that speaks the archive's API."""

import datetime as dt
import itertools
import logging
import os
from pathlib import Path

import numpy as np
import pytest
from cds_server import KEY, CdsServer, answer, values, with_expver

from atmorep.config import parse
from atmorep.errors import CredentialsError, DataError, SourceError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, open_source
from atmorep.sources.cds import PRESSURE_LEVELS
from atmorep.sources.cds_requests import Forecast, build
from atmorep.sources.check import verify_messages
from atmorep.sources.grib import decode, eccodes, read, scan
from atmorep.timeaxis import Span

SPAN = Span.parse("2019-03-01_2019-03-02")
GRID = {"north": 52.0, "south": 50.0, "west": -1.0, "east": 2.0, "resolution": 1.0}


def configuration(fields=("t", "vo", "2t", "tp"), levels=None, grid=GRID, step=6, **source):
    days = [("2019-03-01", "2019-03-02"), ("2019-03-03", "2019-03-04"), ("2019-03-05", "2019-03-06")]
    periods = [[{"start": a, "end": b}] for a, b in days]
    extent = {"time": 4, "latitude": 2, "longitude": 2}
    return parse(
        {
            "experiment": "cds",
            "source": {"kind": "cds", "retries": 3, "backoff_seconds": 0.01, **source},
            "data": {
                "grid": grid,
                "time_step": step,
                "levels": levels or {"type": "model", "values": [105, 137]},
                "periods": dict(zip(("train", "validation", "test"), periods, strict=True)),
            },
            "fields": {name: {} for name in fields},
            "network": {"neighbourhood": extent, "token_size": {**extent, "time": 1}},
            "evaluation": {"lead_hours": [step]},
        }
    )


@pytest.fixture(autouse=True)
def workplace(tmp_path, monkeypatch):
    """An empty home and working directory, and no other credentials than the test's own."""
    for name in ("CDSAPI_URL", "CDSAPI_KEY", "CDSAPI_RC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def server(monkeypatch):
    with CdsServer() as running:
        monkeypatch.setenv("CDSAPI_URL", running.url)
        monkeypatch.setenv("CDSAPI_KEY", KEY)
        yield running


def fetch(config, name="model_an", span=SPAN):
    source, paths = open_source(config), Paths(config)
    group = next(g for g in source.groups() if g.name == name)
    source.fetch(group, span, lambda field, level: paths.raw(field, level, span))
    return {member: paths.raw(*member, span) for member in group.members}


def files():
    return [os.path.join(folder, name) for folder, _, names in os.walk(".") for name in names]


def assert_delivered(config, raw, span=SPAN):
    grid, hours = Grid.from_config(config.data.grid), span.hours(config.data.time_step)
    for (field, level), path in raw.items():
        messages = scan(path)
        assert [m.valid_time for m in messages] == list(hours)
        assert {(m.field, m.level, m.expver) for m in messages} == {(field, level, "0001")}
        for message in messages:
            expected = values(field, level, message.valid_time, grid)
            assert np.allclose(decode(message, grid), expected, atol=2 * message.step)
    assert sorted(map(str, raw.values())) == sorted(f.removeprefix("./") for f in files())


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


# -- what does not pass --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ((401, "authentication failed", "who are you"), "who are you.*renew the key"),
        ((403, "required licences not accepted", "accept them"), "required licences.*accept the licence"),
        ((403, "cost limits exceeded", "too large"), "cost limits.*fewer levels"),
        ((403, "forbidden", "not for you"), "not for you.*account"),
        ((400, "bad request", "no such variable"), "no such variable.*correct fields"),
        ((422, "unprocessable", "grid is odd"), "grid is odd.*correct fields"),
    ],
)
def test_what_is_refused_fails_at_once_with_the_archives_words(server, fault, message):
    server.faults["submit"].append(fault)
    with pytest.raises(SourceError, match=message) as caught:
        fetch(configuration())
    assert "group model_an, span 2019-03-01_2019-03-02, fields t, vo" in str(caught.value)
    assert server.calls == ["submit"]
    assert files() == []


@pytest.mark.parametrize("state", ["rejected", "dismissed", "deleted", "unheard-of"])
def test_a_job_that_ends_otherwise_fails_at_once_and_a_rerun_asks_anew(server, state):
    server.states, server.failed = [state] * 4, ("The job was removed", "by its owner")
    with pytest.raises(SourceError, match=rf"{state}|by its owner"):
        fetch(configuration())
    assert files() == []
    server.states, server.failed = [], None
    fetch(configuration())
    assert len(server.submitted) == 2


def test_a_failed_job_fails_at_once_with_the_archives_words(server):
    server.failed = ("The job has failed", "MARS returned no data")
    with pytest.raises(SourceError, match="The job has failed / MARS returned no data"):
        fetch(configuration())
    assert len(server.submitted) == 1
    assert files() == []


def other(**keys):
    return lambda dataset, request: answer(dataset, {**request, **keys})


def twice(dataset, request):
    body = answer(dataset, request)
    return body + body


def half(dataset, request):
    body = answer(dataset, request)
    return body[: len(body) - 10]


WRONG = {
    "page": (lambda *_: b"<html><body>Service unavailable</body></html>", "holds no GRIB message"),
    "month": (other(date="2019-04-01/to/2019-04-02"), "2019-04-01T00:00.*is none of the 8 wanted"),
    "fewer days": (other(date="2019-03-01/to/2019-03-01"), "lacks 4 of 8 hours: 2019-03-02T00:00"),
    "level": (other(levelist="105/136"), "level 136.*was not asked for"),
    "field": (other(param="130/133"), "q, model level.*was not asked for"),
    "level type": (other(levtype="pl"), "expected field t on model level 105"),
    "grid": (other(grid="0.5/0.5"), "is not data.grid"),
    "area": (other(area="53/-1/51/2"), "is not data.grid"),
    "twice": (twice, "the hour is there already"),
    "cut": (half, "is truncated or corrupted"),
    "ERA5T": (lambda *r: with_expver(answer(*r), "0005"), "experiment version 0005.*source.expver: any"),
}


@pytest.mark.parametrize("what", WRONG)
def test_other_content_than_asked_for_is_refused(server, what):
    server.answer, message = WRONG[what]
    config = configuration()
    with pytest.raises(DataError, match=rf"(?s)reanalysis-era5-complete, group model_an.*{message}"):
        fetch(config)
    assert files() == []
    server.answer = answer
    assert_delivered(config, fetch(config))


def test_precipitation_of_another_month_is_refused(server):
    server.answer = other(date="2019-03-31/to/2019-04-02")
    with pytest.raises(DataError, match=r"tp, surface level 0, 2019-0.*is none of the 8 wanted"):
        fetch(configuration(), "surface_fc")


def test_any_takes_era5t_but_never_a_mixture(server):
    config = configuration(expver="any")
    server.answer = lambda *r: with_expver(answer(*r), "0005", every=3)
    with pytest.raises(DataError, match="ERA5 \\(0001\\) and ERA5T \\(0005\\) are never mixed"):
        fetch(config)
    server.answer = lambda *r: with_expver(answer(*r), "0005")
    raw = fetch(config)
    assert {m.expver for path in raw.values() for m in scan(path)} == {"0005"}


def test_missing_hours_can_be_recorded(server):
    server.answer = other(date="2019-03-01/to/2019-03-01")
    raw = fetch(configuration(record_missing=True))
    assert [len(scan(path)) for path in raw.values()] == [4] * 4


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


# -- the key -------------------------------------------------------------------------------------


def test_the_key_is_in_nothing_written_logged_or_said(server, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    server.faults["submit"].extend([500, (400, "bad", f"your token {KEY} asked for too much")])
    server.faults["body"].extend(["cut", 503, 503, 503])
    messages = []
    for _ in range(2):
        with pytest.raises(SourceError) as caught:
            fetch(configuration())
        messages.append(str(caught.value))
    assert "token *** asked" in messages[0]
    interrupted = {Path(path).name: Path(path).read_bytes() for path in files()}
    fetch(configuration())
    Paths(configuration()).describe()
    out, err = capfd.readouterr()
    assert caplog.text
    assert KEY not in "".join([*messages, caplog.text, out, err])
    written = [Path(path).read_bytes() for path in files()]
    assert set(interrupted) == {"body.grib", "job.json"}
    assert len(written) > 4
    assert all(KEY.encode() not in data for data in [*written, *interrupted.values()])
    assert set(server.tokens) == {"127.0.0.1"}


def test_the_key_stays_with_its_host_when_redirected(server):
    server.redirect = "localhost"
    with pytest.raises(SourceError, match="401"):
        fetch(configuration())
    assert set(server.tokens) == {"127.0.0.1"}


def test_an_address_without_encryption_is_refused(monkeypatch):
    monkeypatch.setenv("CDSAPI_KEY", KEY)
    config = configuration(url="http://cds.example.org/api")
    with pytest.raises(SourceError, match=r"http://cds\.example\.org is not encrypted.*https"):
        open_source(config).check()
    with pytest.raises(SourceError, match="is not encrypted"):
        fetch(config)


def test_a_server_whose_certificate_is_not_to_be_verified_is_refused(tmp_path):
    rc = f"url: https://cds.example.org/api\nkey: {KEY}\nverify: 0\n"
    (tmp_path / "home/.cdsapirc").write_text(rc)
    with pytest.raises(SourceError, match=r"not verified.*remove 'verify'") as caught:
        open_source(configuration()).check()
    assert KEY not in str(caught.value)


def test_a_result_without_encryption_is_refused(server):
    server.store = "http://store.example.org"
    with pytest.raises(SourceError, match=r"store\.example\.org is not encrypted"):
        fetch(configuration())


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
