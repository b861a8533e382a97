"""Runs in places with hostile names, and with a key that nobody but the archive may see."""

import threading
from pathlib import Path

import psutil
import pytest
from cds_server import KEY, CdsServer
from conftest import Workflow
from era5 import experiment, write_experiment, write_month

pytestmark = pytest.mark.workflow

HOSTILE = "a b'c\"$(touch pwned)`touch pwned`;touch pwned #"
"""A name of a folder that a shell would run if it were not quoted."""


@pytest.fixture
def hostile(repository, tmp_path):
    """The workflow in a folder with such a name; nothing may be run of it."""
    (tmp_path / HOSTILE).mkdir()
    yield Workflow(repository, tmp_path / HOSTILE)
    assert not list(tmp_path.rglob("pwned"))


def test_folders_with_hostile_names(hostile):
    archive = hostile.folder / HOSTILE
    for month in ("2001-01", "2001-02"):
        write_month(archive, month)
    hostile.done(write_experiment(hostile.folder, experiment(archive)), "--until", "convert")
    assert len(list(hostile.folder.glob("data/store/*/parts/2t/*.json"))) == 2


def test_hostile_values_are_refused(workflow):
    done = workflow.run("--config", "experiment=$(touch pwned)")
    assert done.returncode
    assert "$(touch pwned)" in done.stdout
    assert "Traceback" not in done.stdout
    assert not list(workflow.folder.rglob("pwned"))


class CommandLines(threading.Thread):
    """Collects the command lines of all processes, as any user of the machine can, until the context ends."""

    def __init__(self):
        super().__init__()
        self.seen, self.over = set(), threading.Event()

    def run(self):
        while not self.over.wait(0.1):
            self.seen |= {" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


def test_the_key_is_in_no_file_process_list_or_message(workflow):
    """The archive refuses the first request, and says the key in its answer; the other one it delivers."""
    values = {**experiment(Path()), "source": {"kind": "cds", "retries": 1, "backoff_seconds": 0.01}}
    argument = write_experiment(workflow.folder, values)
    with CdsServer() as server, CommandLines() as processes:
        server.faults["submit"].append((400, "bad", f"your token {KEY} asked for too much"))
        access = {"CDSAPI_URL": server.url, "CDSAPI_KEY": KEY, "NO_PROXY": "127.0.0.1"}
        done = workflow.run(
            argument, "--keep-going", "--until", "convert", HOME=str(workflow.folder), **access
        )
    assert done.returncode
    assert "your token *** asked for too much" in done.stdout
    assert len(list(workflow.folder.glob("data/store/*/parts/2t/*.json"))) == 1
    assert any("atmorep download" in line for line in processes.seen)
    written = [path for path in workflow.folder.rglob("*") if path.is_file()]
    assert any(".snakemake" in path.parts for path in written)
    assert KEY not in done.stdout
    assert not any(KEY in line for line in processes.seen)
    assert not [path for path in written if KEY.encode() in path.read_bytes()]


def test_what_wants_a_key_is_planned_without_and_not_begun(workflow):
    values = {**experiment(Path()), "source": {"kind": "cds"}}
    argument = write_experiment(workflow.folder, values)
    nobody = {
        "HOME": str(workflow.folder),
        "CDSAPI_KEY": "",
        "CDSAPI_URL": "https://cds.climate.copernicus.eu/api",
    }
    assert workflow.planned(argument, **nobody)["convert"] == 2
    done = workflow.run(argument, **nobody)
    assert done.returncode
    assert "key is empty" in done.stdout
    assert not (workflow.folder / "data").exists()
