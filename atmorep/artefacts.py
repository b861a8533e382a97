"""Writing artefacts so that nobody ever meets half of one: aside first, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from atmorep.errors import IntegrityError


@contextmanager
def written_aside(target: Path) -> Iterator[Path]:
    """Yield a path beside ``target`` (file or folder to be); rename it into place on success.

    On failure nothing is left. A folder replaces an existing one as a whole.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    _remove(aside)
    try:
        yield aside
        for entry in [aside, *(aside.rglob("*") if aside.is_dir() else ())]:
            _sync(entry)
        if aside.is_dir():
            _remove(target)
        os.replace(aside, target)
        _sync(target.parent)
    finally:
        _remove(aside)


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


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
