"""A small experiment on a real store: analytic weather as GRIB, through every stage before training."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atmorep.config import Config, parse
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.sources import open_source
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.stage import download
from atmorep.store.convert import convert
from atmorep.store.statistics import merge, partial
from atmorep.timeaxis import data_spans, training_spans

MISSING = np.datetime64("2001-02-05T12", "h")
"""The hour that temperature lacks on one level."""

SETTINGS: dict[str, Any] = {
    "experiment": "small",
    "source": {"kind": "files", "pattern": "{field}_{level}_{year}{month}.grib", "record_missing": True},
    "data": {
        "grid": {"east": 350, "resolution": 10},  # 19 x 36 points, the whole globe
        "time_step": 6,
        "levels": {"values": [105, 137]},
        "periods": {
            "train": [{"start": "2001-01-25", "end": "2001-02-15"}],
            "validation": [{"start": "2001-02-17", "end": "2001-02-20"}],
            "test": [{"start": "2001-02-22", "end": "2001-02-25"}],
        },
    },
    "fields": {"t": {}, "2t": {"normalisation": "local"}, "tp": {}},
    "network": {
        "neighbourhood": {"time": 6, "latitude": 6, "longitude": 9},
        "token_size": {"time": 2, "latitude": 3, "longitude": 3},  # 3 x 2 x 3 tokens
        "embed_dim": 16,
        "info_dim": 4,
        "heads": 2,
        "encoder_blocks": 2,
        "decoder_blocks": 2,
        "tails": 3,
    },
    "training": {
        "epochs": 3,
        "samples_per_epoch": 8,
        "validation_samples": 4,
        "batch_size": 4,
        "lr_start": 1e-4,
        "lr_max": 3e-3,
        "lr_end": 1e-4,
        "warmup_epochs": 1,
    },
    "evaluation": {"lead_hours": [6, 12]},
}

Configure = Callable[..., Config]


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {k: merged(base.get(k, {}), v) if isinstance(v, dict) else v for k, v in changes.items()}
    return {**base, **nested}


def weather(field: str, level: int, time: np.datetime64, grid: Grid) -> np.ndarray:
    """A wave that travels east on a mean that falls towards the poles, with a diurnal cycle."""
    hours = float((time - np.datetime64("2001-01-01", "h")).astype(int))
    latitude, longitude = np.radians(grid.latitude)[:, None], np.radians(grid.longitude)
    wave = np.cos(latitude) * np.sin(3 * longitude - hours / 20 + 2 * latitude)
    if field == "tp":
        return 2e-3 * np.maximum(wave, 0)
    return 250 + level / 5 + 30 * np.cos(latitude) + 5 * wave + np.cos(hours * np.pi / 12 + longitude)


def _deliver(config: Config) -> None:
    """Write the GRIB files that the source finds."""
    grid = Grid.from_config(config.data.grid)
    for field in config.fields:
        for level in config.store_levels(field):
            for span in data_spans(config.data):
                path = config.source.folder / f"{field}_{level}_{span.start:%Y%m}.grib"
                with GribWriter(path, grid, edition=2) as writer:
                    for time in span.hours(config.data.time_step):
                        if (field, level, time) != ("t", 137, MISSING):
                            kind = "surface" if known_field(field).surface else "model"
                            writer.write(field, kind, level, time, weather(field, level, time, grid))


def _run_stages(config: Config) -> None:
    for group in open_source(config).groups():
        for span in data_spans(config.data):
            download(config, group.name, str(span))
    for field in config.fields:
        for span in data_spans(config.data):
            convert(config, field, str(span))
        for span in training_spans(config.data):
            partial(config, field, str(span))
        merge(config, field)


@pytest.fixture(scope="session")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the GRIB files, the store and the normalisation; only to be read."""
    folder = tmp_path_factory.mktemp("small")
    config = parse(merged(SETTINGS, {"source": {"folder": str(folder / "delivered")}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _deliver(config)
        _run_stages(config)
    return folder


@pytest.fixture
def configure(delivered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Configure:
    """Return the small experiment's configuration, changed; its store is below the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(delivered / "data")

    def configured(**changes: Any) -> Config:
        return parse(merged(merged(SETTINGS, {"source": {"folder": str(delivered / "delivered")}}), changes))

    return configured
