"""An experiment that has every stage, each of seconds: twenty days of two coupled fields and a target."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

from atmorep.config import Config, load
from atmorep.grids import Grid
from atmorep.sources import open_source
from atmorep.sources.grib_writer import GribWriter
from atmorep.timeaxis import Span, data_spans, training_spans

GRID = Grid(57.0, -5.0, 1.0, (8, 12))
TIME_STEP = 6
FIELDS = ("2t", "2d")
MONTHS = ("2001-01", "2001-02")
QUICK = {"epochs": 2, "samples_per_epoch": 8, "validation_samples": 4, "batch_size": 4, "checkpoint_steps": 1}
QUICK |= {"warmup_epochs": 0.5}


def settings(archive: Path) -> dict:
    """Configuration of the experiment whose files are in ``archive``."""
    files = {"kind": "files", "folder": str(archive)}
    return {
        "experiment": "small",
        "source": {**files, "pattern": "{field}-{year}-{month}.grib"},
        "data": {
            "grid": {"north": 57, "south": 50, "west": -5, "east": 6, "resolution": 1},
            "time_step": TIME_STEP,
            "periods": {
                "train": [{"start": "2001-01-24", "end": "2001-02-02"}],
                "validation": [{"start": "2001-02-03", "end": "2001-02-05"}],
                "test": [{"start": "2001-02-06", "end": "2001-02-09"}],
            },
        },
        "fields": {"2t": {"coupled": ["2d"], "normalisation": "local"}, "2d": {"coupled": ["2t"]}},
        "network": {
            "neighbourhood": {"time": 8, "latitude": 8, "longitude": 12},
            "token_size": {"time": 1, "latitude": 4, "longitude": 4},
            "embed_dim": 16,
            "info_dim": 4,
            "heads": 2,
            "encoder_blocks": 1,
            "decoder_blocks": 1,
            "tails": 2,
        },
        "training": QUICK,
        "targets": {
            "fine": {
                "source": {**files, "pattern": "fine-{year}-{month}.nc"},
                "variable": "t2m",
                "units": "K",
                "field": "2t",
                "refine": 2,
                "region": {"north": 55.4, "south": 51.6, "west": -1.4, "east": 2.4},
            }
        },
        "statics": {"relief": {"source": {**files, "pattern": "relief.nc"}, "variable": "z", "units": "m"}},
        "finetune": {
            "downscaling": {
                "kind": "target",
                "target": "fine",
                "guess": {"field": "2t"},
                "statics": ["relief"],
                "head": {"embed_dim": 16, "heads": 2, "blocks": 1, "channels": 4, "layers": 1, "tails": 2},
                "training": QUICK,
                "baselines": ["bilinear", "regression"],
            }
        },
        "evaluation": {"lead_hours": [6], "bootstrap_samples": 100, "batch_size": 4, "every_hours": 12},
    }


def write_archive(folder: Path) -> None:
    """Write what the sources find: a file a field and month, one of the target, and the relief."""
    folder.mkdir(parents=True)
    for month in MONTHS:
        for field in FIELDS:
            _write_field(folder / f"{field}-{month}.grib", field, month)
        _write_target(folder / f"fine-{month}.nc", month)
    rows, columns = _fine()
    _on(rows, columns, z=(("latitude", "longitude"), 500 + 500 * _relief(rows, columns))).to_netcdf(
        folder / "relief.nc"
    )


def _write_field(path: Path, field: str, month: str) -> None:
    with GribWriter(path, GRID) as grib:
        for time in Span.parse(month).hours(TIME_STEP):
            values = _weather(time, GRID.latitude, GRID.longitude) - 4 * (field == "2d")
            grib.write(field, "surface", 0, time, values)


def _write_target(path: Path, month: str) -> None:
    times, (rows, columns) = Span.parse(month).hours(TIME_STEP), _fine()
    fields = [_weather(time, rows, columns) - 3 * _relief(rows, columns) for time in times]
    values = (("time", "latitude", "longitude"), np.stack(fields).astype(np.float32), {"units": "K"})
    _on(rows, columns, t2m=values).assign_coords(time=times.astype("datetime64[ns]")).to_netcdf(path)


def _fine() -> tuple[np.ndarray, np.ndarray]:
    """Latitudes and longitudes of the target's own grid."""
    return np.arange(56, 50.9, -0.25), np.arange(-3, 4.1, 0.25)


def _on(rows: np.ndarray, columns: np.ndarray, **values: tuple) -> xr.Dataset:
    directions = {"latitude": (rows, "north"), "longitude": (columns, "east")}
    coordinates = {
        name: (name, points, {"standard_name": name, "units": f"degrees_{direction}"})
        for name, (points, direction) in directions.items()
    }
    dataset = xr.Dataset(values, coordinates)
    if "z" in dataset:
        dataset["z"].attrs["units"] = "m"
    return dataset


def _weather(time: np.datetime64, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """A wave that travels east over a daily cycle, in kelvin."""
    hours = float((time - np.datetime64("2001-01-01", "h")).astype(int))
    longitude, latitude = np.meshgrid(np.radians(columns), np.radians(rows))
    wave = 5 * np.sin(8 * longitude - hours / 10) * np.cos(4 * latitude)
    return 280 + wave + 3 * np.sin(2 * np.pi * hours / 24)


def _relief(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.sin(3 * rows)[:, None] * np.cos(2 * columns)


@dataclass(frozen=True)
class Job:
    """One job of the workflow.

    Attributes:
        stage: subcommand of ``atmorep``.
        options: what it takes besides the configuration.
    """

    stage: str
    options: tuple[str, ...] = ()

    def command(self, config: Path) -> list[str]:
        """Arguments of ``atmorep``."""
        return [self.stage, "--config", str(config), *self.options]

    def __str__(self) -> str:
        return " ".join((self.stage, *self.options[1::2]))


def jobs(config: Config) -> list[Job]:
    """All jobs of the experiment, in an order that fits."""
    spans, training = ([str(s) for s in found(config.data)] for found in (data_spans, training_spans))
    groups = [group.name for group in open_source(config).groups()]
    of_fields = [
        *(Job("download", ("--group", group, "--span", span)) for group in groups for span in spans),
        *(Job("convert", ("--field", name, "--span", span)) for name in FIELDS for span in spans),
        *(Job("compare", ("--field", name, "--span", span)) for name in FIELDS for span in spans),
        *(Job("sums", ("--field", name, "--span", span)) for name in FIELDS for span in training),
        *(Job("statistics", ("--field", name)) for name in FIELDS),
    ]
    of_targets = [
        *(Job("download-target", ("--target", "fine", "--span", span)) for span in spans),
        *(Job("convert-target", ("--target", "fine", "--span", span)) for span in spans),
        Job("download-static", ("--static", "relief")),
        Job("static", ("--static", "relief", "--target", "fine")),
    ]
    of_models = [
        *(Job("pretrain", ("--field", name)) for name in FIELDS),
        Job("couple"),
        Job("evaluate", ("--model", "multiformer")),
        Job("finetune", ("--task", "downscaling")),
        Job("baselines", ("--task", "downscaling")),
        Job("evaluate-task", ("--task", "downscaling")),
        Job("report"),
    ]
    return [*of_fields, *of_targets, *of_models]


def prepare(folder: Path) -> Path:
    """Write archive and configuration to ``folder``; the path of the configuration."""
    write_archive(folder / "archive")
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings(folder / "archive")))
    load(path)
    return path


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    print(prepare(Path(sys.argv[1])))
