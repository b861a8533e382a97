"""Settings, analytic weather, and predictors whose scores are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from atmorep.config import Config
from atmorep.store.reader import FieldReader

SETTINGS: dict[str, Any] = {
    "experiment": "analytic",
    "source": {"kind": "files", "folder": "unused", "pattern": "{field}.grib"},
    "data": {
        "grid": {"north": 60, "south": 30, "west": 0, "east": 40, "resolution": 5},  # 7 x 9 points
        "time_step": 6,
        "levels": {"type": "model", "values": [105, 137]},
        "periods": {
            "train": [{"start": "2001-01-01", "end": "2001-02-10"}],
            "validation": [{"start": "2001-02-11", "end": "2001-02-14"}],
            "test": [
                {"start": "2001-02-15", "end": "2001-02-28"},
                {"start": "2001-04-01", "end": "2001-04-20"},
            ],
        },
    },
    "fields": {"t": {}, "2t": {}},
    "network": {
        "neighbourhood": {"time": 6, "latitude": 4, "longitude": 6},
        "token_size": {"time": 2, "latitude": 2, "longitude": 3},
        "embed_dim": 32,
        "heads": 2,
        "tails": 4,
    },
    "evaluation": {
        "every_hours": 36,
        "lead_hours": [6, 12],
        "bootstrap_block_days": 2,
        "batch_size": 5,
        "bootstrap_samples": 200,
    },
}

State = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    nested = {k: merged(base.get(k, {}), v) if isinstance(v, dict) else v for k, v in changes.items()}
    return {**base, **nested}


@dataclass
class Known:
    """A predictor made of the truth by a stated rule; offers what evaluation asks of a predictor.

    Attributes:
        rule: from truth (steps, level, rows, columns), hidden points of the same shape and a generator
            to members (tails, steps, level, rows, columns).
    """

    config: Config
    field: str
    rule: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]

    def __post_init__(self) -> None:
        self.reader = FieldReader(self.config, self.field)
        whole = self.config.network.neighbourhood
        self.steps, self.rows, self.columns = whole.shape
        self.levels, self.tails = self.reader.levels, self.config.network.tails
        self.token = self.config.token_size(self.field).shape
        self.fields = (self.field,)
        self.seen: list[tuple[Any, np.ndarray]] = []

    def each(self, windows: Any, hidden: dict[str, np.ndarray], fields: list[str]) -> Any:
        assert fields == [self.field]
        yield self.field, self.predict(windows, hidden)

    def predict(self, windows: Any, hidden: dict[str, np.ndarray]) -> np.ndarray:
        assert len(windows) <= self.config.evaluation.batch_size
        members = []
        for window, mask in zip(windows, hidden[self.field], strict=True):
            self.seen.append((window, mask))
            truth = self.reader.read(
                window.start, self.steps, window.row, self.rows, window.column, self.columns
            )
            points = np.kron(mask, np.ones((1, *self.token), bool)).swapaxes(0, 1)
            random = np.random.default_rng([window.start, window.row, window.column])
            members.append(self.rule(truth, points, random))
        return np.stack(members).astype(np.float32)


def perfect(truth: np.ndarray, hidden: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return np.repeat(truth[None], 4, axis=0)


def only_visible(truth: np.ndarray, hidden: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """What a model could do without skill: carry on what it sees, with nothing of what is hidden."""
    out = np.where(hidden, np.nan, truth)
    for step in range(1, len(out)):
        out[step] = np.where(np.isnan(out[step]), out[step - 1], out[step])
    for step in range(len(out) - 2, -1, -1):
        out[step] = np.where(np.isnan(out[step]), out[step + 1], out[step])
    return np.repeat(np.nan_to_num(out)[None], 4, axis=0)


def weather(hours: np.ndarray, level: np.ndarray, latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    """Waves that travel east, a diurnal cycle and a level-dependent mean."""
    phase = np.radians(6 * longitude - 2.3 * hours + 3 * latitude)
    return 280 + level / 50 + 5 * np.sin(phase) + 2 * np.cos(np.radians(15 * hours)) + 0.02 * latitude
