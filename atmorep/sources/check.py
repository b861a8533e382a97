"""Verification of delivered GRIB: every hour once, of the right field, level, grid and experiment version.

The same checks serve every source that takes in GRIB. Use::

    wanted = [m for m in grib.scan(path) if m.field == "t" and m.level == 105]
    ordered = verify_messages(
        wanted, "t", 105, span.hours(step), grid,
        level_type=level_type(config, "t"), where=str(path),
    )
    write_messages(ordered, target("t", 105))
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np

from atmorep.artefacts import written_aside
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.sources.grib import Message, read, verify_grid
from atmorep.timeaxis import Hours

FINAL = "0001"
"""Experiment version of ERA5; the preliminary ERA5T has 0005."""

_SHOWN = 5


def level_type(config: Config, name: str) -> str:
    """Return ``surface``, ``model`` or ``pressure``: the level type field ``name`` is wanted on."""
    return "surface" if known_field(name).surface else config.data.levels.type


def verify_messages(
    messages: Sequence[Message],
    field: str,
    level: int,
    hours: Hours,
    grid: Grid,
    *,
    level_type: str,
    where: str,
    record_missing: bool = False,
    expver: Literal["final", "any"] = "any",
) -> list[Message]:
    """Return ``messages`` ordered by time if they are exactly one field and level at ``hours``.

    Args:
        messages: headers, in any order; the caller drops what the file may hold besides.
        field: ERA5 short name.
        level: level number, hPa, or 0 at the surface.
        hours: valid times wanted, datetime64[h].
        grid: the grid each message must lie on (or a rotation of it, if periodic).
        level_type: ``model``, ``pressure`` or ``surface``.
        where: file, pattern or request the messages come from, for the report of absent hours.
        record_missing: let hours be absent; then only what is there is returned, at least one.
        expver: ``final`` refuses ERA5T; ``any`` refuses only a mixture.

    Raises:
        DataError: naming file, message, field and remedy.
    """
    for message in messages:
        _verify_identity(message, field, level, level_type)
    for _, (message, *_) in groupby(messages, key=lambda m: m.grid_section):
        verify_grid(message, grid)
    _verify_versions(messages, expver)
    ordered = sorted(messages, key=lambda m: m.valid_time)
    _verify_hours(ordered, hours)
    _verify_complete(ordered, field, level, hours, where, record_missing)
    return ordered


def _verify_identity(message: Message, field: str, level: int, level_type: str) -> None:
    if (message.field, message.level_type, message.level) != (field, level_type, level):
        raise DataError(
            f"{message}: expected field {field} on {level_type} level {level}; "
            "correct the configuration or fetch the right file"
        )


def _verify_versions(messages: Sequence[Message], expver: str) -> None:
    for message in messages:
        if expver == "final" and message.expver != FINAL:
            raise DataError(
                f"{message}: has experiment version {message.expver}, not {FINAL}: it is preliminary (ERA5T: "
                "0005) or no ERA5; use days of which ERA5 is final, or set source.expver: any"
            )
        if message.expver != messages[0].expver:
            raise DataError(
                f"{message}: has experiment version {message.expver}, but {messages[0]} has "
                f"{messages[0].expver}; ERA5 (0001) and ERA5T (0005) are never mixed in one file: fetch it "
                "again once ERA5 is final, or end the period before its first ERA5T day"
            )


def _verify_hours(ordered: Sequence[Message], hours: Hours) -> None:
    previous: Message | None = None
    for message in ordered:
        if previous is not None and message.valid_time == previous.valid_time:
            raise DataError(
                f"{message}: the hour is there already in {previous.path}, message {previous.number}; "
                "remove the duplicate or fetch the file again"
            )
        if message.valid_time not in hours:
            raise DataError(
                f"{message}: the hour is none of the {len(hours)} wanted from {hours[0]}:00 to "
                f"{hours[-1]}:00; correct data.periods or data.time_step, or fetch the right file"
            )
        previous = message


def _verify_complete(
    ordered: Sequence[Message], field: str, level: int, hours: Hours, where: str, record_missing: bool
) -> None:
    absent = np.setdiff1d(hours, np.array([m.valid_time for m in ordered], "datetime64[h]"))
    if absent.size == 0 or (record_missing and ordered):
        return
    shown = ", ".join(f"{hour}:00" for hour in absent[:_SHOWN])
    more = f" and {absent.size - _SHOWN} more" if absent.size > _SHOWN else ""
    remedy = "fetch it again" if record_missing else "fetch it again, or set source.record_missing: true"
    raise DataError(
        f"{where}: field {field}, level {level} lacks {absent.size} of {len(hours)} hours: {shown}{more}; "
        f"{remedy}"
    )


def write_messages(messages: Sequence[Message], target: Path) -> None:
    """Write the bytes of ``messages``, unchanged and in this order, to ``target`` at once."""
    with written_aside(target) as aside, aside.open("wb") as file:
        for message in messages:
            file.write(read(message))
