"""Files that are on disk already: used where they are, or unpacked."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

from atmorep.config import Config, identity
from atmorep.config.target import FilesTarget
from atmorep.errors import SourceError
from atmorep.targets.archive import Bounds, filled_once, is_packed, stem, unpack
from atmorep.targets.source import wanted, with_day_before
from atmorep.timeaxis import Span

_LOG = logging.getLogger(__name__)
_SHOWN = 5


class Files:
    """Files below a folder, found by a pattern."""

    def __init__(self, config: Config, name: str, source: FilesTarget) -> None:
        self._config, self._name, self._source = config, name, source

    def check(self) -> None:
        """See :meth:`atmorep.targets.source.TargetSource.check`; no file is opened."""
        for span in wanted(self._config, self._name):
            self._paths(span)

    def fetch(self, span: Span | None, folder: Path) -> list[Path]:
        """See :meth:`atmorep.targets.source.TargetSource.fetch`."""
        return [file for path in self._paths(span) for file in _readable(path, folder)]

    def _paths(self, span: Span | None) -> list[Path]:
        """Return the files of a span, packed or not.

        Raises:
            SourceError: if there is none.
        """
        if span is None:
            return self._of_no_day()
        first, last = with_day_before(span)
        days = [first + dt.timedelta(days=n) for n in range((last - first).days + 1)]
        found = {day: self._glob(f"{day:%Y}", f"{day:%m}", f"{day:%d}") for day in days}
        absent = [day for day in days[1:] if not found[day]]
        if len(absent) == span.days:
            raise self._absent(f"{span.start:%Y}", f"{span.start:%m}", f"{span.start:%d}", str(span))
        if absent:
            shown = ", ".join(map(str, absent[:_SHOWN])) + (" ..." if len(absent) > _SHOWN else "")
            _LOG.warning("%s: no files of %d days, which will be missing: %s", self._name, len(absent), shown)
        return list(dict.fromkeys(path for day in days for path in found[day]))

    def _of_no_day(self) -> list[Path]:
        pattern = self._source.pattern
        if pattern != pattern.format(year="", month="", day=""):
            raise SourceError(
                f"statics.{self._name}.source.pattern: {pattern} names a date, which a static field has not; "
                "name its one file"
            )
        found = self._glob("", "", "")
        if not found:
            raise self._absent("", "", "", "static")
        return found

    def _glob(self, year: str, month: str, day: str) -> list[Path]:
        paths = self._source.folder.glob(self._source.pattern.format(year=year, month=month, day=day))
        return sorted(path for path in paths if path.is_file() or path.suffix == ".zarr")

    def _absent(self, year: str, month: str, day: str, what: str) -> SourceError:
        pattern = self._source.pattern.format(year=year, month=month, day=day)
        return SourceError(
            f"{self._source.folder}/{pattern}: no such file ({self._name}, {what}); correct source.folder or "
            "source.pattern, or shorten data.periods"
        )


def _readable(path: Path, folder: Path) -> list[Path]:
    """Return a file as it is, or what was packed in it."""
    if not is_packed(path):
        return [path]
    stat = path.stat()
    version = identity([str(path.absolute()), stat.st_size, stat.st_mtime_ns])

    def fill(target: Path) -> None:
        unpack(path, target, Bounds(), "get the file again")

    unpacked = filled_once(folder / f"{stem(path.name)}-{version}", fill)
    return sorted(file for file in unpacked.rglob("*") if file.is_file())
