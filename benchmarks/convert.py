"""Conversion from GRIB to the store, against ecCodes' bare decode of the same messages on one core.

    python benchmarks/convert.py

Makes synthetic GRIB of a global 0.25 degree field at five levels for three days in a temporary folder:
in memory where there is room, so that no disk is measured. A month holds more days, but a conversion
never more than twelve hours in memory. All times are those of the CPU, on one core.
"""

from __future__ import annotations

import os
from pathlib import Path

from measuring import Target, cpu_seconds, measured, parser, report, resident, scratch, workplace  # isort: skip

import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)

import eccodes  # isort: skip
from globe import FIELD, SPAN, configuration, raw_files

from atmorep.artefacts import read_json
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.store.convert import convert

REPEATS = 3


def bare_decode(paths: list[Path]) -> None:
    """Let ecCodes alone read and unpack all messages."""
    for path in paths:
        with path.open("rb") as file:
            while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
                eccodes.codes_get_values(handle)
                eccodes.codes_release(handle)


def packing_step(path: Path) -> float:
    """Return the step of the packed values of the first message."""
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
        scales = [eccodes.codes_get(handle, f"{kind}ScaleFactor") for kind in ("binary", "decimal")]
        eccodes.codes_release(handle)
    return 2.0 ** scales[0] * 10.0 ** -scales[1]


def cost(rows: Path | None, config: Config, paths: list[Path]) -> None:
    """Measure time and memory: headers, checks, rounding, compression, checksums, writing."""
    messages = len(paths) * 24 * SPAN.days
    times = [
        (cpu_seconds(lambda: bare_decode(paths)), cpu_seconds(lambda: convert(config, FIELD, str(SPAN))))
        for _ in range(REPEATS)
    ]
    bare, whole = ([1e3 * each / messages for each in part] for part in zip(*times, strict=True))
    note = "bare decode by ecCodes"
    row = measured(
        "GRIB to store", whole, "ms of CPU a message", Target("ratio", "≥", 0.8), limits=bare, note=note
    )
    report(row, rows)
    report(measured("GRIB to store, resident", resident(), "MB", Target("value", "≤", 1000)), rows)


def quality(rows: Path | None, config: Config, paths: list[Path]) -> None:
    """Measure size and error of what was written."""
    grib = sum(path.stat().st_size for path in paths)
    part = read_json(Paths(config).part(FIELD, SPAN))
    store = sum(shard["size"] for shard in part["files"])
    target = Target("value", "≤", 1)
    report(measured("store size over 16-bit GRIB", store / grib, "", target), rows)
    error = part["tolerance"] / max(packing_step(path) / 2 for path in paths)
    report(measured("store's largest error over GRIB's", error, "", target), rows)


def main() -> None:
    """Measure in turn."""
    rows = parser(__doc__).parse_args().rows
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with workplace(scratch()):
        config = configuration()
        made = config, raw_files(config)
        cost(rows, *made)
        quality(rows, *made)


if __name__ == "__main__":
    main()
