"""Neighbourhoods from the store, and batches made of them, on one core.

    python benchmarks/reading.py

Makes the store of a synthetic global 0.25 degree field at five levels, and reads neighbourhoods of 36 h x 5
levels x 54 x 108 points, each at its own time and place, in a process of its own, as a loader's worker does.
Times are those of the CPU, but for the cold cache, where the disk is what takes the time.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numcodecs.blosc
import numpy as np
from globe import FIELD, SPAN, configuration, neighbourhoods, raw_files, reader
from measuring import (
    Row,
    Target,
    absent,
    cpu_seconds,
    measured,
    parser,
    report,
    resident,
    workplace,
)

from atmorep.config import Config
from atmorep.masking import training_masks
from atmorep.memory import keep_freed_memory
from atmorep.sampling.batches import NeighbourhoodReader, TrainingBatches
from atmorep.sampling.windows import Window, WindowSampler
from atmorep.store.convert import convert
from atmorep.store.layout import ArrayLayout, field_layout
from atmorep.store.shards import COMPRESSOR, LEVEL
from atmorep.training.data import share_of, window_sampler

REPEATS, SAMPLES = 5, 64
"""Repeats, and neighbourhoods of each."""
NETWORK = {
    "neighbourhood": {"time": 36, "latitude": 54, "longitude": 108},
    "token_size": {"time": 3, "latitude": 9, "longitude": 9},
}


def opened(config: Config) -> tuple[NeighbourhoodReader, WindowSampler]:
    """Return the store's reader, and what draws the windows; memory is used again, as in training."""
    keep_freed_memory()
    reader = neighbourhoods(config)
    return reader, window_sampler(config, {FIELD: reader}, "train")


def windows(sampler: WindowSampler, seed: int, number: int = SAMPLES) -> list[Window]:
    """Draw windows."""
    rng = np.random.default_rng(seed)
    return [sampler.draw(rng) for _ in range(number)]


def read(reader: NeighbourhoodReader, chosen: Sequence[Window]) -> None:
    """Read windows one by one."""
    for window in chosen:
        reader.values([window])


def amplification(layout: ArrayLayout, extent: Sequence[int], chosen: Sequence[Window]) -> float:
    """Points of the chunks that windows touch, over points of the windows."""
    sizes = (layout.chunk[0], *layout.chunk[2:])
    width = layout.grid.shape[1]

    def chunks(first: int, length: int, size: int) -> int:
        return (first + length - 1) // size - first // size + 1

    def touched(window: Window) -> int:
        # an axis that wraps is read in two pieces
        pieces = [(window.column, min(extent[2], width - window.column))]
        if (beyond := window.column + extent[2] - width) > 0:
            pieces.append((0, beyond))
        columns = sum(chunks(first, length, sizes[2]) for first, length in pieces)
        rows, steps = chunks(window.row, extent[1], sizes[1]), chunks(window.start, extent[0], sizes[0])
        return columns * rows * steps

    decoded = np.mean([touched(window) for window in chosen]) * np.prod(sizes)
    return float(decoded / np.prod(extent))


def decompression(config: Config) -> float:
    """Bytes a second of CPU that Blosc alone decompresses, of chunks in memory."""
    layout, out = field_layout(config, FIELD), np.empty(field_layout(config, FIELD).chunk, np.float32)
    values = reader(config).read(0, layout.chunk[0], 180, 360, 0, 360)
    pieces = [
        np.ascontiguousarray(values[:, :, row : row + out.shape[2], column : column + out.shape[3]])
        for row in range(0, 360, out.shape[2])
        for column in range(0, 360, out.shape[3])
    ]
    shuffle = numcodecs.blosc.BITSHUFFLE
    encoded = [numcodecs.blosc.compress(piece, COMPRESSOR.encode(), LEVEL, shuffle) for piece in pieces]
    seconds = cpu_seconds(lambda: [numcodecs.blosc.decompress(piece, out) for piece in encoded])
    return len(encoded) * out.nbytes / seconds


def warm(config: Config) -> list[Row]:
    """Read what the page cache holds."""
    reader, sampler = opened(config)
    layout, extent = field_layout(config, FIELD), reader.extent.shape
    needed = 4 * np.prod(extent) * len(reader.reader.levels)
    read(reader, windows(sampler, REPEATS))
    held = resident()
    rates, limits = [], []
    for seed in range(REPEATS):
        chosen = windows(sampler, seed)
        rates.append(SAMPLES / cpu_seconds(lambda chosen=chosen: read(reader, chosen)))
        limits.append(decompression(config) / needed)
    bytes_decoded = amplification(layout, extent, windows(sampler, 0, 1000))
    note = "decompression of the bytes needed, by Blosc alone"
    rate = measured(
        "neighbourhood reading", rates, "samples/s", Target("value", "≥", 250), limits=limits, note=note
    )
    return [
        rate,
        measured("bytes decoded per byte needed", bytes_decoded, "", Target("value", "≤", 2.5)),
        measured("neighbourhood reading, resident", held, "MB", Target("value", "≤", 500)),
    ]


def prepared(config: Config) -> list[Row]:
    """Make batches: normalise, tokenise, hide and collate on top of reading."""
    reader, sampler = opened(config)
    masks, share = training_masks(config, [FIELD]), share_of(config, "train", 0, 1)
    batches, size = TrainingBatches(config, {FIELD: reader}, sampler, masks, share), share.batch_size
    shares, rates = [], []
    for number in range(-1, REPEATS):  # the first only warms up
        drawn = [sampler.draw(share.generator(sample)) for sample in share.samples(number + 1)]
        reading = cpu_seconds(lambda drawn=drawn: reader.values(drawn))
        extra = cpu_seconds(lambda number=number: batches[number + 1]) - reading
        shares.append(extra / reading)
        rates.append(size * 4 * np.prod(reader.extent.shape) * len(reader.reader.levels) / extra / 1e9)
    name, note = "sample to batch", "a copy in memory"
    return [
        measured(f"{name}, on top of reading", shares[1:], "of reading", Target("value", "≤", 0.3)),
        measured(f"{name}, rate", rates[1:], "GB/s", limits=copying() / 1e9, note=note),
    ]


def copying() -> float:
    """Bytes a second of CPU that are copied in memory."""
    values = np.zeros(2**26, np.float32)
    copy = values.copy()
    return values.nbytes / cpu_seconds(lambda: np.copyto(copy, values))


def cold(config: Config) -> Row:
    """Read what no cache holds."""
    reader, sampler = opened(config)
    name, rates = "neighbourhood reading, cold cache", []
    for seed in range(REPEATS):
        chosen = windows(sampler, seed, SAMPLES // 4)
        forget(field_layout(config, FIELD).store)
        before, start = from_disk(), time.perf_counter()
        read(reader, chosen)
        seconds = time.perf_counter() - start
        if from_disk() == before:
            return absent(name, "the page cache could not be emptied")
        rates.append(len(chosen) / seconds)
    return measured(name, rates, "samples/s", note="by the clock")


def forget(store: Path) -> None:
    """Have the kernel drop what it caches of the files of ``store``."""
    os.sync()
    for path in files(store):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def files(store: Path) -> Iterator[Path]:
    """Yield the files of ``store``."""
    return (path for path in store.rglob("*") if path.is_file())


def from_disk() -> int:
    """Bytes that this process has read from a disk."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["read_bytes"])


def main() -> None:
    """Measure in turn, each in a process of its own."""
    rows = parser(__doc__).parse_args().rows
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with workplace():
        config = configuration(NETWORK)
        raw_files(config)
        convert(config, FIELD, str(SPAN))
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
            for found in (warm, prepared):
                for row in pool.submit(found, config).result():
                    report(row, rows)
            report(pool.submit(cold, config).result(), rows)


if __name__ == "__main__":
    main()
