"""Jobs in processes of their own, which are killed; what they leave compared with what they should."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import xarray as xr

from atmorep.cli import main

TRIED: Counter[str] = Counter()
"""Faults that were tried, by kind."""

SECONDS = 120
"""After which a process is taken to hang."""

FULL = "ATMOREP_FAULTS" in os.environ
"""Whether all faults are tried, or a selection."""

# Jobs are forked from a process that has imported what takes long, and opened nothing.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "atmorep.downstream.fitted",
        "atmorep.evaluation.downstream",
        "atmorep.evaluation.stage",
        "atmorep.report.stage",
        "atmorep.store.convert",
        "atmorep.store.statistics",
        "atmorep.targets.convert",
        "atmorep.training.couple",
        "faults.harness",
    ]
)

Command = list[str] | tuple[Any, ...]

_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}


def run(folder: Path, command: Command, death: int = 0, **environment: str) -> int:
    """Run ``atmorep`` in ``folder``; the exit status, negative where it was killed by a signal.

    Args:
        folder: working directory.
        command: arguments, or a function and what it is called with.
        death: number of the boundary (:func:`boundaries`) at which the process is killed; 0 for none.
        environment: variables besides; ``CLOCK`` is in seconds by how much the clock is wrong.
    """
    process = start(folder, command, death, **environment)
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"{command} hangs")
    return process.exitcode


def start(folder: Path, command: Command, death: int = 0, **environment: str) -> Any:
    """Start ``atmorep`` in ``folder``; the process."""
    process = PROCESSES.Process(target=_run, args=(str(folder), command, death, environment))
    process.start()
    return process


def boundaries(folder: Path, command: Command, **environment: str) -> list[str]:
    """Run ``atmorep`` undisturbed; where it opens a file for writing, renames, removes or makes a folder."""
    assert run(folder, command, -1, **environment) == 0, output(folder)
    return _events(folder).read_text().splitlines()


def output(folder: Path) -> str:
    """What the last process in ``folder`` printed."""
    return (folder.parent / "output").read_text()


def _events(folder: Path) -> Path:
    return folder.parent / f"{folder.name}.events"


def _run(folder: str, command: Command, death: int, environment: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    printed = os.open(f"{Path(folder).parent}/output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    seen: list[str] = []
    if clock := float(environment.get("CLOCK", 0)):
        right = time.time
        time.time = lambda: right() + clock
    if death:
        sys.addaudithook(_hook(folder, death, seen))
    status = main(command) if isinstance(command, list) else command[0](*command[1:]) or 0
    events = list(seen)
    if death < 0:
        _events(Path(folder)).write_text("\n".join(events))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _hook(folder: str, death: int, seen: list[str]) -> Any:
    """Kill this process before the boundary number ``death``; note all of them in ``seen``."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        name = _changed(event, arguments, folder)
        if name:
            seen.append(f"{event} {name}")
            if len(seen) == death:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def _changed(event: str, arguments: tuple[Any, ...], folder: str) -> str:
    """Name of what is about to be changed below ``folder``; empty if nothing is."""
    if event != "open" and event not in _CHANGES:
        return ""
    path = arguments[0]
    if not isinstance(path, (str, os.PathLike)):
        return ""
    name = os.fspath(path)
    inside = isinstance(name, str) and (not os.path.isabs(name) or name.startswith(f"{folder}/"))
    if not inside:
        return ""
    writes = event != "open" or bool((arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR))
    # what is being written is opened again to be flushed: between writing and renaming
    return name if writes or ".part" in name else ""


def copied(source: Path, target: Path) -> Path:
    """Make ``target`` a copy of the folder ``source``."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(source, target)
    return target


# -- what is left ----------------------------------------------------------------------------------

_TIMED = ("training.csv", "report.html", "state.safetensors", "manifest.json", ".svg", ".png")
"""Ends of the names of files that say how long something took, or hold the checksum of one that does."""


def content(folder: Path) -> dict[str, str]:
    """Checksum of each file below a folder; of those that differ from run to run only that they are there."""
    return {str(p.relative_to(folder)): _checksum(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def _checksum(path: Path) -> str:
    if path.name.endswith(_TIMED):
        return ""
    data = _values(path) if path.name == "maps.nc" else path.read_bytes()
    return hashlib.sha256(data).hexdigest()


def _values(path: Path) -> bytes:
    """What a NetCDF file holds: threads write the pieces of maps in any order."""
    with xr.open_dataset(path, decode_cf=False) as dataset:
        parts = (value.to_numpy().tobytes() for value in dataset.variables.values())
        return repr(dataset).encode() + b"".join(parts)


def assert_same(found: Path, wanted: Path) -> None:
    """Assert that two folders hold the same artefacts, and nothing half-written."""
    ours, theirs = content(found), content(wanted)
    odd = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    assert odd == [], f"lost, left over or different: {odd[:10]}"
