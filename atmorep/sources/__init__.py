"""Sources of ERA5 fields, behind one small interface.

A source delivers raw files: one field, level and span (a month, or days of one) each. What it
fetches together, it declares as groups; a group and a span are one job.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from atmorep.config import Config
from atmorep.timeaxis import Span

Target = Callable[[str, int], Path]
"""Gives the path to write for a field and a level."""


@dataclass(frozen=True)
class Group:
    """Fields and levels that one job fetches together.

    Attributes:
        name: letters, digits and underscores; part of the rule's name.
        members: (field, level) pairs.
    """

    name: str
    members: tuple[tuple[str, int], ...]


class Source(Protocol):
    """What a source must offer; the configuration is bound at construction."""

    def check(self) -> None:
        """Look, cheaply, whether fields, levels, grid and period can be delivered.

        Raises:
            SourceError: naming what is lacking and the remedy.
        """

    def groups(self) -> list[Group]:
        """What is fetched together."""

    def fetch(self, group: Group, span: Span, target: Target) -> None:
        """Write the raw file of each member of ``group`` for ``span``, each at once.

        Raises:
            SourceError: if something cannot be delivered; nothing half-written stays.
        """


def raw_suffix(config: Config) -> str:
    """Suffix of the raw files: ``.grib``, or ``.nc`` where the source is NetCDF or Zarr."""
    if config.source.kind != "files":
        return ".grib"
    suffix = Path(config.source.pattern).suffix.lower()
    return ".nc" if suffix in (".nc", ".nc4", ".zarr") else ".grib"


def open_source(config: Config) -> Source:
    """Return the source that ``config`` names."""
    if config.source.kind == "files":
        from atmorep.sources.files import Files

        return Files(config, config.source)
    if config.source.kind == "simulated":
        from atmorep.sources.simulated import Simulated

        return Simulated(config, config.source)
    from atmorep.sources.cds import Cds

    return Cds(config, config.source)
