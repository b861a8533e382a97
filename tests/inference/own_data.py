"""A user's model and data: an untrained bundle, and weather in the form of ERA5's NetCDF."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from pipeline import weather
from safetensors.torch import save_file

from atmorep import bundle
from atmorep.config import Config
from atmorep.downstream.batches import Scale
from atmorep.downstream.bundle import TARGET as SCALE
from atmorep.downstream.model import build
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths

COUPLED = {"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t"], "normalisation": "local"}, "tp": {}}
GUESSED = {"fields": COUPLED, "network": {"first_guess": "temporal"}}
FIELDS = ("t", "2t")
GLOBE = Grid(90, 0, 10, (19, 36))
NEIGHBOURHOOD = Grid(50, 20, 10, (6, 9))  # of the small experiment, no more
NAMES = {"t": "t", "2t": "t2m", "tp": "tp"}
CLIMATE = {"10u": (0, 10), "10v": (0, 10), "msl": (101_000, 1500), "2t": (280, 10)}
"""Mean and standard deviation."""


def saved(
    config: Config, fields: tuple[str, ...] = FIELDS, statistics: dict[str, Path] | None = None
) -> Path:
    """A bundle of random weights, whose couplings have an effect."""
    torch.manual_seed(3)
    model = bundle.build(config, fields)
    for name, parameter in model.named_parameters():
        if "cross" in name or "qkv" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    folder = Paths(config).root / "models" / "mine"
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), "weights")
    statistics = statistics or {field: Paths(config).normalisation(field) for field in fields}
    bundle.save(folder, config, weights=Path("weights"), log=None, normalisation=statistics)
    return folder


def saved_task(config: Config, task: str, scale: Scale, statistics: dict[str, Path]) -> Path:
    """A bundle of random weights of a downstream task."""
    torch.manual_seed(1)
    save_file(build(config, task).state_dict(), "weights")
    folder = Paths(config).root / "models" / task
    extra = bundle.OfTask(task, {}, {SCALE: json.dumps(asdict(scale))}, {}, "Predicts.")
    bundle.save(folder, config, weights=Path("weights"), log=None, normalisation=statistics, task=extra)
    return folder


def hours(start: str = "2001-02-17T00", steps: int = 6, step: int = 6) -> np.ndarray:
    return np.datetime64(start, "h") + step * np.arange(steps).astype("timedelta64[h]")


def own(times: np.ndarray | None = None, grid: Grid = GLOBE, fields: tuple[str, ...] = FIELDS) -> xr.Dataset:
    """The weather at ``times``, named and described as in ERA5's NetCDF."""
    times = hours() if times is None else times
    coordinates = {
        "valid_time": times.astype("datetime64[ns]"),
        "model_level": ("model_level", [105, 137], {"units": "1"}),
        "latitude": ("latitude", grid.latitude, {"units": "degrees_north"}),
        "longitude": ("longitude", grid.longitude, {"units": "degrees_east"}),
    }
    variables = {}
    for name in fields:
        spec, levels = known_field(name), (0,) if known_field(name).surface else (105, 137)
        values = np.array([[weather(name, level, time, grid) for level in levels] for time in times])
        dims = ["valid_time", "model_level", "latitude", "longitude"]
        if spec.surface:
            values, dims = values[:, 0], [dims[0], *dims[2:]]
        variables[NAMES[name]] = (dims, values.astype(np.float32), {"units": spec.units})
    return xr.Dataset(variables, coordinates)


def truth(name: str, times: np.ndarray, grid: Grid) -> np.ndarray:
    """States (time, [level], row, column)."""
    return own(times, grid, (name,))[NAMES[name]].to_numpy()


def climate(fields: tuple[str, ...] | dict) -> dict[str, Path]:
    """Files of normalisation, of about the climate of each field."""
    paths = {}
    for name in fields:
        means = zip(("mean", "std"), CLIMATE[name], strict=True)
        full = {what: (("month", "level"), np.full((12, 1), value, np.float32)) for what, value in means}
        paths[name] = Path(f"{name}.nc")
        xr.Dataset(full, {"level": [0]}).to_netcdf(paths[name])
    return paths
