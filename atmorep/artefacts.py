"""Writing artefacts so that nobody ever meets half of one: aside first, then renamed into place."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atmorep.errors import IntegrityError


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` (file or folder to be); rename it into place on success.

    On failure nothing is left, and what a process left that was killed is removed by the next one that writes
    the same. A folder replaces an existing one as a whole.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    aside = aside_of(target)
    try:
        yield aside
        for entry in [aside, *(aside.rglob("*") if aside.is_dir() else ())]:
            _sync(entry)
        if aside.is_dir() and target.is_dir():
            # never removed in place: a process killed meanwhile would leave a part of it under its name
            os.rename(target, aside.with_suffix(".old.part"))
        os.replace(aside, target)
        _sync(target.parent)
    finally:
        _remove(aside)
        _remove(aside.with_suffix(".old.part"))


def aside_of(target: Path) -> Path:
    """Return where this process writes ``target`` before it is renamed."""
    return target.with_name(f".{target.name}.{socket.gethostname()}.{os.getpid()}.part")


def remove_leftovers(target: Path) -> None:
    """Remove what processes of this machine wrote aside for ``target`` before they were killed."""
    pattern = f".{glob.escape(target.name)}.{glob.escape(socket.gethostname())}.*.part"
    for path in target.parent.glob(pattern):
        process = path.name.removesuffix(".part").removesuffix(".old").rpartition(".")[2]
        if process.isdigit() and (int(process) == os.getpid() or not _is_alive(int(process))):
            _remove(path)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(target: Path, text: str) -> None:
    """Write ``text`` to ``target`` at once."""
    with written_aside(target) as aside:
        aside.write_text(text)


def write_json(target: Path, value: Any) -> None:
    """Write ``value`` as indented JSON to ``target`` at once."""
    write_text(target, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        IntegrityError: if ``path`` is absent or not JSON.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise IntegrityError(f"{path}: cannot be read as JSON ({error}); delete it and rerun") from None


def crc32c(path: Path) -> str:
    """Return the CRC-32C of a file in hex: far cheaper than SHA-256 where only damage is to be found."""
    import google_crc32c

    checksum = google_crc32c.Checksum()
    with path.open("rb") as file:
        while block := file.read(2**20):
            checksum.update(block)
    return checksum.digest().hex()


def crc32c_of(data: bytes) -> str:
    """Return the CRC-32C of bytes in hex."""
    import google_crc32c

    return f"{google_crc32c.value(data):08x}"


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
