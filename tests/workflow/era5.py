"""A small regional archive of ERA5-like GRIB, one file a month, and the experiment that reads it."""

from pathlib import Path

import numpy as np
import yaml

from atmorep.grids import Grid
from atmorep.sources.grib_writer import GribWriter
from atmorep.timeaxis import Span

GRID = Grid(57.0, -5.0, 1.0, (8, 12))
STEP = 6


def write_month(folder: Path, month: str, field: str = "2t") -> Path:
    """Write a field in kelvin of ``month`` (YYYY-MM): a wave that travels east over a daily cycle."""
    path = folder / f"{field}-{month}.grib"
    longitude, latitude = np.meshgrid(np.radians(GRID.longitude), np.radians(GRID.latitude))
    with GribWriter(path, GRID) as grib:
        for time in Span.parse(month).hours(STEP):
            hours = float(time.astype(np.int64))
            wave = 5 * np.sin(8 * longitude - 2 * np.pi * hours / 60) * np.cos(4 * latitude)
            daily = 3 * np.sin(2 * np.pi * hours / 24)
            grib.write(field, "surface", 0, time, 280 + wave + daily)
    return path


def experiment(folder: Path) -> dict:
    """Configuration for January and February 2001."""
    return {
        "experiment": "small",
        "source": {"kind": "files", "folder": str(folder), "pattern": "{field}-{year}-{month}.grib"},
        "data": {
            "grid": {"north": 57, "south": 50, "west": -5, "east": 6, "resolution": 1},
            "time_step": STEP,
            "periods": {
                "train": [{"start": "2001-01-01", "end": "2001-01-31"}],
                "validation": [{"start": "2001-02-01", "end": "2001-02-10"}],
                "test": [{"start": "2001-02-11", "end": "2001-02-28"}],
            },
        },
        "fields": {"2t": {}},
        "network": {
            "neighbourhood": {"time": 8, "latitude": 8, "longitude": 12},
            "token_size": {"time": 1, "latitude": 4, "longitude": 4},
            "embed_dim": 32,
            "info_dim": 8,
            "heads": 4,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
            "tails": 2,
        },
        "training": {"epochs": 1, "samples_per_epoch": 16, "validation_samples": 4, "batch_size": 4},
        "evaluation": {"lead_hours": [6], "bootstrap_samples": 100, "batch_size": 4},
    }


def write_experiment(folder: Path, values: dict) -> str:
    """Write the configuration into the working directory ``folder``; the argument for Snakemake."""
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(values))
    return f"--configfile={path}"
