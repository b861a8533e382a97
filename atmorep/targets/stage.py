"""The stages 'check', 'download-target' and 'download-static'."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from atmorep.artefacts import crc32c, write_json
from atmorep.config import Config, Target
from atmorep.errors import DataError, SourceError
from atmorep.paths import Paths
from atmorep.sources import stage as sources
from atmorep.targets.source import gridded, open_partner_source, open_target_source
from atmorep.timeaxis import Span

_METADATA = ("zarr.json", ".zmetadata", ".zgroup")


def check(config: Config) -> None:
    """Look whether the sources of fields, targets and static fields can deliver what ``config`` asks.

    Also prints what the fields' source fetches together, and writes the readable configuration.

    Raises:
        AtmoRepError: naming what a source lacks and the remedy.
    """
    sources.check(config)
    for name in (*config.targets, *config.statics):
        check_one(config, name)


def check_one(config: Config, name: str) -> None:
    """Look whether the sources of one target or static field can deliver it.

    Raises:
        SourceError: naming what a source lacks and the remedy.
    """
    open_target_source(config, name).check()
    partner = open_partner_source(config, name)
    if partner is not None:
        partner.check()


def download(config: Config, target: str, span: str) -> None:
    """Write the list of the files of a target in one span, once they are on disk, unpacked.

    Raises:
        SourceError: if there is no such target, or something cannot be delivered.
        DataError: if what was delivered is damaged.
    """
    days = Span.parse(span)
    _declared("targets", target, config.targets)
    write_json(Paths(config).target_raw(target, days), _delivered(config, target, days))


def download_static(config: Config, static: str) -> None:
    """Write the list of the files of a static field, once they are on disk, unpacked.

    Raises:
        SourceError: if there is no such static field, or it cannot be delivered.
        DataError: if what was delivered is damaged.
    """
    _declared("statics", static, config.statics)
    write_json(Paths(config).static_raw(static), _delivered(config, static, None))


def _declared(section: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise SourceError(f"'{name}' is not declared in {section}; there is {', '.join(known) or 'none'}")


def _delivered(config: Config, name: str, span: Span | None) -> dict[str, Any]:
    """Fetch the files; return them, those of the other wind component apart."""
    paths, found = Paths(config), gridded(config, name)
    files = open_target_source(config, name).fetch(span, paths.target_files(found.source))
    listed = {"files": [_entry(path) for path in files]}
    partner = open_partner_source(config, name)
    if partner is not None and isinstance(found, Target) and found.partner_source is not None:
        others = partner.fetch(span, paths.target_files(found.partner_source))
        listed["partner"] = [_entry(path) for path in others]
    return listed


def _entry(path: Path) -> dict[str, Any]:
    """Return path, size and CRC-32C (hex) of a file; of a Zarr store, those of its metadata."""
    held = [path / name for name in _METADATA if (path / name).is_file()] if path.is_dir() else [path]
    if not held:
        raise DataError(f"{path}: is a folder without {' or '.join(_METADATA)}, no Zarr store; correct it")
    return {"path": str(path), "size": held[0].stat().st_size, "crc32c": crc32c(held[0])}
