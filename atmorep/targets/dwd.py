"""COSMO-REA6 and RADKLIM from the open data of Deutscher Wetterdienst."""

from __future__ import annotations

import datetime as dt
import logging
from pathlib import Path

from atmorep.config import Config
from atmorep.config.target import DwdTarget
from atmorep.errors import DataError, SourceError
from atmorep.sources.http import require_secure
from atmorep.targets.archive import Bounds, filled_once, stem, unpack
from atmorep.targets.download import SAFE, Absent, Downloads
from atmorep.targets.dwd_layout import CONSTANT, PARAMETERS, Layout, Place, layout
from atmorep.targets.source import wanted, with_day_before
from atmorep.timeaxis import Span

_LOG = logging.getLogger(__name__)

_LARGEST_BYTES = 64 << 30
"""Size above which no archive is taken; a year of 5-minute NetCDF is the largest there is."""


class Dwd:
    """The source ``kind: dwd``."""

    def __init__(self, config: Config, name: str, source: DwdTarget) -> None:
        self._config, self._name, self._source = config, name, source
        self._layout: Layout = layout(source)
        self._downloads = Downloads(
            "dwd",
            retries=source.retries,
            backoff_seconds=source.backoff_seconds,
            timeout_seconds=source.timeout_seconds,
            longest=_LARGEST_BYTES,
        )

    def check(self) -> None:
        """See :meth:`atmorep.targets.source.TargetSource.check`; asks the server for listings of folders.

        A server that cannot be reached is only warned of: the download will try longer.
        """
        require_secure(self._source.url, "dwd", SAFE)
        places = [self._place(span) for span in wanted(self._config, self._name)]
        for folder in dict.fromkeys(place.folder for place in places):
            try:
                listed = self._downloads.names(self._url(folder))
            except Absent:
                raise self._no_folder(folder) from None
            except SourceError as error:
                _LOG.warning("%s", error)
                return
            for place in places:
                if place.folder == folder and place.name not in listed:
                    raise self._absent(place)

    def fetch(self, span: Span | None, folder: Path) -> list[Path]:
        """See :meth:`atmorep.targets.source.TargetSource.fetch`.

        Archives are unpacked to ``folder`` once, for all spans that have files in them; an interrupted
        download goes on where it stopped.
        """
        if span is None:
            return _files(self._required(self._place(None), folder))
        first, last = with_day_before(span)
        before, own = first.replace(day=1), last.replace(day=1)
        archives = [] if before == own else self._delivered_if_there(before, folder)
        archives.append(self._required(self._place(span), folder))
        files = [file for archive in dict.fromkeys(archives) for file in _files(archive)]
        chosen = [file for file in files if self._layout.holds(file.name, first, last)]
        if not any(self._layout.holds(file.name, span.start, last) for file in chosen):
            held = ", ".join(file.name for file in _files(archives[-1])[:3]) or "nothing"
            raise SourceError(
                f"{archives[-1]}: no file of {span} ({self._name}); it holds {held} ...: shorten data.periods"
            )
        return chosen

    def _place(self, span: Span | None) -> Place:
        """Return where the archive of a span or static field lies.

        Raises:
            SourceError: if the product does not reach there, or is no static field, or nothing but that.
        """
        key = f"{'statics' if span is None else 'targets'}.{self._name}.source.parameter"
        if (self._source.parameter == "constant") != (span is None):
            raise SourceError(
                f"dwd: {key}: the constant fields of COSMO-REA6 are static, and nothing else is; "
                "use 'parameter: constant' for static fields, and only there"
            )
        if span is None:
            return CONSTANT
        month, last = span.start.replace(day=1), self._layout.last
        if month < self._layout.first or (last is not None and month > last):
            reach = f"from {self._layout.first:%Y-%m}" + (f" to {last:%Y-%m}" if last else " on")
            raise SourceError(
                f"dwd: data.periods: {self._source.product} has months {reach}, not {month:%Y-%m} "
                f"({self._name}); shift the period"
            )
        return self._layout.place(month)

    def _delivered_if_there(self, month: dt.date, folder: Path) -> list[Path]:
        """Return the folder of the archive of a month of which only the last day is of use."""
        if month < self._layout.first:
            return []
        try:
            return [self._delivered(self._layout.place(month), folder)]
        except Absent as error:
            _LOG.warning("%s; values that end at 00 UTC of the first day after it will be missing", error)
            return []

    def _required(self, place: Place, folder: Path) -> Path:
        try:
            return self._delivered(place, folder)
        except Absent as error:
            raise SourceError(f"{error}; {self._remedy}") from None

    def _delivered(self, place: Place, folder: Path) -> Path:
        """Return the folder of what an archive holds, fetched if it is not there."""
        body = folder / ".delivery" / place.name

        def fill(target: Path) -> None:
            if not body.exists():
                self._downloads.fetch(self._url(f"{place.folder}/{place.name}"), body)
            try:
                unpack(body, target, Bounds(), "it is deleted: rerun to fetch it again")
            except DataError:
                body.unlink()
                raise
            body.unlink()

        return filled_once(folder / stem(place.name), fill)

    def _url(self, path: str) -> str:
        return f"{self._source.url.rstrip('/')}/{path}"

    @property
    def _remedy(self) -> str:
        parameter = " or correct 'parameter'" if self._source.parameter else ""
        return f"shorten data.periods{parameter} ({self._name})"

    def _absent(self, place: Place) -> SourceError:
        return SourceError(f"dwd: {self._url(place.folder)} has no {place.name}; {self._remedy}")

    def _no_folder(self, folder: str) -> SourceError:
        """Return what to say of a folder that is not there; of a parameter, with those that are."""
        if not folder.startswith(PARAMETERS):
            return SourceError(f"dwd: {self._url(folder)} is not there; {self._remedy}")
        try:
            known = ", ".join(sorted(self._downloads.names(self._url(PARAMETERS)) - {".."}))
        except SourceError:
            known = f"those listed at {self._url(PARAMETERS)}"
        return SourceError(
            f"dwd: {self._name}: COSMO-REA6 has no hourly parameter {self._source.parameter}; "
            f"use one of {known}"
        )


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
