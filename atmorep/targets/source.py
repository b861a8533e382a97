"""Where the files of targets and static fields come from, behind one small interface.

A target's files are wanted span by span (a month, or days of one), a static field's once.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Protocol

from atmorep.config import Config, Static, Target
from atmorep.config.target import DwdTarget, FilesTarget, SimulatedTarget
from atmorep.timeaxis import Span, data_spans


class TargetSource(Protocol):
    """What a source must offer; configuration and target are bound at construction."""

    def check(self) -> None:
        """Look, cheaply, whether what the configuration wants can be delivered.

        Raises:
            SourceError: naming what is lacking (a month, a parameter) and the remedy.
        """

    def fetch(self, span: Span | None, folder: Path) -> list[Path]:
        """Return the files that may hold values of ``span``, unpacked.

        Files that hold the day before the span are among them, where there are any: sums up to 00 UTC of its
        first day lie there.

        Args:
            span: days of a target; none for a static field.
            folder: for what is not on disk yet; shared by all spans, and by jobs that run at once.

        Raises:
            SourceError: if there is nothing for the span, or it cannot be delivered.
            DataError: if what was delivered is damaged.
        """


def open_target_source(config: Config, name: str) -> TargetSource:
    """Return the source of the files of a target or static field."""
    return _opened(config, name, gridded(config, name).source)


def open_partner_source(config: Config, name: str) -> TargetSource | None:
    """Return the source of the other wind component of a target, where it has files of its own."""
    found = gridded(config, name)
    partner = found.partner_source if isinstance(found, Target) else None
    return None if partner is None else _opened(config, name, partner)


def gridded(config: Config, name: str) -> Target | Static:
    """Return the target or static field of this name."""
    return config.targets[name] if name in config.targets else config.statics[name]


def wanted(config: Config, name: str) -> list[Span | None]:
    """Return the spans that a target is wanted for; only none for a static field."""
    return list(data_spans(config.data)) if name in config.targets else [None]


def with_day_before(span: Span) -> tuple[dt.date, dt.date]:
    """Return the first and last day whose files a span needs."""
    return span.start - dt.timedelta(days=1), span.end


def _opened(config: Config, name: str, source: FilesTarget | DwdTarget | SimulatedTarget) -> TargetSource:
    if isinstance(source, FilesTarget):
        from atmorep.targets.files import Files

        return Files(config, name, source)
    if isinstance(source, DwdTarget):
        from atmorep.targets.dwd import Dwd

        return Dwd(config, name, source)
    from atmorep.targets.simulated import Simulated

    return Simulated(config, name)
