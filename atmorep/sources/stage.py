"""The stages 'check' and 'download'."""

from __future__ import annotations

from atmorep import integrity
from atmorep.config import Config
from atmorep.errors import IntegrityError, SourceError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, open_source
from atmorep.sources.raw import open_raw
from atmorep.timeaxis import Span


def check(config: Config) -> None:
    """Look whether the source can deliver what ``config`` asks, and print what it fetches together.

    Also writes the readable configuration beside the artefacts.

    Raises:
        AtmoRepError: naming what the source lacks and the remedy.
    """
    source = open_source(config)
    source.check()
    Paths(config).describe()
    for group in source.groups():
        members = ", ".join(f"{field} {level}" if level else field for field, level in group.members)
        print(f"{group.name}: {members}")


def download(config: Config, group: str, span: str) -> None:
    """Write the raw files of one group and span, and a manifest beside each.

    Raises:
        SourceError: if there is no such group, or something cannot be delivered.
    """
    source, days = open_source(config), Span.parse(span)
    found = _find(source.groups(), group)
    source.fetch(found, days, lambda f, level: Paths(config).raw(f, level, days))
    for field, level in found.members:
        _record(config, field, level, days, f"rerun 'atmorep download --group {group} --span {days}'")


def _record(config: Config, field: str, level: int, span: Span, remedy: str) -> None:
    """Write the manifest of a raw file, unless it has one that fits: what is kept is not measured anew."""
    path = Paths(config).raw(field, level, span)
    try:
        if integrity.beside(path).exists() and integrity.checked(path):
            return
    except IntegrityError:  # of the file that was there before
        pass
    shape = [open_raw(config, field, level, span).times.size, *Grid.from_config(config.data.grid).shape]
    arrays = {field: {"shape": shape, "level": level}}
    integrity.record(path, remedy, arrays=arrays, source=config.source.kind, span=str(span))


def _find(groups: list[Group], name: str) -> Group:
    for group in groups:
        if group.name == name:
            return group
    raise SourceError(f"group '{name}' is not one of {', '.join(g.name for g in groups)}")
