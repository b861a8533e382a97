"""The store of a target on its evaluation grid: how it is laid out, and reading it by index."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.config import Config, Target
from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.paths import STORE_LAYOUT, Paths
from atmorep.store.layout import ArrayLayout, cf_attributes
from atmorep.store.reader import CACHE_BYTES, ArrayReader
from atmorep.store.statistics import Moments, merge_all
from atmorep.timeaxis import Span, TimeAxis, data_spans, training_spans

INNER_HOURS, INNER_ROWS, INNER_COLUMNS = 3, 48, 48
"""Largest extent of an inner chunk: the steps of a token, since training reads those of one at a time,
and tens of cells, since it reads a part of the grid."""


def evaluation_grid(config: Config, name: str) -> Grid:
    """Grid of the cells that target ``name`` is kept and predicted on."""
    target, grid = config.targets[name], Grid.from_config(config.data.grid)
    return grid.refined(target.refine, *grid.part(target.region))


def target_layout(config: Config, name: str, **source: Any) -> ArrayLayout:
    """Layout of the array of target ``name``, called as its field.

    Args:
        config: the experiment.
        name: name of the target.
        source: what is known of the files, to be stated with the array.
    """
    paths, target = Paths(config), config.targets[name]
    store = paths.target_store(name)
    return ArrayLayout(
        store=store,
        name=target.field,
        described=store.parent / "layout.json",
        axis=TimeAxis.of(config.data),
        grid=evaluation_grid(config, name),
        inner=(INNER_HOURS, INNER_ROWS, INNER_COLUMNS),
        attributes={
            **cf_attributes(target.field),
            "cell_methods": _cell_methods(target),
            **_cells(config, target),
            **source,
        },
        root_attributes={
            "Conventions": "CF-1.11",
            "title": f"Target {name} on its evaluation grid",
            "source": target.source.kind,
            "atmorep_layout": STORE_LAYOUT,
        },
    )


def _cell_methods(target: Target) -> str:
    """CF: what a value is in time and space."""
    time, space = target.time, "area: mean" if target.method == "conservative" else "area: point"
    if time.kind == "instant":
        return f"time: point {space}"
    return f"time: {time.kind} (comment: over the {time.window_hours} h that end at time) {space}"


def _cells(config: Config, target: Target) -> dict[str, Any]:
    """How values were made, and which points of the ERA5 grid the cells belong to."""
    grid, time = config.data.grid, target.time
    rows, columns = Grid.from_config(grid).part(target.region)
    return {
        "time_kind": time.kind,
        "window_hours": 0 if time.kind == "instant" else time.window_hours,
        "offset_minutes": time.offset_minutes,
        "regridding": target.method,
        "min_coverage": target.min_coverage,
        "era5_north": grid.north,
        "era5_west": grid.west,
        "era5_resolution": grid.resolution,
        "era5_rows": [rows.start, rows.stop],
        "era5_columns": [columns.start, columns.stop],
        "cells_per_era5_point": [target.refine, target.refine],
    }


class TargetReader:
    """A target on its evaluation grid.

    Attributes:
        axis: time axis; ``start`` of a reading counts on it.
        grid: evaluation grid.
        refine: cells along each side of the cell of a point of ``data.grid``.
        rows: rows of ``data.grid`` whose cells make the evaluation grid.
        columns: columns of ``data.grid``, likewise; may go past the last one on a periodic grid.
        field: ERA5 short name of the quantity.
    """

    def __init__(self, config: Config, target: str, cache_bytes: int = CACHE_BYTES) -> None:
        """Open the store of ``target``, a name in ``targets``.

        Raises:
            IntegrityError: if there is none.
        """
        layout, wanted = target_layout(config, target), config.targets[target]
        self._config, self._target = config, target
        self._parts = {span: Paths(config).target_part(target, span) for span in data_spans(config.data)}
        self._reader = ArrayReader(layout, self._parts, cache_bytes=cache_bytes)
        self.axis, self.grid = layout.axis, layout.grid
        self.refine, self.field = wanted.refine, wanted.field
        self.rows, self.columns = Grid.from_config(config.data.grid).part(wanted.region)

    def read(
        self, start: int, steps: int, row: int, rows: int, column: int, columns: int
    ) -> NDArray[np.float32]:
        """Return values (steps, rows, columns) in the unit of ``field``; NaN where there are none.

        Args:
            start: index of the first time on ``axis``.
            steps: number of times.
            row: first row of ``grid``.
            rows: number of rows.
            column: first column of ``grid``, any integer where it is periodic.
            columns: number of columns.

        Raises:
            IndexError: if the window leaves the time axis or the grid.
            IntegrityError: if a shard is corrupted.
        """
        return self._reader.read(start, steps, row, rows, column, columns)[:, 0]

    def available(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where the store has values of at least some cells."""
        return self._reader.available()

    def normalisation(self) -> tuple[float, float]:
        """Mean and standard deviation of transformed values (:mod:`atmorep.transforms`) of training days.

        Weighted by area, over all cells that have values; 1 takes the place of a deviation of 0.

        Raises:
            DataError: if no training day has values.
            IntegrityError: if a month has not been converted.
        """
        moments = [Moments(*np.array(day, np.float64)[:, None]) for day in self._training_days()]
        if not moments:
            raise DataError(
                f"targets.{self._target}: has no value on training days; correct its source or "
                "data.periods.train"
            )
        total = merge_all(moments)
        return float(total.mean[0]), float(total.std[0]) or 1.0

    def _training_days(self) -> list[list[float]]:
        """Count, mean and sum of squared deviations of each training day that has values."""
        days: dict[str, list[float]] = {}
        for span, part in self._parts.items():
            if any(_overlap(span, training) for training in training_spans(self._config.data)):
                days |= integrity.read(part)["moments"]
        return [moments for day, moments in days.items() if self._trains(dt.date.fromisoformat(day))]

    def _trains(self, day: dt.date) -> bool:
        return any(period.start <= day <= period.end for period in self._config.data.periods.train)


def _overlap(one: Span, other: Span) -> bool:
    return one.start <= other.end and other.start <= one.end
