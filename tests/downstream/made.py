"""A task on stores of made-up weather, of which it is known what relates the target to the fields."""

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from atmorep.artefacts import write_json
from atmorep.config import Config, merged, parse
from atmorep.paths import Paths
from atmorep.store.arrays import open_array
from atmorep.store.layout import ArrayLayout, create, field_layout
from atmorep.targets.store import evaluation_grid, target_layout
from atmorep.timeaxis import data_spans
from atmorep.transforms import forward

Weather = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From hours since the first one (time, 1, 1), latitude (row, 1) and longitude (column) to values."""

SETTINGS: dict[str, Any] = {
    "experiment": "made",
    "source": {"kind": "files", "folder": "unused", "pattern": "{field}.grib"},
    "data": {
        "grid": {"north": 55, "south": 46, "west": 4, "east": 16, "resolution": 1},  # 10 x 13 points
        "time_step": 3,
        "levels": {"values": [137]},
        "periods": {
            "train": [
                {"start": "2020-01-01", "end": "2020-01-31"},
                {"start": "2020-02-05", "end": "2020-02-20"},
            ],
            "validation": [{"start": "2020-02-21", "end": "2020-02-22"}],
            "test": [{"start": "2020-03-01", "end": "2020-03-20"}],
        },
    },
    "fields": {"2t": {}, "msl": {}, "tp": {}},
    "network": {
        "neighbourhood": {"time": 6, "latitude": 6, "longitude": 9},
        "token_size": {"time": 2, "latitude": 3, "longitude": 3},
    },
    "evaluation": {"every_hours": 12, "lead_hours": [6], "bootstrap_block_days": 2, "bootstrap_samples": 200},
    "targets": {
        "fine": {
            "source": {"kind": "files", "folder": "raw", "pattern": "{year}{month}.nc"},
            "variable": "x",
            "units": "K",
            "field": "2t",
            "refine": 2,
            "region": {"north": 53, "south": 48, "west": 6, "east": 13},  # 6 x 8 points, 12 x 16 cells
        }
    },
    "statics": {
        "relief": {
            "source": {"kind": "files", "folder": "raw", "pattern": "relief.nc"},
            "variable": "hsurf",
            "units": "m",
        }
    },
    "finetune": {
        "down": {
            "kind": "target",
            "target": "fine",
            "fields": ["2t", "msl"],
            "guess": {"field": "2t"},
            "statics": ["relief"],
            "baselines": ["bilinear", "bicubic", "regression"],
        }
    },
}

RAIN = {
    "targets": {"fine": {"field": "tp", "units": "m", "time": {"kind": "sum", "window_hours": 3}}},
    "finetune": {"down": {"fields": ["tp"], "guess": {"field": "tp"}}},
}


def configuration(**changes: Any) -> Config:
    """The configuration; ``fields`` of the tasks are coupled."""
    return parse(merged(SETTINGS, {"fields": {"2t": {"coupled": ["msl"]}}, **changes}))


def temperature(hours, latitude, longitude):
    """A wave that travels east, colder to the north, warmer at noon; random from time to time."""
    rng = np.random.default_rng(1)
    some = rng.normal(size=(len(hours), 3))[:, :, None, None]
    wave = np.sin(np.radians(9 * longitude)) * some[:, 0] + np.cos(np.radians(8 * latitude)) * some[:, 1]
    return 280 - 0.7 * (latitude - 50) + 4 * wave + 2 * some[:, 2] + np.cos(np.pi * (hours - 12) / 12)


def pressure(hours, latitude, longitude):
    rng = np.random.default_rng(2)
    some = rng.normal(size=(len(hours), 2))[:, :, None, None]
    return 101_000 + 800 * some[:, 0] + 30 * some[:, 1] * (latitude - 50)


def rain(hours, latitude, longitude):
    """Hourly rain, dry half of the time."""
    return 2e-4 * np.maximum(temperature(hours, latitude, longitude) - 280, 0)


def make(config: Config, target: Weather, relief: np.ndarray | None = None, **fields: Weather) -> None:
    """Write the stores below the working directory."""
    fields = {"2t": temperature, "msl": pressure, "tp": rain, **fields}
    paths, axis = Paths(config), target_layout(config, "fine").axis
    for name in config.fields:
        values = _fill(field_layout(config, name), fields[name])
        for span in data_spans(config.data):
            write_json(paths.part(name, span), {"missing": []})
        _normalise(config, name, values)
    cells = _fill(target_layout(config, "fine"), target)
    transformed = forward(config.targets["fine"].field, cells)
    for span in data_spans(config.data):
        moments = {}
        for day in np.unique(span.hours(axis.step).astype("datetime64[D]")):
            first = int(axis.index(day.astype("datetime64[h]")))
            known = transformed[first : first + axis.per_day].astype(float)
            known = known[~np.isnan(known)]
            if known.size:
                moments[str(day)] = [known.size, known.mean(), ((known - known.mean()) ** 2).sum()]
        hours = span.hours(axis.step)
        missing = [str(hour) for hour in hours if np.isnan(cells[axis.index(hour)]).all()]
        write_json(paths.target_part("fine", span), {"missing": missing, "moments": moments})
    _static(config, relief)


def _fill(layout: ArrayLayout, weather: Weather) -> np.ndarray:
    """Write ``weather`` at all times; returns (time, row, column)."""
    create(layout)
    hours = np.arange(layout.axis.size)[:, None, None] * layout.axis.step
    values = weather(hours, layout.grid.latitude[:, None], layout.grid.longitude)
    values = np.broadcast_to(values, (layout.axis.size, *layout.grid.shape)).astype(np.float32)
    open_array(layout.store, layout.name)[: layout.axis.size].write(values[:, None]).result()
    return values


def _normalise(config: Config, name: str, values: np.ndarray) -> None:
    transformed = forward(name, values)
    constant = {"mean": transformed.mean(), "std": transformed.std()}
    levels = list(config.store_levels(name))
    dataset = xr.Dataset(
        {key: (("month", "level"), np.full((12, 1), value, np.float32)) for key, value in constant.items()},
        {"level": levels},
    )
    path = Paths(config).normalisation(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.to_netcdf(path)


def _static(config: Config, relief: np.ndarray | None) -> None:
    grid, path = evaluation_grid(config, "fine"), Paths(config).static("relief", "fine")
    height = np.zeros(grid.shape) if relief is None else relief
    path.parent.mkdir(parents=True, exist_ok=True)
    coordinates = {"latitude": grid.latitude, "longitude": grid.longitude}
    xr.Dataset({"relief": (("latitude", "longitude"), height)}, coordinates).to_netcdf(path)
