"""Runs Snakemake as a user does, in an empty working directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


class Workflow:
    """The workflow of ``repository``, run in ``folder``."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.repository, self.folder = repository, folder

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``snakemake`` with two cores; standard error goes with standard output."""
        # where ranks of a training in this process met is no place for others
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MASTER_")}
        return subprocess.run(
            [
                *(Path(sys.executable).with_name("snakemake"), "--cores", "2"),
                *("--snakefile", self.repository / "workflow/Snakefile"),
                *arguments,
            ],
            cwd=self.folder,
            env={**inherited, "OMP_NUM_THREADS": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def planned(self, *arguments: str, **environment: str) -> dict[str, int]:
        """Number of jobs of each rule that a dry run announces."""
        done = self.run("--dry-run", "--quiet", "rules", *arguments, **environment)
        assert done.returncode == 0, done.stdout
        if "Nothing to be done" in done.stdout:
            return {}
        table = done.stdout.split("Job stats:")[1].split("total")[0]
        rows = (line.split() for line in table.splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdigit()}

    def done(self, *arguments: str) -> str:
        """Run for real; the output."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def workflow(repository, tmp_path) -> Workflow:
    """The workflow in an empty folder."""
    return Workflow(repository, tmp_path)
