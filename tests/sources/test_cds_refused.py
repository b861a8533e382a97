"""What the archive's client refuses: other content than asked for, and what would give the key away."""

import logging
from pathlib import Path

import pytest
from cds_archive import assert_delivered, configuration, fetch, files
from cds_server import KEY, answer, with_expver

from atmorep.errors import DataError, SourceError
from atmorep.paths import Paths
from atmorep.sources import open_source
from atmorep.sources.grib import scan

pytestmark = pytest.mark.usefixtures("workplace")

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
