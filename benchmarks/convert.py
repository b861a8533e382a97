"""Conversion from GRIB to the store, against ecCodes' bare decode of the same messages on one core.

    python benchmarks/convert.py

Makes synthetic GRIB of a global 0.25 degree field at five levels for three days in a temporary folder:
in memory where there is room, so that no disk is measured. A month holds more days, but a conversion
never more than twelve hours in memory.
"""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pyproj  # noqa: F401  (loaded after eccodes it crashes at exit)

import eccodes  # isort: skip

from atmorep.config import Config, parse
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources.grib_writer import GribWriter
from atmorep.store.convert import convert
from atmorep.store.layout import create, field_layout
from atmorep.timeaxis import Span, data_spans

REPEATS = 3
SCRATCH_BYTES = 4 * 2**30


def configuration() -> Config:
    """A global hourly field at the published five levels over three days."""
    days = [{"start": f"2020-01-0{day}", "end": f"2020-01-0{day}"} for day in (1, 2, 3)]
    return parse(
        {
            "experiment": "benchmark",
            "source": {"kind": "simulated"},
            "data": {"periods": {"train": days[:1], "validation": days[1:2], "test": days[2:]}},
            "fields": {"t": None},
            "network": {"neighbourhood": {"time": 24, "latitude": 54, "longitude": 108}},
            "evaluation": {"lead_hours": [3]},
        }
    )


def scratch() -> str | None:
    """A folder in memory, if there is one with enough room."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > SCRATCH_BYTES else None


def spectrum(rng: np.random.Generator, grid: Grid) -> np.ndarray:
    """A random field whose energy falls with the fifth power of the wave number, standard deviation 1."""
    rows, columns = grid.shape
    waves = np.hypot(np.fft.fftfreq(rows, 1 / rows)[:, None], np.fft.rfftfreq(columns, 1 / columns))
    waves[0, 0] = np.inf
    amplitudes = rng.normal(size=(2, *waves.shape)) * waves**-3.0
    field = np.fft.irfft2(amplitudes[0] + 1j * amplitudes[1], grid.shape)
    return np.asarray(field / field.std())


def write_raw(config: Config, span: Span) -> list[Path]:
    """Write the raw files of all levels: weather that moves, so that no two hours are alike."""
    grid, paths = Grid.from_config(config.data.grid), []
    for level in config.store_levels("t"):
        rng = np.random.default_rng(level)
        one, other = spectrum(rng, grid), spectrum(rng, grid)
        paths.append(Paths(config).raw("t", level, span))
        with GribWriter(paths[-1], grid) as writer:
            for number, hour in enumerate(span.hours(1)):
                state = 250 + 15 * (np.cos(number / 9) * one + np.sin(number / 9) * other)
                writer.write("t", "model", level, hour, state)
    return paths


def bare_decode(paths: list[Path]) -> float:
    """Seconds of CPU that ecCodes alone takes for reading and unpacking all messages."""
    start = time.process_time()
    for path in paths:
        with path.open("rb") as file:
            while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
                eccodes.codes_get_values(handle)
                eccodes.codes_release(handle)
    return time.process_time() - start


def conversion(config: Config, span: Span) -> float:
    """Seconds of CPU of the whole stage: headers, checks, rounding, compression, checksums, writing."""
    start = time.process_time()
    convert(config, "t", str(span))
    return time.process_time() - start


def main() -> None:
    """Measure in turn, and print medians of the repeats."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        os.chdir(folder)
        config = configuration()
        (span,) = data_spans(config.data)
        paths = write_raw(config, span)
        create(field_layout(config, "t"))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        times = np.array([(bare_decode(paths), conversion(config, span)) for _ in range(REPEATS)])
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        messages = 5 * 24 * span.days
        grib = sum(path.stat().st_size for path in paths)
        store = sum(path.stat().st_size for path in Paths(config).store.glob("t/c/*/0/0/0"))
        os.chdir("/")
    ratios = times[:, 0] / times[:, 1]
    bare, whole = np.median(times, 0) / messages * 1e3
    print(f"messages: {messages} of {grib / messages / 1e6:.2f} MB, {REPEATS} repeats, one core")
    print(f"bare decode: {bare:.2f} ms of CPU a message; conversion: {whole:.2f} ms")
    low, high = ratios.min(), ratios.max()
    print(f"ratio: {np.median(ratios):.2f} ({low:.2f} to {high:.2f}); target 0.5, better 0.8")
    print(f"store / GRIB: {store / grib:.2f}")
    print(f"resident: {after / 1024:.0f} MB at most ({before / 1024:.0f} MB before); target 1000 MB")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
