"""A real store of analytic fields."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atmorep.artefacts import write_json
from atmorep.config import Config, parse
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.arrays import open_array
from atmorep.store.layout import create, field_layout
from atmorep.timeaxis import TimeAxis, data_spans

from .known import SETTINGS, State, merged


@pytest.fixture
def make_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Write ``state(hours, level, latitude, longitude)`` of every configured hour to a real store."""
    monkeypatch.chdir(tmp_path)

    def make(state: State, field: str = "2t", missing: tuple[str, ...] = (), **changes: Any) -> Config:
        config = parse(merged(SETTINGS, changes))
        create(field_layout(config, field))
        axis, grid = TimeAxis.of(config.data), Grid.from_config(config.data.grid)
        hours = np.arange(axis.size)[:, None, None, None] * axis.step
        levels = np.array(config.store_levels(field))[None, :, None, None]
        values = state(hours, levels, grid.latitude[:, None], grid.longitude[None, :])
        shape = (axis.size, levels.size, *grid.shape)
        array = open_array(Paths(config).store, field)
        array[: axis.size].write(np.broadcast_to(values, shape).astype(np.float32)).result()
        for span in data_spans(config.data):
            gaps = [hour for hour in missing if hour in map(str, span.hours(axis.step))]
            write_json(Paths(config).part(field, span), {"missing": gaps})
        return config

    return make
