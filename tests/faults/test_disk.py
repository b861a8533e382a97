"""The disk fills while a stage writes: it says so, and ends well once there is room again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import FULL, TRIED, assert_same, copied, output, run

STAGES = ["download", "convert", "sums"]
if FULL:
    STAGES += ["statistics", "convert-target", "static", "pretrain", "evaluate", "report"]
SHARES = (0.05, 0.3, 0.6, 0.9) if FULL else (0.4,)
"""Of what the stage writes: how much there is room for."""


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MB of its own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def size(folder: Path) -> int:
    """Bytes that a folder takes."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("stage", STAGES)
def test_a_full_disk_is_made_good_once_there_is_room(steps, small, stage, share):
    step = next(step for step in steps if step.job.stage == stage)
    work, filler = copied(step.before, small / "work"), small / "filler"
    written = max(8192, size(step.after) - size(step.before))
    free = os.statvfs(small)
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - int(share * written))))
    code = run(work, step.command)
    TRIED[f"disk full ({stage})"] += 1
    printed = output(work)
    filler.unlink()
    if code:
        assert code > 0, printed
        assert "Traceback" not in printed, printed
    assert run(work, step.command) == 0, output(work)
    assert_same(work, step.after)
