"""The command ``verify``: compare artefacts of any kind with their manifests."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from atmorep import integrity, manifest
from atmorep.errors import IntegrityError


def verify(paths: Sequence[str]) -> None:
    """Compare files, or all below folders, with their manifests; print what is damaged and the remedy.

    Raises:
        IntegrityError: if anything is damaged, or a path has no manifest.
    """
    found = dict.fromkeys(found for path in paths for found in _manifests(Path(path)))
    damages = [line for path in found for line in _damages(path)]
    for line in damages:
        print(line)
    if damages:
        raise IntegrityError(f"{len(damages)} damaged in {len(found)} artefacts")
    print(f"{len(found)} artefacts are what their manifests say")


def _manifests(path: Path) -> Iterator[Path]:
    """Yield the manifests of a file, or of all below a folder; that of what holds them, where there is none.

    Raises:
        IntegrityError: if there is no such path, or nothing answers for it.
    """
    # manifests of a Zarr store lie outside
    path = next((p.parent for p in (*reversed(path.parents), path) if p.suffix == ".zarr"), path)
    own = integrity.beside(path)
    if path.is_dir():
        found = list(_below(path))
    elif own.is_file():
        found = [own]
    else:
        found = [path] if path.is_file() and path.suffix == ".json" and _is_manifest(path) else []
    found = found or [file for file in integrity.candidates(path) if file.is_file()][:1]
    if not found:
        what = "has no manifest, so that it cannot be verified" if path.exists() else "is missing"
        raise IntegrityError(f"{path}: {what}")
    yield from found


def _below(folder: Path) -> Iterator[Path]:
    """Yield all manifests below a folder; stores have theirs outside, what is hidden is in the making."""
    for top, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and not f.endswith(".zarr"))
        for name in sorted(files):
            path = Path(top) / name
            if not name.startswith(".") and name.endswith(".json") and _is_manifest(path):
                yield path


def _is_manifest(path: Path) -> bool:
    """Whether a JSON file is a manifest, or cannot be told from a damaged one."""
    if path.name == manifest.MANIFEST:
        return True
    try:
        content: Any = json.loads(path.read_text())
    except (OSError, ValueError):
        return True
    return integrity.is_manifest(content)


def _damages(path: Path) -> Iterator[str]:
    """Yield a line for each thing that is not as the manifest ``path`` says."""
    try:
        if path.name == manifest.MANIFEST:
            manifest.verify(path.parent)
            return
        content = integrity.read(path, sealed=True)
        for file, what in integrity.damaged(path):
            yield f"{file}: {what}; {content['remedy']}"
        if "coordinates" in content:
            from atmorep.store.layout import check_layout

            check_layout(path)
    except IntegrityError as error:
        yield str(error)
