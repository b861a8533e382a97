"""A small archive of GRIB on two levels and two months, six-hourly, on a grid that fills no whole chunk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atmorep.config import Config, parse
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import stage
from atmorep.sources.grib_writer import GribWriter
from atmorep.store.convert import convert
from atmorep.timeaxis import data_spans

LEVELS = (96, 137)
STEP = 6
JANUARY, FEBRUARY = "2020-01-24_2020-01-31", "2020-02-01_2020-02-06"
"""The spans the configuration below has, of 8 and 6 days; the time axis starts on 1 January."""


def values(grid: Grid, field: str, level: int, time: np.datetime64) -> np.ndarray:
    """Some weather (rows, columns): waves that move, with noise; dry and wet places for precipitation."""
    hours = (time - np.datetime64("2020-01-01T00", "h")).astype(int)
    rng = np.random.default_rng([hours, level, len(field)])
    phase = np.radians(grid.longitude[None] * 3 + hours) + np.radians(grid.latitude[:, None])
    wave = np.sin(phase) + 0.1 * rng.normal(size=grid.shape)
    return np.maximum(wave, 0) * 1e-3 if field == "tp" else 250 + 10 * wave + level / 10


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Make a configuration; the working directory is empty but for the archive."""
    monkeypatch.chdir(tmp_path)

    def make(
        fields: dict[str, Any] | None = None,
        end: str = "2020-02-06",
        record_missing: bool = False,
        grid: dict[str, float] | None = None,
    ) -> Config:
        return parse(
            {
                "experiment": "store",
                "source": {
                    "kind": "files",
                    "folder": "archive",
                    "pattern": "{field}_{year}{month}.grib",
                    "record_missing": record_missing,
                },
                "data": {
                    "grid": grid or {"north": 60, "south": 41, "west": -10, "east": 29, "resolution": 1},
                    "time_step": STEP,
                    "levels": {"values": LEVELS},
                    "periods": {
                        "train": [
                            {"start": "2020-01-24", "end": "2020-01-27"},
                            {"start": "2020-02-01", "end": "2020-02-02"},
                        ],
                        "validation": [{"start": "2020-01-28", "end": "2020-01-31"}],
                        "test": [{"start": "2020-02-03", "end": end}],
                    },
                },
                "fields": fields or {"t": None},
                "network": {
                    "neighbourhood": {"time": 12, "latitude": 9, "longitude": 9},
                    "token_size": {"time": 3, "latitude": 3, "longitude": 3},
                },
                "evaluation": {"lead_hours": [6]},
            }
        )

    return make


def write_archive(config: Config, skip: tuple[str, ...] = (), twice: tuple[str, ...] = ()) -> None:
    """Write the archive ``config`` asks for; hours in ``skip`` are left out, those in ``twice`` doubled."""
    grid = Grid.from_config(config.data.grid)
    for field in config.fields:
        kind = "surface" if config.store_levels(field) == (0,) else "model"
        for span in data_spans(config.data):
            with GribWriter(Path(f"archive/{field}_{span.start:%Y%m}.grib"), grid) as writer:
                for time in span.hours(STEP):
                    for level in config.store_levels(field):
                        for _ in range((str(time) not in skip) + (str(time) in twice)):
                            writer.write(field, kind, level, time, values(grid, field, level, time))


def fetch(config: Config) -> None:
    """Download all raw files."""
    for field in config.fields:
        for span in data_spans(config.data):
            stage.download(config, field, str(span))


def forget(config: Config) -> None:
    """Remove the manifests of all raw files, which then may be what a test makes of them."""
    for path in Paths(config).raw_folder.rglob("*.manifest.json"):
        path.unlink()


def build(config: Config, **archive: tuple[str, ...]) -> Config:
    """Make archive, raw files and store."""
    write_archive(config, **archive)
    fetch(config)
    for field in config.fields:
        for span in data_spans(config.data):
            convert(config, field, str(span))
    return config


def shards(folder: Path) -> dict[str, bytes]:
    """All shard files below a store by relative path."""
    found = (p for p in folder.glob("*/c/*/0/0/0") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}
