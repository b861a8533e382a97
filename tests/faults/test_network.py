"""The network fails while raw files and targets are fetched, or the job is killed: what comes is the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from cds_server import KEY, CdsServer
from targets.dwd_server import DwdServer

from atmorep.targets.download import Downloads

from .harness import FULL, TRIED, assert_same, boundaries, copied, output, run

SPAN = "2019-03-01_2019-03-02"
PASSING = (429, 500, 502, 503, 504)
FAULTS = [
    *((operation, status) for operation in ("submit", "status", "results", "body") for status in PASSING),
    *(("body", "cut"), ("body", "expired"), ("results", 404), ("status", 404)),
]


def settings() -> dict:
    """Two fields of two days from the archive."""
    days = [("2019-03-01", "2019-03-02"), ("2019-03-03", "2019-03-04"), ("2019-03-05", "2019-03-06")]
    periods = [[{"start": first, "end": last}] for first, last in days]
    extent = {"time": 4, "latitude": 2, "longitude": 2}
    return {
        "experiment": "cds",
        "source": {"kind": "cds", "retries": 3, "backoff_seconds": 0.01},
        "data": {
            "grid": {"north": 52, "south": 50, "west": -1, "east": 2, "resolution": 1},
            "time_step": 6,
            "periods": dict(zip(("train", "validation", "test"), periods, strict=True)),
        },
        "fields": {"2t": {}, "msl": {}},
        "network": {"neighbourhood": extent, "token_size": {**extent, "time": 1}},
        "evaluation": {"lead_hours": [6]},
    }


class Archive:
    """The archive, and a job that fetches from it."""

    def __init__(self, server: CdsServer, config: Path) -> None:
        self.server = server
        self.command = ["download", "--config", str(config), "--group", "surface_an", "--span", SPAN]
        self.environment = {"CDSAPI_URL": server.url, "CDSAPI_KEY": KEY, "NO_PROXY": "127.0.0.1,localhost"}

    def fetch(self, work: Path, death: int = 0) -> int:
        """Run the job in ``work``; its exit status."""
        return run(work, self.command, death, **self.environment)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An archive without faults yet."""
    config = tmp_path / "cds.yaml"
    config.write_text(yaml.safe_dump(settings()))
    with CdsServer() as server:
        yield Archive(server, config)


@pytest.fixture
def delivered(archive: Archive, tmp_path: Path) -> Path:
    """Folder with what comes without any fault."""
    folder = tmp_path / "undisturbed"
    folder.mkdir()
    assert archive.fetch(folder) == 0, output(folder)
    return folder


def emptied(work: Path) -> Path:
    """An empty working folder."""
    (work.parent / "empty").mkdir(exist_ok=True)
    return copied(work.parent / "empty", work)


def test_what_passes_changes_nothing(archive, delivered, work):
    for operation, fault in FAULTS if FULL else FAULTS[::6]:
        for count in (1, 3) if FULL else (1,):
            archive.server.faults[operation].extend([fault] * count)
            TRIED[f"archive: {fault}"] += 1
            assert archive.fetch(emptied(work)) == 0, (operation, fault, output(work))
            archive.server.faults[operation].clear()
            assert_same(work, delivered)


def test_what_lasts_ends_with_an_error_and_the_next_run_goes_on(archive, delivered, work):
    for operation, fault in FAULTS if FULL else FAULTS[::6]:
        archive.server.faults[operation].extend([fault] * 20)
        TRIED[f"archive: {fault}, without end"] += 1
        assert archive.fetch(emptied(work)) == 2, (operation, fault, output(work))
        assert "Traceback" not in output(work)
        archive.server.faults[operation].clear()
        assert archive.fetch(work) == 0, output(work)
        assert_same(work, delivered)


def test_a_fetch_killed_at_a_boundary_is_made_good_by_the_next_run(archive, delivered, work):
    events = boundaries(emptied(work), archive.command, **archive.environment)
    for number in range(1, len(events) + 1, 1 if FULL else 8):
        assert archive.fetch(emptied(work), death=number) == -9, events[number - 1]
        TRIED["killed while fetching from the archive"] += 1
        assert archive.fetch(work) == 0, output(work)
        assert_same(work, delivered)


BODY = bytes(range(256)) * 2048


@pytest.fixture
def site() -> DwdServer:
    """A server with one file."""
    with DwdServer() as server:
        server.files["a/b.tar"] = BODY
        yield server


def get(url: str, target: str) -> None:
    """Fetch a file in as small a time as faults allow."""
    settings = {"retries": 3, "backoff_seconds": 0.01, "timeout_seconds": 0.3, "longest": 2**30}
    Downloads("site", **settings).fetch(url, Path(target))


@pytest.mark.parametrize("fault", ["drop", "stall", "short", "less", 429, 500, 503])
def test_a_file_of_a_target_comes_whole(site, work, fault):
    wrong = fault == "less"  # no client can know: what it is of tells, an archive's checksum
    for count in (1, 2, 3) if FULL else (1,):
        site.faults["a/b.tar"].extend([fault] * count)
        assert run(emptied(work), (get, f"{site.url}/a/b.tar", "b.tar")) == 0, output(work)
        TRIED[f"server of targets: {fault}"] += 1
        assert (work / "b.tar").read_bytes() == (BODY[: len(BODY) // 2] if wrong else BODY)
        site.faults["a/b.tar"].clear()
    assert [path.name for path in work.iterdir()] == ["b.tar"]


def test_a_download_killed_at_a_boundary_goes_on(site, work):
    command = (get, f"{site.url}/a/b.tar", "b.tar")
    for number in range(1, len(boundaries(emptied(work), command)) + 1, 1 if FULL else 3):
        assert run(emptied(work), command, death=number) == -9
        TRIED["killed while fetching a target"] += 1
        assert run(work, command) == 0, output(work)
        assert (work / "b.tar").read_bytes() == BODY
        assert [path.name for path in work.iterdir()] == ["b.tar"]
