"""Manifests: what an artefact is made of, in one form for all, and whether it is still that.

A manifest is JSON, written after what it lists: beside a file (``NAME.manifest.json``), within a folder
(``manifest.json``), or as the file that stands for an artefact of many (a month of shards, a target's list
of files). It says how to make the artefact anew, and holds a checksum of itself, so that a bit that flips in
it is found too. What has no manifest is taken as it is: it appeared at once, by its renaming.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from atmorep import __version__
from atmorep.artefacts import crc32c, crc32c_of, read_json, write_json, written_aside
from atmorep.errors import IntegrityError

NAME = "manifest.json"
"""Manifest of a folder, within it."""

_SEAL = "manifest_crc32c"
_LISTS = ("files", "partner")
"""Keys of what a manifest answers for: files, and those of a target's other wind component."""

ZARR = ("zarr.json", ".zmetadata", ".zgroup")
"""Files that hold the metadata of a Zarr store."""

_DEEPEST = 4
"""Folders above a file that may have a manifest that lists it."""

Entry = dict[str, Any]
"""Path, size in bytes and CRC-32C (hex) of a file."""


# -- writing ---------------------------------------------------------------------------------------


def beside(file: Path) -> Path:
    """Return the path of the manifest of ``file``."""
    return file.with_name(f"{file.name}.{NAME}")


def entry(path: Path, base: Path | None = None) -> Entry:
    """Return path, size and CRC-32C of a file; of a Zarr store that others keep, those of its metadata.

    Args:
        path: of the file.
        base: folder that the path returned is relative to; the working directory by default.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    held = _held(path)
    if held is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    name = str(path) if base is None else os.path.relpath(path, base)
    return {"path": name, "size": held.stat().st_size, "crc32c": crc32c(held)}


def is_there(path: Path) -> bool:
    """Whether a path is a file, or a Zarr store."""
    return _held(path) is not None


def _held(path: Path) -> Path | None:
    """The file whose bytes stand for ``path``."""
    candidates = [path / name for name in ZARR] if path.is_dir() else [path]
    return next((file for file in candidates if file.is_file()), None)


def _whole(store: Path, base: Path) -> Entry:
    """Return path, number of files, size and CRC-32C of all of a Zarr store: its chunks may be a million."""
    files = sorted(path for path in store.rglob("*") if path.is_file())
    entries = [entry(path, store) for path in files]
    together = crc32c_of(json.dumps(entries).encode())
    size = sum(found["size"] for found in entries)
    return {"path": os.path.relpath(store, base), "members": len(files), "size": size, "crc32c": together}


def _within(folder: Path) -> Iterator[Path]:
    """Yield the files and Zarr stores in a folder, in order."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.suffix != ".zarr":
            yield from _within(path)
        else:
            yield path


def write(
    path: Path,
    files: Sequence[Entry],
    *,
    remedy: str,
    base: Path | None = None,
    sources: Sequence[Entry] = (),
    arrays: Mapping[str, Any] | None = None,
    **more: Any,
) -> None:
    """Write a manifest.

    Args:
        path: file to be.
        files: what it answers for, paths relative to ``base``.
        remedy: what to do where one is damaged, such as the command that makes it anew.
        base: folder; that of ``path`` by default.
        sources: what it was made from, paths relative to the working directory.
        arrays: shape and type of what the files hold, by name.
        more: what else there is to be said.
    """
    folder = {} if base is None else {"base": os.path.relpath(base, path.parent)}
    content = {**more, **folder, "files": list(files), "remedy": remedy, "sources": list(sources)}
    content |= {"arrays": dict(arrays or {}), "code_version": __version__}
    content = json.loads(json.dumps(content))  # as it will be read
    write_json(path, {**content, _SEAL: _seal(content)})


def _seal(content: Mapping[str, Any]) -> str:
    return crc32c_of(json.dumps(content, sort_keys=True).encode())


def record(file: Path, remedy: str, sources: Sequence[Entry] = (), **more: Any) -> None:
    """Write the manifest of a file that is there; for what else it takes see :func:`write`."""
    shapes = {"arrays": dict(_arrays(file)), **more}
    write(beside(file), [entry(file, file.parent)], remedy=remedy, sources=sources, **shapes)


@contextmanager
def recorded(target: Path, remedy: str, sources: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield a path beside ``target``, as :func:`written_aside` does; its manifest comes with it.

    That of a folder is within it; that of a file is written after it, and the one before goes first, so that
    it never is of another file.

    Args:
        target: file or folder to be.
        remedy: what to do where it is damaged.
        sources: files it is made from.
    """
    known = [entry(path) for path in sources]
    beside(target).unlink(missing_ok=True)
    with written_aside(target) as aside:
        yield aside
        if aside.is_dir():
            record_folder(aside, remedy, known)
    if target.is_file():
        record(target, remedy, known)


def record_folder(
    folder: Path, remedy: str, sources: Sequence[Entry] = (), leave: Iterable[str] = ()
) -> None:
    """Write the manifest of all in a folder, but for the files ``leave`` that may change."""
    found = [path for path in _within(folder) if path.name not in {NAME, *leave}]
    arrays = {f"{path.relative_to(folder)}:{name}": what for path in found for name, what in _arrays(path)}
    write(folder / NAME, _listed(found, folder), remedy=remedy, sources=sources, arrays=arrays)


def listing(folder: Path) -> list[Entry]:
    """Return path (relative to ``folder``), size and CRC-32C of all in a folder."""
    return _listed(_within(folder), folder)


def _listed(found: Iterable[Path], folder: Path) -> list[Entry]:
    return [_whole(path, folder) if path.is_dir() else entry(path, folder) for path in found]


def _arrays(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name, shape and type of the arrays in a NetCDF or safetensors file or a Zarr store."""
    if path.suffix == ".zarr":
        for file in sorted(path.glob("*/zarr.json")):
            metadata = read_json(file)
            yield file.parent.name, {"shape": metadata["shape"], "dtype": metadata["data_type"]}
    elif path.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(path, "numpy") as tensors:
            for name in sorted(tensors.keys()):
                part = tensors.get_slice(name)
                yield name, {"shape": part.get_shape(), "dtype": part.get_dtype()}
    elif path.suffix == ".nc":
        import netCDF4

        with netCDF4.Dataset(path) as dataset:
            for name, variable in dataset.variables.items():
                yield name, {"shape": list(variable.shape), "dtype": str(variable.dtype)}


# -- reading ---------------------------------------------------------------------------------------


def read(path: Path, *, sealed: bool = False) -> dict[str, Any]:
    """Return what a manifest says.

    Args:
        path: the manifest.
        sealed: refuse one without a checksum of its own, as versions before wrote them.

    Raises:
        IntegrityError: if it is absent or damaged.
    """
    content: Any = read_json(path)
    if not isinstance(content, dict):
        raise IntegrityError(f"{path}: is no manifest; delete it and rerun")
    seal = content.pop(_SEAL, None)
    if seal != _seal(content) if seal is not None else sealed:
        raise IntegrityError(f"{path}: is damaged or was altered; delete it and rerun")
    return content


def checked(path: Path) -> Entry:
    """Return path, size and CRC-32C of a file, once it is what its manifest says, where it has one.

    Raises:
        FileNotFoundError: if there is no such file.
        IntegrityError: if it is not what its manifest says.
    """
    found = entry(path)
    for manifest in filter(Path.is_file, candidates(path)):
        folder, listed, remedy = _index(manifest.absolute(), manifest.stat().st_mtime_ns)
        if (known := listed.get(os.path.relpath(path, folder))) is not None:
            if (known["size"], known["crc32c"]) != (found["size"], found["crc32c"]):
                raise IntegrityError(f"{path}: is damaged or was altered; {remedy}")
            return found
    return found


@lru_cache(maxsize=8)
def _index(path: Path, _changed: int) -> tuple[Path, dict[str, Entry], str]:
    """Folder, files by path and remedy of a manifest, which may list thousands that are asked for in turn."""
    content = read(path)
    listed = {found["path"]: found for found in content.get("files", ())}
    return folder_of(path, content), listed, content.get("remedy", "")


def candidates(path: Path) -> Iterator[Path]:
    """Where a manifest that lists ``path`` may be."""
    yield beside(path)
    for folder in path.parents[:_DEEPEST]:
        yield folder / NAME
        if folder.name:
            yield beside(folder)


def damaged(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield each file that is not what the manifest ``path`` says, and why.

    Raises:
        IntegrityError: if the manifest itself is damaged.
    """
    content = read(path)
    folder = folder_of(path, content)
    for listed in (listed for key in _LISTS for listed in content.get(key, ())):
        if what := _difference(folder, listed):
            yield folder / listed["path"], what


def _difference(base: Path, listed: Entry) -> str:
    """In what a file is not as listed; empty if it is."""
    path = base / listed["path"]
    if not ("members" in listed and path.is_dir()) and _held(path) is None:
        return "is missing"
    found = _whole(path, base) if "members" in listed else entry(path, base)
    for key, unit in (("members", "files"), ("size", "bytes")):
        if found.get(key) != listed.get(key):
            return f"has {found[key]} {unit} instead of {listed[key]}"
    return "" if found["crc32c"] == listed["crc32c"] else "is damaged or was altered"


def check(path: Path) -> None:
    """Compare all that the manifest ``path`` lists.

    Raises:
        IntegrityError: naming the first file that differs, and the remedy.
    """
    for file, what in damaged(path):
        raise IntegrityError(f"{file}: {what}; {read(path)['remedy']}")


def is_manifest(content: Any) -> bool:
    """Whether JSON is a manifest, or was one before one bit flipped."""
    return isinstance(content, dict) and (_SEAL in content or {"files", "remedy"} <= content.keys())


def folder_of(path: Path, content: Mapping[str, Any]) -> Path:
    """Folder that the paths in a manifest are relative to."""
    return Path(os.path.normpath(path.parent / content.get("base", ".")))
