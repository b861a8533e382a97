"""Lint is part of the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = {
    "ruff": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "types": ["mypy"],
    "snakefmt": ["snakefmt", "--check", "workflow"],
    "snakemake": ["snakemake", "--lint"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_lint(repository, name):
    program, *arguments = COMMANDS[name]
    command = [Path(sys.executable).with_name(program), *arguments]
    done = subprocess.run(
        command, cwd=repository, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
