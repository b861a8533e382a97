"""What only whole states tell of the predictions that are kept: ranks, events, spectra, distributions.

Predictions come neighbourhood by neighbourhood; once they are kept, they are read again state by state.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from atmorep.config.evaluation import DOMAIN
from atmorep.evaluation.metrics import table
from atmorep.evaluation.patterns import SPREADS, Patterns
from atmorep.evaluation.states import Scored, StateScores
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours
from atmorep.transforms import forward

MOMENT_STATES = 16
"""Most states that the classes of values are made from."""


@dataclass(frozen=True)
class Kept:
    """Predictions of a task of one field that are kept.

    Attributes:
        array: members in a Zarr array (init_time, lead_time, number, level where there is one, row, column).
        reader: the truth.
        initial: initial times.
        lead_hours: lead times in hours.
        thresholds: of events, in the field's unit.
    """

    array: Any
    reader: FieldReader
    initial: Hours
    lead_hours: tuple[int, ...]
    thresholds: tuple[float, ...]

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return int(self.array.shape[2])

    def target(self, number: int, lead: int) -> NDArray[np.float32]:
        """What came (level, row, column) ``lead`` hours after an initial time."""
        step = self.reader.axis.index(self.initial[number] + np.timedelta64(lead, "h"))
        rows, columns = self.reader.grid.shape
        return self.reader.read(int(step), 1, 0, rows, 0, columns)[0]

    def states(self, place: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Numbers of the initial times and members (member, level, row, column) of a lead time."""
        together = self.array.chunks[0]
        for start in range(0, len(self.initial), together):
            block = self.array[start : start + together, place]
            for number, members in enumerate(block, start):
                yield number, members if members.ndim == 4 else members[:, None]

    def scored(self, field: str, level: int) -> Scored:
        """What is computed of the level of number ``level``."""
        several = np.unique(np.linspace(0, len(self.initial) - 1, MOMENT_STATES).astype(int))
        states = [self.target(number, self.lead_hours[0])[level] for number in several]
        values = forward(field, np.stack(states)).astype(np.float64)
        patterns = Patterns.of_field(field, self.reader.grid, values.mean(), values.std() or 1.0)
        return Scored(self.thresholds, (1,), self.members, patterns)


def whole(kept: Kept, task: str, field: str, weights: NDArray[np.float64]) -> tuple[pd.DataFrame, xr.Dataset]:
    """Score the states of the whole domain.

    Memory is bounded by the members of one lead time of a chunk of ``output.Predictions``.

    Args:
        kept: the predictions.
        task: its name.
        field: ERA5 short name.
        weights: resamples of the initial times (sample, init_time).

    Returns:
        Rows of ``metrics.csv``, and means over time of ``spread_error`` (lead_time, level, spread, error)
        with ``scale`` (level), the unit of the middles of its classes.
    """
    levels = [kept.scored(field, number) for number in range(len(kept.reader.levels))]
    tables, joint = [], []
    for place, lead in enumerate(kept.lead_hours):
        found = _means(kept, levels, place, lead)
        for level, scored, means in zip(kept.reader.levels, levels, found, strict=True):
            members = {"atmorep": kept.members}
            rows = table(task, field, means, members, weights, scored.whole, paired=())
            tables.append(rows.assign(level=level, lead_hours=lead))
        joint.append([_joint(means) for means in found])
    scales = [scored.patterns.scale for scored in levels]
    return pd.concat(tables, ignore_index=True), _calibration(kept, np.array(joint), scales)


def _means(kept: Kept, levels: list[Scored], place: int, lead: int) -> list[xr.Dataset]:
    """Statistics by time of the states of a lead time, level by level."""
    grid = kept.reader.grid
    domain = {DOMAIN: np.broadcast_to(grid.weights, grid.shape)}
    models = {"atmorep": kept.members}
    scores = [StateScores(scored, models, domain, len(kept.initial)) for scored in levels]
    for number, members in kept.states(place):
        target = kept.target(number, lead)
        for level, of_level in enumerate(scores):
            of_level.add(number, target[level], {"atmorep": members[:, level]})
    return [of_level.means(kept.initial) for of_level in scores]


def _joint(means: xr.Dataset) -> NDArray[np.float64]:
    """Mean over time of the shares (spread, error)."""
    found = means["spread_error"].sel(model="atmorep", region=DOMAIN).isel(lead_time=0, level=0)
    return found.mean("init_time").to_numpy()


def _calibration(kept: Kept, joint: NDArray[np.float64], scales: list[float]) -> xr.Dataset:
    middles = np.sqrt(SPREADS[:-1] * SPREADS[1:])
    return xr.Dataset(
        {
            "spread_error": (("lead_time", "level", "spread", "error"), joint),
            "scale": ("level", scales),
        },
        {
            "lead_time": np.array(kept.lead_hours).astype("timedelta64[h]").astype("timedelta64[ns]"),
            "level": list(kept.reader.levels),
            "spread": middles,
            "error": middles,
        },
    )
