"""ERA5 that is on disk already, as GRIB, NetCDF or Zarr."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path

from atmorep.config import Config, FilesSource
from atmorep.errors import SourceError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.sources import Group, Target, grib, raw_suffix
from atmorep.sources.check import level_type, verify_messages, write_messages
from atmorep.sources.selection import Selection
from atmorep.timeaxis import Span, data_spans


class Files:
    """Files below a folder, found by a pattern."""

    def __init__(self, config: Config, source: FilesSource) -> None:
        self._config, self._source = config, source
        self._grid = Grid.from_config(config.data.grid)
        self._scan = cache(grib.scan)

    def groups(self) -> list[Group]:
        """One group a field."""
        return [
            Group(name, tuple((name, level) for level in self._config.store_levels(name)))
            for name in self._config.fields
        ]

    def check(self) -> None:
        """Look whether there are files for all months, and what the first and the last month hold.

        Raises:
            SourceError: if the pattern fits no file, or a file has no such field or level.
            DataError: if a file is broken or has another grid or other dates.
        """
        used = data_spans(self._config.data)
        for group in self.groups():
            for field, level in group.members:
                for span in used:
                    self._paths(field, level, span)
                for span in dict.fromkeys((used[0], used[-1])):
                    self._look(field, level, span)

    def fetch(self, group: Group, span: Span, target: Target) -> None:
        """Write the raw file of each member of ``group`` for ``span``.

        GRIB messages are copied as they are, ordered by time; NetCDF and Zarr become small NetCDF.

        Raises:
            SourceError: if the pattern fits no file.
            DataError: naming file, field and hour or message that is not as configured.
        """
        for field, level in group.members:
            if self._is_grib:
                write_messages(self._messages(field, level, span), target(field, level))
            else:
                with self._selection(field, level, span) as selection:
                    selection.write(target(field, level))

    def _look(self, field: str, level: int, span: Span) -> None:
        if self._is_grib:
            self._messages(field, level, span)
        else:
            self._selection(field, level, span).close()

    def _selection(self, field: str, level: int, span: Span) -> Selection:
        paths, named = self._paths(field, level, span), "{level}" in self._source.pattern
        return Selection(self._config, paths, field, level, span, level_named_by_path=named)

    @cached_property
    def _is_grib(self) -> bool:
        return raw_suffix(self._config) == ".grib"

    def _paths(self, field: str, level: int, span: Span) -> list[Path]:
        """Files that may hold one field, level and span.

        Raises:
            SourceError: if there is none.
        """
        names = known_field(field).all_names if "{field}" in self._source.pattern else (field,)
        patterns = [
            self._source.pattern.format(
                field=name, level=level, year=span.start.year, month=f"{span.start.month:02d}"
            )
            for name in names
        ]
        found = sorted({path for pattern in patterns for path in self._source.folder.glob(pattern)})
        if not found:
            raise SourceError(
                f"{self._source.folder}/{patterns[0]}: no such file (field {field}, level {level}, {span}); "
                "correct source.folder or source.pattern, or shorten data.periods"
            )
        return found

    def _messages(self, field: str, level: int, span: Span) -> list[grib.Message]:
        """Headers of the messages of one field, level and span, ordered by time and verified."""
        paths, hours, kind = (
            self._paths(field, level, span),
            span.hours(self._config.data.time_step),
            level_type(self._config, field),
        )
        fitting = [
            m
            for path in paths
            for m in self._scan(path)
            if (m.field, m.level_type, m.level) == (field, kind, level)
        ]
        if not fitting:
            raise SourceError(
                f"{_names(paths)}: no message of field {field} on {kind} level {level}; "
                f"{_held(m for path in paths for m in self._scan(path))}; correct fields or data.levels"
            )
        wanted = set(hours)
        chosen = verify_messages(
            [m for m in fitting if m.valid_time in wanted],
            field,
            level,
            hours,
            self._grid,
            level_type=kind,
            where=_names(paths),
            record_missing=self._source.record_missing,
        )
        if known_field(field).accumulated:
            for message in chosen:
                grib.verify_hourly(message)
        return chosen


def _names(paths: list[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"


def _held(messages: Iterable[grib.Message]) -> str:
    held = sorted({(m.field, m.level_type, m.level) for m in messages})
    shown = ", ".join(f"{f} {kind} {level}" for f, kind, level in held[:12])
    return f"the files hold {shown}{' ...' if len(held) > 12 else ''}"
