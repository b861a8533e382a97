"""A synthetic global field at five levels: three days, hourly, 0.25 degrees, as GRIB and as a store."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from atmorep.config import Config, parse
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sources.grib_writer import GribWriter
from atmorep.store.layout import create, field_layout
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import ArrayReader
from atmorep.timeaxis import Span

FIELD = "t"
SPAN = Span(date(2020, 1, 1), date(2020, 1, 3))
"""Days that there are; those of the other periods are in no file."""


def configuration(network: dict[str, Any] | None = None) -> Config:
    """Return an experiment that is trained on the days there are."""
    periods = {"train": (1, 3), "validation": (4, 5), "test": (6, 7)}
    return parse(
        {
            "experiment": "benchmark",
            "source": {"kind": "simulated"},
            "data": {"periods": {name: [_period(*days)] for name, days in periods.items()}},
            "fields": {FIELD: None},
            "network": {"neighbourhood": {"time": 24, "latitude": 54, "longitude": 108}, **(network or {})},
            "evaluation": {"lead_hours": [3]},
        }
    )


def _period(first: int, last: int) -> dict[str, str]:
    return {"start": f"2020-01-{first:02d}", "end": f"2020-01-{last:02d}"}


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
    for level in config.store_levels(FIELD):
        rng = np.random.default_rng(level)
        one, other = spectrum(rng, grid), spectrum(rng, grid)
        paths.append(Paths(config).raw(FIELD, level, span))
        with GribWriter(paths[-1], grid) as writer:
            for number, hour in enumerate(span.hours(1)):
                state = 250 + 15 * (np.cos(number / 9) * one + np.sin(number / 9) * other)
                writer.write(FIELD, "model", level, hour, state)
    return paths


def raw_files(config: Config) -> list[Path]:
    """Write the raw files and an empty store below the working directory."""
    create(field_layout(config, FIELD))
    return write_raw(config, SPAN)


def reader(config: Config) -> ArrayReader:
    """Open what was converted."""
    parts = {SPAN: Paths(config).part(FIELD, SPAN)}
    return ArrayReader(field_layout(config, FIELD), parts, config.model_levels(FIELD))


def neighbourhoods(config: Config) -> NeighbourhoodReader:
    """Open what was converted, with a made-up normalisation."""
    shape = (12, len(config.store_levels(FIELD)), 1, 1)
    normalisation = Normalisation(np.full(shape, 250, np.float32), np.full(shape, 15, np.float32))
    return NeighbourhoodReader(config, FIELD, reader(config), normalisation)
