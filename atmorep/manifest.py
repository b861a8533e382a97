"""The manifest of a bundle: what it holds and the checksums of its files, read without the network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atmorep import __version__
from atmorep.artefacts import read_json, sha256, write_json
from atmorep.errors import IntegrityError

MANIFEST = "bundle.json"
FORMAT = 2
"""Version of the bundle's form; raised when a bundle of before cannot be read as it is."""


def write(folder: Path, fields: Sequence[str], files: Sequence[str], task: str | None = None) -> None:
    """Write the manifest of the bundle ``folder``.

    Args:
        folder: holds ``files`` already.
        fields: ERA5 short names of the fields of the model.
        files: names of what must not change, relative to ``folder``.
        task: name of the downstream task that the model is of.
    """
    checksums = {name: sha256(folder / name) for name in files}
    manifest = {"format": FORMAT, "fields": list(fields), "code_version": __version__}
    manifest |= {} if task is None else {"task": task}
    write_json(folder / MANIFEST, {**manifest, "sha256": checksums})


def fields(folder: Path) -> tuple[str, ...]:
    """Return the fields of the bundle ``folder``; its other files are not looked at.

    Raises:
        IntegrityError: if there is no manifest, or of another form.
    """
    return tuple(_read(folder)["fields"])


def task(folder: Path) -> str | None:
    """Return the downstream task that the bundle ``folder`` is of; None where it is of fields alone.

    Raises:
        IntegrityError: if there is no manifest, or of another form.
    """
    name: str | None = _read(folder).get("task")
    return name


def files(folder: Path) -> tuple[str, ...]:
    """Return the names of the files that belong to the bundle ``folder``, relative to it.

    Raises:
        IntegrityError: if there is no manifest, or of another form.
    """
    return tuple(_read(folder)["sha256"])


def identity(folder: Path) -> str:
    """Return the SHA-256 of the manifest of the bundle ``folder``, which names the checksums of all else."""
    return sha256(folder / MANIFEST)


def verify(folder: Path) -> None:
    """Compare the files of the bundle ``folder`` with its manifest.

    Raises:
        IntegrityError: if a file is missing or has been altered since.
    """
    for name, checksum in _read(folder)["sha256"].items():
        if not (folder / name).is_file():
            raise IntegrityError(f"{folder}: {name} is missing; train the model again")
        if sha256(folder / name) != checksum:
            raise IntegrityError(
                f"{folder / name}: is damaged or has been altered since it was saved; train the model again"
            )


def _read(folder: Path) -> dict[str, Any]:
    if not (folder / MANIFEST).is_file():
        raise IntegrityError(f"{folder}: {MANIFEST} is missing; train the model again")
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder / MANIFEST}: format {manifest.get('format')} is not {FORMAT}, the one this version of "
            "AtmoRep reads; train the model again or use the version that wrote it"
        )
    return manifest
