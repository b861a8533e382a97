"""The stages 'check' and 'download'."""

from __future__ import annotations

from atmorep.config import Config
from atmorep.errors import SourceError
from atmorep.paths import Paths
from atmorep.sources import Group, open_source
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
    """Write the raw files of one group and span.

    Raises:
        SourceError: if there is no such group, or something cannot be delivered.
    """
    source, days = open_source(config), Span.parse(span)
    source.fetch(_find(source.groups(), group), days, lambda f, level: Paths(config).raw(f, level, days))


def _find(groups: list[Group], name: str) -> Group:
    for group in groups:
        if group.name == name:
            return group
    raise SourceError(f"group '{name}' is not one of {', '.join(g.name for g in groups)}")
