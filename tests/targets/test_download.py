"""Downloads survive what passes, go on where they broke, and never join two versions of a file."""

import shutil
import ssl
import subprocess

import numpy as np
import pytest

from atmorep.errors import SourceError
from atmorep.targets.download import Absent, Downloads

from .dwd_server import DwdServer

CONTENT = np.random.default_rng(1).bytes(300_001)
OTHER = np.random.default_rng(2).bytes(300_001)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def server():
    with DwdServer() as running:
        running.files["a/month.tar.gz"] = CONTENT
        yield running


def downloads(retries=3, backoff=0.01, timeout=10.0, longest=10**6):
    return Downloads(
        "dwd", retries=retries, backoff_seconds=backoff, timeout_seconds=timeout, longest=longest
    )


def fetch(server, tmp_path, **settings):
    target = tmp_path / "out/month.tar.gz"
    downloads(**settings).fetch(f"{server.url}/a/month.tar.gz", target)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return target.read_bytes()


def ranges(server):
    return [asked for _, asked in server.requests]


def faults(server, *several):
    server.faults["a/month.tar.gz"].extend(several)


def test_a_file(server, tmp_path):
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None]


def test_an_empty_file(server, tmp_path):
    server.files["a/month.tar.gz"] = b""
    assert fetch(server, tmp_path) == b""


@pytest.mark.parametrize("fault", ["encoded", "chunked", "weak", "bare"])
def test_a_file_whatever_the_headers(server, tmp_path, fault):
    faults(server, fault)
    assert fetch(server, tmp_path) == CONTENT


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again(server, tmp_path, status):
    faults(server, status, status)
    assert fetch(server, tmp_path) == CONTENT
    assert len(server.requests) == 3


def test_waits_double(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("atmorep.sources.http.time.sleep", waits.append)
    faults(server, 429, 503, 500)
    fetch(server, tmp_path, backoff=4)
    assert waits == [4, 8, 16]


def test_a_server_that_asks_for_patience_gets_it(server, tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr("atmorep.sources.http.time.sleep", waits.append)
    faults(server, (429, "30"), (503, "1"), (503, "Wed, 21 Oct 2015 07:28:00 GMT"), (429, "9" * 9))
    fetch(server, tmp_path, backoff=4, retries=4)
    assert waits == [30, 8, 16, 600]


@pytest.mark.parametrize("fault", ["drop", "stall", "short"])
def test_a_broken_download_goes_on_where_it_broke(server, tmp_path, fault):
    faults(server, fault, 503, fault)
    assert fetch(server, tmp_path, timeout=0.5) == CONTENT
    first, second, *rest = ranges(server)
    assert first is None
    assert second == rest[0]
    starts = [int(asked[6:-1]) for asked in (second, *rest[1:])]
    assert 0 < starts[0] <= len(CONTENT) // 2 < starts[1]  # what came of the last chunk may be lost


def test_a_later_run_goes_on(server, tmp_path):
    faults(server, "short", 503)
    with pytest.raises(SourceError, match=r"month.tar.gz: failed 2 times.*503.*rerun later to go on"):
        fetch(server, tmp_path, retries=1)
    assert not (tmp_path / "out/month.tar.gz").exists()
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server)[-1].startswith("bytes=")


@pytest.fixture
def killed(server, tmp_path, monkeypatch):
    """Fetches, and is killed when all has come but is not renamed yet."""

    def finish(*_):
        raise KeyboardInterrupt

    def fetched():
        with monkeypatch.context() as patch:
            patch.setattr("atmorep.targets.download._Part.finish", finish)
            with pytest.raises(KeyboardInterrupt):
                fetch(server, tmp_path)
        return tmp_path / "out/.month.tar.gz.part"

    return fetched


def test_what_came_whole_before_a_kill_is_not_fetched_again(server, tmp_path, killed):
    assert killed().read_bytes() == CONTENT
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None]


@pytest.mark.parametrize("other", [OTHER, OTHER[:1000], OTHER + OTHER], ids=["equal", "shorter", "longer"])
@pytest.mark.parametrize("deaf", [(), ("deaf",)], ids=["If-Range", "no If-Range"])
def test_a_file_that_changes_between_attempts_is_fetched_anew(server, tmp_path, other, deaf):
    faults(server, "short", 503, *deaf)
    with pytest.raises(SourceError):
        fetch(server, tmp_path, retries=1)
    server.files["a/month.tar.gz"] = other
    assert fetch(server, tmp_path) == other
    assert ranges(server)[2].startswith("bytes=")


@pytest.mark.parametrize(("fault", "asked"), [("bare", None), ("weak", "bytes=1000-")])
def test_it_goes_on_only_by_what_tells_versions_apart(server, tmp_path, killed, fault, asked):
    """A weak ETag does not; the date of the last change does."""
    faults(server, fault, "weak")
    killed().write_bytes(CONTENT[:1000])
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None, asked]


def test_a_part_without_its_notes_is_of_no_use(server, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/.month.tar.gz.part").write_bytes(b"anything")
    assert fetch(server, tmp_path) == CONTENT
    assert ranges(server) == [None]


@pytest.mark.parametrize("status", [404, 410])
def test_an_absent_file(server, tmp_path, status):
    faults(server, status)
    with pytest.raises(Absent, match=r"dwd: http://127.*/a/month.tar.gz: the server has no such file"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_refusal_is_final(server, tmp_path, status):
    faults(server, status)
    with pytest.raises(SourceError, match=f"{status}.*look whether 'url' is the right server"):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("fault", ["chunked", "bare"])
def test_a_file_too_large(server, tmp_path, fault):
    faults(server, fault)
    with pytest.raises(SourceError, match=r"bytes or more, where 300000 are the most"):
        fetch(server, tmp_path, longest=300_000)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("http://opendata.example.org/x", "http://opendata.example.org is not encrypted; use an https"),
        ("https://opendata.example.org/x", "redirects to https://.*another scheme"),
        ("ftp://127.0.0.1/x", "redirects to ftp://.*another scheme"),
        ("file:///etc/passwd", "redirects to file://.*another scheme"),
    ],
)
def test_redirects_that_are_not_followed(server, tmp_path, target, message):
    faults(server, target)
    with pytest.raises(SourceError, match=message):
        fetch(server, tmp_path)
    assert len(server.requests) == 1


def test_redirects_without_end(server, tmp_path):
    faults(server, *[f"{server.url}/a/month.tar.gz"] * 40)
    with pytest.raises(SourceError, match="TooManyRedirects"):
        fetch(server, tmp_path)
    assert len(server.requests) <= 31


@pytest.mark.parametrize("url", ["http://opendata.example.org/x", "ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_addresses_without_encryption(tmp_path, url):
    with pytest.raises(SourceError, match="is not encrypted; use an https address in 'url'"):
        downloads().fetch(url, tmp_path / "x")


def test_a_server_that_is_not_there(tmp_path):
    with DwdServer() as server:
        gone = server.url
    with pytest.raises(SourceError, match="failed 2 times, last with: ConnectionError"):
        downloads(retries=1).fetch(f"{gone}/x", tmp_path / "x")


def test_a_certificate_that_nobody_vouches_for(tmp_path):
    with DwdServer(self_signed(tmp_path)) as server:
        server.files["x"] = CONTENT
        with pytest.raises(SourceError, match=r"certificate verify failed.*this machine's certificates"):
            downloads().fetch(f"{server.url}/x", tmp_path / "x")
        assert not server.requests


def self_signed(folder):
    openssl = shutil.which("openssl") or pytest.skip("no openssl that makes a certificate")
    files = ["-keyout", folder / "key", "-out", folder / "certificate"]
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *files, *subject]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate", folder / "key")
    return context


def test_listings(server):
    server.files |= {"a/b/c": b"", "a/d": b""}
    assert downloads().names(f"{server.url}/a") == {"..", "month.tar.gz", "b", "d"}
    with pytest.raises(Absent):
        downloads().names(f"{server.url}/e")


@pytest.mark.parametrize(("fault", "message"), [(503, "503.*try again later"), (403, "403.*right server")])
def test_a_listing_is_asked_for_once(server, fault, message):
    server.faults["a"].append(fault)
    with pytest.raises(SourceError, match=message):
        downloads().names(f"{server.url}/a")
    assert len(server.requests) == 1


def test_a_page_that_is_no_listing(server):
    server.files["a/page"] = b"<html>Welcome</html>"
    with pytest.raises(SourceError, match="is no listing of files"):
        downloads().names(f"{server.url}/a/page")
