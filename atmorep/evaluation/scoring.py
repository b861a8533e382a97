"""Predictions of one task piece by piece, and the means of their statistics per initial time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.config.evaluation import BANDS, DOMAIN
from atmorep.config.target import Box
from atmorep.errors import DataError
from atmorep.evaluation.baselines import BASELINES
from atmorep.evaluation.climatology import Climatology
from atmorep.evaluation.statistics import STATISTICS, Array, Sample
from atmorep.evaluation.tasks import Task, to_points
from atmorep.evaluation.tiles import Tile, tiles
from atmorep.grids import Grid
from atmorep.inference.predictor import Predictor
from atmorep.masking import Mask
from atmorep.paths import Paths
from atmorep.sampling.windows import Window, sample_generator, valid_starts
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours, TimeAxis


@dataclass(frozen=True)
class Piece:
    """The scored part of one neighbourhood.

    Attributes:
        initial: number of the initial time.
        tile: place.
        target: what came, (step, level, row, column) with the scored steps only, physical units.
        predictions: members by model, (member, step, level, row, column); one for a baseline.
        climatology: like ``target``.
        hidden: like ``target``; True where a point was hidden from the model, so that it is scored.
    """

    initial: int
    tile: Tile
    target: Array
    predictions: dict[str, Array]
    climatology: Array
    hidden: Mask


@dataclass(frozen=True)
class Known:
    """What a field is compared with.

    Attributes:
        reader: the truth.
        climatology: of the months of the test periods.
        rivals: other models of the field, by name, that are scored as baselines are.
    """

    reader: FieldReader
    climatology: Climatology
    rivals: Mapping[str, Predictor]


@dataclass(frozen=True)
class Evaluation:
    """A zero-shot task of the fields that one prediction is scored in.

    Attributes:
        config: the experiment.
        task: what is asked.
        predictor: the model.
        known: by field that is scored.
    """

    config: Config
    task: Task
    predictor: Predictor
    known: Mapping[str, Known]

    @property
    def readers(self) -> dict[str, FieldReader]:
        """The truth, by field."""
        return {field: known.reader for field, known in self.known.items()}

    @property
    def bundle(self) -> Path:
        """The model's."""
        return Paths(self.config).scored(next(iter(self.known)))

    def members(self, field: str) -> dict[str, int]:
        """Members of the models of a field by name, the model scored first."""
        rivals = {name: rival.tails for name, rival in self.known[field].rivals.items()}
        return {"atmorep": self.predictor.tails, **rivals}

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a neighbourhood."""
        return self.predictor.rows, self.predictor.columns

    @cached_property
    def tiles(self) -> list[Tile]:
        """The neighbourhoods that cover the domain."""
        return tiles(next(iter(self.known.values())).reader.grid, *self.tile)

    @cached_property
    def starts(self) -> list[int]:
        """First steps of the neighbourhoods in time: every ``evaluation.every_hours`` in each test period.

        The first one begins with the period. Neighbourhoods that leave the period, or lack an hour of a
        field that the model looks at, are left out.
        """
        readers = [FieldReader(self.config, field) for field in self.predictor.fields]
        available = np.all([reader.available() for reader in readers], axis=0)
        return regular_starts(self.config, readers[0].axis, self.predictor.steps, available)

    @cached_property
    def initial_times(self) -> Hours:
        """Initial times of all predictions."""
        axis = next(iter(self.known.values())).reader.axis
        return axis.times()[np.array(self.starts, int) + self.task.initial_step]

    def pieces(self, initials: Sequence[int]) -> Iterator[tuple[str, Piece]]:
        """Predict the initial times with the given numbers, ``evaluation.batch_size`` pieces at a time.

        Yields:
            Fields and their pieces, those of a batch field by field.

        Raises:
            DataError: if the model predicts a value that is not finite.
        """
        todo = list(product(initials, range(len(self.tiles))))
        size = self.config.evaluation.batch_size
        for start in range(0, len(todo), size):
            batch = todo[start : start + size]
            windows = [self._window(*place) for place in batch]
            masks = {f: np.stack([self._mask(f, *p) for p in batch]) for f in self.predictor.fields}
            for field, own in self.predictor.each(windows, masks, list(self.known)):
                self._check(field, own, batch[0][0])
                members = {"atmorep": own}
                for name, rival in self.known[field].rivals.items():
                    members[name] = rival.predict(windows, {f: masks[f] for f in rival.fields})
                for n, (initial, number) in enumerate(batch):
                    ensembles = {name: several[n] for name, several in members.items()}
                    tile = self.tiles[number]
                    yield field, self._piece(field, initial, tile, masks[field][n], ensembles)

    def _window(self, initial: int, number: int) -> Window:
        return Window(self.starts[initial], self.tiles[number].row, self.tiles[number].column)

    def _mask(self, field: str, initial: int, number: int) -> Mask:
        """Hidden tokens of a field: of seed, initial time, place, and field unless it is of all."""
        hours = int(self.initial_times[initial].astype(np.int64)) % 2**32
        tokens = (len(self.config.model_levels(field)), *self.config.tokens(field).shape)
        key = "evaluate" if self.task.together else f"evaluate {field}"
        rng = sample_generator(key, self.config.evaluation.seed, hours, number)
        return self.task.strategy.select(tokens, rng)

    def _check(self, field: str, members: Array, initial: int) -> None:
        if not np.isfinite(members).all():
            raise DataError(
                f"{self.bundle}: the model of {field} predicts values that are not finite "
                f"({self.task.name}, initial time {self.initial_times[initial]} or after); "
                "see its training.csv, lower training.lr_max and train again"
            )

    def _piece(self, field: str, initial: int, tile: Tile, mask: Mask, members: Mapping[str, Array]) -> Piece:
        start, steps, known = self.starts[initial], list(self.task.steps), self.known[field]
        rows, columns = tile.rows, tile.columns
        values = known.reader.read(
            start,
            self.predictor.steps,
            rows.start,
            rows.stop - rows.start,
            columns.start,
            columns.stop - columns.start,
        )
        hidden = to_points(mask, self.config.token_size(field).shape)[..., *tile.inner]
        times = known.reader.axis.times(start, start + self.predictor.steps)
        climatology = known.climatology.at(times, rows, columns)
        predictions = {name: m[..., *tile.inner][:, steps] for name, m in members.items()}
        for name in self.task.baselines:
            predictions[name] = BASELINES[name](values, hidden, climatology)[None, steps]
        return Piece(initial, tile, values[steps], predictions, climatology[steps], hidden[steps])


def regular_starts(config: Config, axis: TimeAxis, steps: int, available: NDArray[np.bool_]) -> list[int]:
    """First steps of what takes ``steps``, every ``evaluation.every_hours`` in each test period."""
    every = config.evaluation.every_hours // axis.step
    found: list[int] = []
    for period in config.data.periods.test:
        first = int(axis.index(np.datetime64(period.start, "h")))
        valid = valid_starts(axis, [period], steps, available)
        found += valid[(valid - first) % every == 0].tolist()
    return found


def regions(grid: Grid, boxes: Mapping[str, Box]) -> dict[str, NDArray[np.float64]]:
    """Area weights (row, column) of the regions that are scored, by name; zero outside.

    The domain, of a ring around the Earth those of ``BANDS`` that it reaches but does not lie within, and
    ``boxes``.
    """
    domain = np.broadcast_to(grid.weights, grid.shape)
    found = {DOMAIN: domain}
    for name, (south, north) in BANDS.items() if grid.periodic else ():
        rows = (grid.latitude >= south) & (grid.latitude <= north)
        if rows.any() and not rows.all():
            found[name] = np.where(rows[:, None], domain, 0)
    return found | {name: np.where(grid.inside(box), domain, 0) for name, box in boxes.items()}


class Scores:
    """Sums of the statistics of one task, filled piece by piece.

    Attributes:
        task: the task.
        models: what is scored, the model first.
        weight: sum of the area weights of scored points (region, initial, lead, level).
        totals: weighted sums (model, statistic, region, initial, lead, level).
    """

    def __init__(
        self,
        task: Task,
        models: Sequence[str],
        weights: Mapping[str, NDArray[np.float64]],
        initials: int,
        levels: int,
    ) -> None:
        """Make room.

        Args:
            task: the task.
            models: what is scored, the model first.
            weights: area weights (row, column) of the regions by name.
            initials: number of initial times.
            levels: number of levels.
        """
        self.task, self.models = task, tuple(models)
        self._regions = weights
        self._lead = np.array([[s in steps for s in task.steps] for _, steps in task.leads], float)
        shape = (len(self._regions), initials, len(task.leads), levels)
        self.weight = np.zeros(shape)
        self.totals = np.zeros((len(self.models), len(STATISTICS), *shape))

    def add(self, piece: Piece) -> None:
        """Add the statistics of one piece, at hidden points only."""
        weights = np.stack([w[piece.tile.rows, piece.tile.columns] for w in self._regions.values()])
        self.weight[:, piece.initial] += self._sum(weights, piece.hidden.astype(float))
        for m, model in enumerate(self.models):
            sample = Sample(piece.target, piece.predictions[model], piece.climatology)
            for s, statistic in enumerate(STATISTICS.values()):
                values = np.where(piece.hidden, statistic.compute(sample), 0)
                self.totals[m, s, :, piece.initial] += self._sum(weights, values)

    def _sum(self, weights: Array, values: Array) -> Array:
        """Weighted sums (region, lead, level) of values (step, level, row, column)."""
        steps = np.tensordot(weights, values, axes=([1, 2], [2, 3]))
        return np.einsum("ks,gsl->gkl", self._lead, steps)

    def means(self, initial_times: Hours, levels: Sequence[int]) -> xr.Dataset:
        """Return the area means of all statistics per initial time; NaN where nothing was scored."""
        dims = ("region", "init_time", "lead_time", "level")
        with np.errstate(invalid="ignore"):
            means = self.totals / self.weight
        variables = {name: (("model", *dims), means[:, s]) for s, name in enumerate(STATISTICS)}
        hours = np.array(self.task.lead_hours).astype("timedelta64[h]")
        coordinates = {
            "model": list(self.models),
            "region": list(self._regions),
            "init_time": initial_times.astype("datetime64[ns]"),
            "lead_time": hours.astype("timedelta64[ns]"),
            "level": list(levels),
        }
        return xr.Dataset({**variables, "weight": (dims, self.weight)}, coordinates)
