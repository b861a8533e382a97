"""A small downstream task on a real store: the target is the field between its points, less a lapse rate."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from pipeline import Configure, weather
from torch.nn.functional import interpolate

from atmorep.artefacts import write_json
from atmorep.config import Config
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.days import write_days
from atmorep.store.layout import create
from atmorep.targets.store import evaluation_grid, target_layout
from atmorep.timeaxis import data_spans
from atmorep.training.pretrain import pretrain

LAPSE_RATE = 0.0065
"""K m**-1 by which the target is colder than the field."""
FILES = {"kind": "files", "folder": "raw", "pattern": "{year}{month}.nc"}
HEAD = {"embed_dim": 16, "heads": 2, "blocks": 1, "channels": 4, "layers": 1, "tails": 3}
QUICK = {"epochs": 2, "samples_per_epoch": 8, "validation_samples": 4, "batch_size": 4, "warmup_epochs": 0}
REGION = {"north": 51, "south": 19, "west": -1, "east": 41}  # 4 x 5 points of 10 degrees
TARGET = {
    "source": FILES,
    "variable": "t2m",
    "units": "K",
    "field": "2t",
    "refine": 2,
    "region": REGION,
}
TASK = {
    "kind": "target",
    "target": "fine",
    "guess": {"field": "2t"},
    "fields": ["2t"],
    "statics": ["relief"],
    "head": HEAD,
    "training": QUICK,
}

Prepare = Callable[..., Config]


def height(grid: Grid) -> np.ndarray:
    """Heights of 0 to 2000 m, of cells that differ from their neighbours."""
    rows, columns = np.indices(grid.shape)
    return (1000 + 1000 * np.sin(2.1 * rows + 0.4) * np.cos(1.7 * columns)).astype(np.float32)


def between(values: np.ndarray, refine: int) -> np.ndarray:
    """Bilinear interpolation of (rows, columns) to the cells of the points."""
    tensor = torch.from_numpy(values.astype(np.float32))[None, None]
    return interpolate(tensor, scale_factor=refine, mode="bilinear")[0, 0].numpy()


def truth(config: Config, time: np.datetime64) -> np.ndarray:
    """The target at a time: the field between its points, less the lapse rate times the height."""
    grid, target = Grid.from_config(config.data.grid), config.targets["fine"]
    rows, columns = grid.part(target.region)
    whole = weather("2t", 0, time, grid)
    around = whole[rows.start - 1 : rows.stop + 1][:, np.arange(columns.start - 1, columns.stop + 1) % 36]
    r = target.refine
    cells = between(around, r)[r:-r, r:-r]
    return cells - LAPSE_RATE * height(evaluation_grid(config, "fine"))


def write_target(
    config: Config, missing: Sequence[str] = (), hole: tuple[slice, slice] | None = None
) -> None:
    """Write the target's store: some times lacking, and a hole without values."""
    layout, absent = target_layout(config, "fine"), np.array(list(missing), "datetime64[h]")
    create(layout)

    def fill(block: np.ndarray, time: np.datetime64) -> None:
        block[0] = truth(config, time)
        if hole:
            block[0][hole] = np.nan

    for span in data_spans(config.data):
        shards = write_days(layout, span, absent, fill)
        hours = span.hours(config.data.time_step)
        gaps = [str(hour) for hour in hours if hour in absent]
        moments: dict[str, list[float]] = {}
        for day in np.unique(hours.astype("datetime64[D]")):
            values = np.array([truth(config, h) for h in hours if h.astype("datetime64[D]") == day])
            moments[str(day)] = [float(values.size), float(values.mean()), float(values.var() * values.size)]
        part = {"files": shards, "missing": gaps, "moments": moments}
        write_json(Paths(config).target_part("fine", span), part)


def write_static(config: Config) -> None:
    """Write the height on the evaluation grid."""
    path = Paths(config).static("relief", "fine")
    grid = evaluation_grid(config, "fine")
    path.parent.mkdir(parents=True, exist_ok=True)
    coordinates = {"latitude": grid.latitude, "longitude": grid.longitude}
    data = xr.DataArray(height(grid), coordinates, ("latitude", "longitude"), attrs={"units": "m"})
    data.to_dataset(name="relief").to_netcdf(path)


@pytest.fixture
def prepared_task(configure: Configure, delivered: Path, tmp_path: Path) -> Prepare:
    """Return the configuration of the small task, changed, with all it needs but the pretrained model."""
    (tmp_path / "data").unlink()
    (tmp_path / "data").mkdir()
    for name in ("raw", "store"):
        if (delivered / "data" / name).exists():
            (tmp_path / "data" / name).symlink_to(delivered / "data" / name)

    def prepare(task: dict[str, Any] | None = None, **changes: Any) -> Config:
        hole = changes.pop("hole", None)
        missing = changes.pop("missing", [])
        config = configure(
            targets={"fine": TARGET | changes.pop("target", {})},
            statics={"relief": {"source": FILES, "variable": "z", "units": "m"}},
            finetune={"downscaling": TASK | (task or {})},
            training={"epochs": 1, **changes.pop("training", {})},
            **changes,
        )
        write_target(config, missing, hole)
        write_static(config)
        return config

    return prepare


@pytest.fixture
def pretrained_task(prepared_task: Prepare) -> Prepare:
    """The same with a pretrained core."""

    def prepare(*arguments: Any, **changes: Any) -> Config:
        config = prepared_task(*arguments, **changes)
        if not Paths(config).core("downscaling").exists():
            pretrain(config, "2t")
        return config

    return prepare
