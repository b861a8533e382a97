"""The workflow as a whole: begun twice at once, killed, with files from the future; the same scores."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Steps
from .harness import FULL, TRIED, assert_same

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(not FULL, reason="takes minutes: make test-faults"),
]

LEFT = ("data", "models", "results/small/evaluation", "results/small/metrics.csv")
"""What is compared; the rest says how long something took."""


class Snakemake:
    """The workflow of the repository, on one configuration."""

    def __init__(self, repository: Path, config: Path) -> None:
        self.snakefile, self.config = repository / "workflow/Snakefile", config

    def start(self, folder: Path) -> subprocess.Popen[str]:
        """Start it in ``folder``, in a process group of its own."""
        folder.mkdir(exist_ok=True)
        command = [Path(sys.executable).with_name("snakemake"), "--cores", "2", "--snakefile", self.snakefile]
        return subprocess.Popen(
            [*command, "--configfile", self.config],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def finish(self, folder: Path) -> str:
        """Run it to its end; what it printed."""
        process = self.start(folder)
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
        return printed

    def unlock(self, folder: Path) -> None:
        """What a user does after Snakemake itself was killed."""
        command = [Path(sys.executable).with_name("snakemake"), "--snakefile", self.snakefile, "--unlock"]
        subprocess.run([*command, "--configfile", self.config], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def snakemake(repository: Path, steps: Steps) -> Snakemake:
    """The workflow on the experiment of the other tests."""
    return Snakemake(repository, steps.config)


@pytest.fixture(scope="module")
def undisturbed(snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which it ran to its end."""
    folder = tmp_path_factory.mktemp("snakemake") / "work"
    snakemake.finish(folder)
    return folder


def kept(folder: Path, target: Path) -> Path:
    """A copy of what is compared."""
    for name in LEFT:
        copy = shutil.copytree if (folder / name).is_dir() else shutil.copyfile
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy(folder / name, target / name)
    return target


def assert_ends_alike(folder: Path, undisturbed: Path, top: Path) -> None:
    assert_same(kept(folder, top / "found"), kept(undisturbed, top / "wanted"))


def test_two_at_once(snakemake, undisturbed, tmp_path):
    both = [snakemake.start(tmp_path / "work") for _ in range(2)]
    printed = [process.communicate()[0] for process in both]
    TRIED["two snakemakes at once"] += 1
    assert sorted(process.returncode != 0 for process in both) in ([False, False], [False, True]), printed
    assert_ends_alike(tmp_path / "work", undisturbed, tmp_path)


@pytest.mark.parametrize("number", range(3))
def test_killed_with_all_its_jobs(snakemake, undisturbed, tmp_path, number):
    draw, work = random.Random(number), tmp_path / "work"
    for _ in range(3):
        process = snakemake.start(work)
        try:
            process.wait(draw.uniform(5, 40))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        TRIED["snakemake killed with all its jobs"] += 1
        snakemake.unlock(work)
    snakemake.finish(work)
    assert_ends_alike(work, undisturbed, tmp_path)


@pytest.mark.parametrize("days", [-400, 400])
def test_files_of_a_clock_that_was_wrong(snakemake, undisturbed, tmp_path, days):
    work = shutil.copytree(undisturbed, tmp_path / "work")
    files = [path for path in (work / "data/store").rglob("*") if path.is_file()]
    for path in files:
        when = path.stat().st_mtime + 86400 * days
        os.utime(path, (when, when))
    TRIED["clock wrong by 400 days while a part was written"] += 1
    snakemake.finish(work)
    assert_ends_alike(work, undisturbed, tmp_path)
