"""ERA5 from the Copernicus Climate Data Store, verified and split into raw files."""

from __future__ import annotations

import datetime as dt
import logging
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np

from atmorep import integrity
from atmorep.config import CdsSource, Config
from atmorep.errors import DataError, IntegrityError, SourceError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, Target
from atmorep.sources.cds_requests import Forecast, build, fields_of, levels_of
from atmorep.sources.check import level_type, verify_messages, write_messages
from atmorep.sources.grib import Message, scan
from atmorep.timeaxis import Hours, Span, data_spans

_LOG = logging.getLogger(__name__)

PRESSURE_LEVELS = (
    *(1, 2, 3, 5, 7, 10, 20, 30, 50, 70),
    *range(100, 251, 25),
    *range(300, 751, 50),
    *range(775, 1001, 25),
)
"""Pressure levels of ERA5 in hPa."""

NOT_ON_MODEL_LEVELS = frozenset({"z"})
"""Known upper-air fields the archive has on the first model level only."""

FIRST_DAY = dt.date(1940, 1, 1)
"""First day of ERA5."""

LATENCY_DAYS = 5
"""Days ERA5T is behind."""


class Cds:
    """The source ``kind: cds``."""

    def __init__(self, config: Config, source_config: CdsSource) -> None:
        self._config, self._source = config, source_config
        self._grid = Grid.from_config(config.data.grid)

    def check(self) -> None:
        """See :meth:`atmorep.sources.Source.check`; nothing is asked of the archive."""
        self._check_fields()
        self._check_days()
        _client().credentials(self._source)

    def _check_fields(self) -> None:
        levels = self._config.data.levels
        for name in self._config.fields:
            if level_type(self._config, name) == "model" and name in NOT_ON_MODEL_LEVELS:
                raise SourceError(
                    f"cds: fields.{name}: the archive has {name} on model level 1 only; "
                    "use data.levels.type: pressure, or remove the field"
                )
            absent = [v for v in levels.values if v not in PRESSURE_LEVELS]
            if level_type(self._config, name) == "pressure" and absent:
                raise SourceError(
                    f"cds: data.levels.values: the archive has no pressure level {absent[0]} hPa; "
                    f"use some of {list(PRESSURE_LEVELS)}"
                )

    def _check_days(self) -> None:
        spans = data_spans(self._config.data)
        accumulated = any(known_field(name).accumulated for name in self._config.fields)
        first = FIRST_DAY + dt.timedelta(days=int(accumulated and not self._source.record_missing))
        last = dt.datetime.now(dt.UTC).date() - dt.timedelta(days=LATENCY_DAYS)
        for day in (spans[0].start, spans[-1].end):
            if not first <= day <= last:
                raise SourceError(
                    f"cds: data.periods: the archive has these fields from {first} to about {last}, "
                    f"not on {day}; shift the period"
                )

    def groups(self) -> list[Group]:
        """See :meth:`atmorep.sources.Source.groups`."""
        members: dict[str, list[tuple[str, int]]] = {}
        for name in self._config.fields:
            pairs = [(name, level) for level in self._config.store_levels(name)]
            members.setdefault(self._group_name(name), []).extend(pairs)
        return [Group(name, tuple(pairs)) for name, pairs in members.items()]

    def _group_name(self, name: str) -> str:
        spec = known_field(name)
        if spec.surface:
            return "surface_fc" if spec.accumulated else "surface_an"
        return "model_an" if self._config.data.levels.type == "model" else "pressure"

    def fetch(self, group: Group, span: Span, target: Target) -> None:
        """See :meth:`atmorep.sources.Source.fetch`; files that are there and verify are kept."""
        absent = [m for m in group.members if not self._is_verified(target(*m), *m, span)]
        under_way = self._deliveries(group, span)
        if not absent:
            shutil.rmtree(under_way, ignore_errors=True)  # of a process killed after its last file
            _LOG.info("cds: group %s, span %s: all files are there", group.name, span)
            return
        request = build(group.name, absent, self._hours(span), self._grid, self._source.expver)
        where = f"{request.dataset}, group {group.name}, span {span}, fields {', '.join(fields_of(absent))}"
        folder = under_way / request.identity
        body = _client().Archive(self._source).deliver(request, folder, where)
        try:
            ordered = self._verified(body, absent, span, where)
        except DataError as error:
            shutil.rmtree(folder)
            raise DataError(f"cds: {where}: what came is refused: {error}") from None
        for member in absent:
            write_messages(ordered[member], target(*member))
        shutil.rmtree(under_way)

    def _deliveries(self, group: Group, span: Span) -> Path:
        """Folder of what is under way of a group and span, whichever of its files are asked for."""
        whole = build(group.name, group.members, self._hours(span), self._grid, self._source.expver)
        return Paths(self._config).raw_folder / ".delivery" / whole.identity

    def _hours(self, span: Span) -> Hours:
        return span.hours(self._config.data.time_step)

    def _is_verified(self, path: Path, field: str, level: int, span: Span) -> bool:
        if not path.exists():
            return False
        try:
            integrity.checked(path)
            self._verify(scan(path), field, level, span, str(path))
        except (DataError, IntegrityError) as error:
            _LOG.warning("cds: %s; fetching it again", error)
            return False
        return True

    def _verify(
        self, messages: list[Message], field: str, level: int, span: Span, where: str
    ) -> list[Message]:
        return verify_messages(
            messages,
            field,
            level,
            self._hours(span),
            self._grid,
            level_type=level_type(self._config, field),
            where=where,
            record_missing=self._source.record_missing,
            expver=self._source.expver,
        )

    def _verified(
        self, body: Path, members: list[tuple[str, int]], span: Span, where: str
    ) -> dict[tuple[str, int], list[Message]]:
        """Return the messages of each member in order, once all that came is as asked for."""
        hours = self._hours(span)
        # A block of forecasts reaches hours before and after those wanted.
        surplus = set(np.setdiff1d(Forecast.reaching(hours).hours, hours).tolist())
        found: dict[tuple[str, int], list[Message]] = {
            (field, level): [] for field in fields_of(members) for level in levels_of(members)
        }
        for message in scan(body):
            member = (message.field, message.level)
            if member not in found:
                raise DataError(f"{message}: was not asked for; fetch it again")
            if not (known_field(message.field).accumulated and message.valid_time.item() in surplus):
                found[member].append(message)
        return {m: self._verify(found[m], *m, span, where) for m in members}


def _client() -> ModuleType:
    """Return the module that uses the official client; it is an extra.

    Raises:
        SourceError: if it is not installed.
    """
    try:
        from atmorep.sources import cds_client
    except ImportError as error:
        raise SourceError(
            f"cds: the official client cannot be imported ({error}); pip install 'atmorep[cds]'"
        ) from None
    return cds_client
