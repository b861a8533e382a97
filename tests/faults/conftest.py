"""The undisturbed run, step by step, and the count of faults at the end."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from atmorep.config import load

from .experiment import Job, jobs, prepare
from .harness import TRIED, output, run


@dataclass(frozen=True)
class Step:
    """A job, and the working folder before and after it; only to be read.

    Attributes:
        job: the job.
        config: path of the configuration.
        before: copy of the folder before it.
        after: copy of the folder after it.
    """

    job: Job
    config: Path
    before: Path
    after: Path

    @property
    def command(self) -> list[str]:
        """Arguments of ``atmorep``."""
        return self.job.command(self.config)


class Steps:
    """All jobs of the experiment, done once without any fault, as far as they are asked for."""

    def __init__(self, top: Path) -> None:
        self._top, self.config = top, prepare(top / "given")
        self._jobs, self._done = jobs(load(self.config)), list[Step]()
        (top / "work").mkdir()
        self._before = _kept(top / "work", top / "0")

    def __iter__(self) -> Iterator[Step]:
        for number in range(len(self._jobs)):
            if number == len(self._done):
                self._do(number)
            yield self._done[number]

    def _do(self, number: int) -> None:
        job, work = self._jobs[number], self._top / "work"
        assert run(work, job.command(self.config)) == 0, output(work)
        after = _kept(work, self._top / str(number + 1))
        self._done.append(Step(job, self.config, self._before, after))
        self._before = after


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Steps:
    """The undisturbed run."""
    return Steps(tmp_path_factory.mktemp("undisturbed"))


def _kept(folder: Path, target: Path) -> Path:
    """Keep a folder as it is: nothing is written in place, so that links are copies."""
    shutil.copytree(folder, target, copy_function=os.link)
    return target


@pytest.fixture(scope="session")
def finished(steps: Steps) -> Path:
    """The folder after the last job; only to be read."""
    return list(steps)[-1].after


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Path of a working folder to be."""
    return tmp_path / "work"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many faults of which kind were tried."""
    if TRIED:
        terminalreporter.section("faults tried")
        for kind, count in sorted(TRIED.items()):
            terminalreporter.write_line(f"{count:6} {kind}")
        terminalreporter.write_line(f"{TRIED.total():6} in all")
