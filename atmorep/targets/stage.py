"""The stages 'check', 'download-target' and 'download-static'."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from atmorep import integrity
from atmorep.config import Config, Target
from atmorep.errors import DataError, SourceError
from atmorep.paths import Paths
from atmorep.sources import stage as sources
from atmorep.targets.source import gridded, open_partner_source, open_target_source
from atmorep.timeaxis import Span


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
    remedy = f"rerun 'atmorep download-target --target {target} --span {days}'"
    _write(Paths(config).target_raw(target, days), remedy, **_delivered(config, target, days))


def download_static(config: Config, static: str) -> None:
    """Write the list of the files of a static field, once they are on disk, unpacked.

    Raises:
        SourceError: if there is no such static field, or it cannot be delivered.
        DataError: if what was delivered is damaged.
    """
    _declared("statics", static, config.statics)
    remedy = f"rerun 'atmorep download-static --static {static}'"
    _write(Paths(config).static_raw(static), remedy, **_delivered(config, static, None))


def _write(path: Path, remedy: str, files: list[integrity.Entry], **partner: Any) -> None:
    integrity.write(path, files, base=Path(), remedy=remedy, **partner)


def _declared(section: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise SourceError(f"'{name}' is not declared in {section}; there is {', '.join(known) or 'none'}")


def _delivered(config: Config, name: str, span: Span | None) -> dict[str, list[integrity.Entry]]:
    """Fetch the files; return them, those of the other wind component apart."""
    paths, found = Paths(config), gridded(config, name)
    files = open_target_source(config, name).fetch(span, paths.target_files(found.source))
    listed = {"files": [_entry(path) for path in files]}
    partner = open_partner_source(config, name)
    if partner is not None and isinstance(found, Target) and found.partner_source is not None:
        others = partner.fetch(span, paths.target_files(found.partner_source))
        listed["partner"] = [_entry(path) for path in others]
    return listed


def _entry(path: Path) -> integrity.Entry:
    """Return path, size and CRC-32C of a file; of a Zarr store, those of its metadata."""
    if not integrity.is_there(path):
        raise DataError(
            f"{path}: is a folder without {' or '.join(integrity.ZARR)}, no Zarr store; correct it"
        )
    return integrity.checked(path)
