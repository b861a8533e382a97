"""Fitting baselines of a downstream task on the training days that the task is trained on.

Cells of ``holdout`` take part in no fit: they get what is fitted on all other cells together, as do cells
with few values. Memory is bounded by blocks of rows, whatever the period.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from atmorep.downstream.baselines import LapseRate, QuantileMapping, Regression
from atmorep.downstream.inputs import Inputs, Values
from atmorep.errors import DataError
from atmorep.transforms import forward

BLOCK_BYTES = 128 * 2**20
"""Bytes that a fit holds of the cells it does at a time."""

RIDGE = 1e-6
"""Share of the number of times that is added to the diagonal of normal equations of standardised fields: so
little that it matters only where fields depend linearly on each other."""

TIMES_PER_REGRESSOR = 10
"""Fewest training times a regressor for a cell to have a regression of its own."""

SHARES = np.concatenate([np.linspace(0, 0.99, 100), [0.995, 0.999, 1]])
"""Quantiles that are mapped."""

TIMES_FOR_QUANTILES = 1000
"""Fewest training times for a cell to have quantiles of its own."""

POOLED_VALUES = 2_000_000
"""Values, about, that quantiles of all cells together are estimated from."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """What all fits have in common.

    Attributes:
        inputs: reads fields and target.
        held: cells (row, column) that take part in no fit.
    """

    inputs: Inputs
    held: NDArray[np.bool_]

    @classmethod
    def of(cls, inputs: Inputs) -> Self:
        """Cells of the task's ``holdout`` are held out."""
        grid, box = inputs.target.grid, inputs.task.holdout
        return cls(inputs, np.zeros(grid.shape, bool) if box is None else grid.inside(box))

    def blocks(self, cell_bytes: int) -> Iterator[slice]:
        """Rows of cells that are fitted at a time: ``cell_bytes`` a cell are ``BLOCK_BYTES`` at most."""
        rows, columns = self.inputs.between.shape
        height = max(1, BLOCK_BYTES // (cell_bytes * columns))
        for start in range(0, rows, height):
            yield slice(start, min(start + height, rows))

    def lapse_rate(self, above: Values) -> LapseRate:
        """Regress target minus guess on the height, over all cells and times."""
        sums = np.zeros(5)  # n, x, y, xx, xy
        for rows in self.blocks(8):
            between = self.inputs.between.part(rows)
            for start, there in self.inputs.training(12, int(np.prod(between.shape))):
                guess = between(self.inputs.guess(start, len(there), between))
                error = (self.inputs.truth(start, len(there), rows) - guess)[there].astype(np.float64)
                known = ~np.isnan(error) & ~self.held[rows]
                x, y = np.broadcast_to(above[rows], error.shape)[known].astype(float), error[known]
                sums += np.array([x.size, x.sum(), y.sum(), x @ x, x @ y])
        count, first, second, square, product = sums.tolist()
        if count * square - first**2 <= 0:
            raise DataError(
                f"{self._key}: heights of the cells do not differ from the interpolated ones, or there is no "
                "target on training days; remove lapse_rate from baselines"
            )
        rate = (count * product - first * second) / (count * square - first**2)
        return LapseRate(rate, (second - rate * first) / count, above)

    @property
    def _key(self) -> str:
        return f"finetune.{self.inputs.name}"

    def regression(self) -> Regression:
        """Normal equations of each cell, streamed; see :class:`Regression`."""
        size = len(self.inputs.names)
        pooled = np.zeros((size, size + 1))
        found, own = np.zeros((size, *self.inputs.between.shape)), np.zeros(self.inputs.between.shape, bool)
        for rows in self.blocks(8 * size * (size + 1)):
            equations = self._equations(rows)
            pooled += equations[~self.held[rows]].sum(axis=0)
            own[rows] = (equations[..., 0, 0] >= TIMES_PER_REGRESSOR * size) & ~self.held[rows]
            found[:, rows] = np.moveaxis(_solved(equations), -1, 0)
        if pooled[0, 0] < TIMES_PER_REGRESSOR * size:
            raise DataError(f"{self._key}: too few values on training days for a regression; extend them")
        found = np.where(own, found, _solved(pooled)[:, None, None])
        return Regression(found.astype(np.float32))

    def _equations(self, rows: slice) -> Array:
        """Sums (row, column, regressor, regressor + 1) of products of regressors, and with the target."""
        inputs, between = self.inputs, self.inputs.between.part(rows)
        size = len(inputs.names)
        sums = np.zeros((*between.shape, size, size + 1))
        for start, there in inputs.training(12 * (size + 1), int(np.prod(between.shape))):
            x = inputs.regressors(start, len(there), between)[there]
            y = forward(inputs.target.field, inputs.truth(start, len(there), rows)[there])
            known = ~np.isnan(y)
            both = np.concatenate([x, np.where(known, y, 0)[:, None]], axis=1).astype(np.float64)
            both = np.moveaxis(both * known[:, None], (0, 1), (3, 2))  # row, column, regressor, time
            sums += both[..., :-1, :] @ both.swapaxes(-1, -2)
        return sums

    def quantile_mapping(self) -> QuantileMapping:
        """Quantiles of guess and target at the times that have both; see :class:`QuantileMapping`."""
        inputs, shape = self.inputs, self.inputs.between.shape
        found = np.full((2, len(SHARES), *shape), np.nan, np.float32)
        times = int(inputs.available().sum())
        share, random = POOLED_VALUES / max(1, times * shape[0] * shape[1]), np.random.default_rng(0)
        pooled: list[Values] = []
        for rows in self.blocks(16 * times):
            pair = self._pairs(rows)
            known = ~np.isnan(pair[1])
            pooled.append(pair[:, known & ~self.held[rows] & (random.random(known.shape) < share)])
            own = (known.sum(axis=0) >= TIMES_FOR_QUANTILES) & ~self.held[rows]
            if own.any():
                quantiles = np.nanquantile(pair[..., own], SHARES, axis=1)
                found[:, :, rows][..., own] = quantiles.swapaxes(0, 1)
        together = np.concatenate(pooled, axis=1)
        if not together.size:
            raise DataError(f"{self._key}: has no values on training days; extend data.periods.train")
        common = np.quantile(together, SHARES, axis=1).T[..., None, None].astype(np.float32)
        return QuantileMapping(*np.where(np.isnan(found), common, found))

    def _pairs(self, rows: slice) -> Values:
        """Guess and target (2, time, row, column) of all training times; both NaN where one is."""
        between, pairs = self.inputs.between.part(rows), []
        for start, there in self.inputs.training(12, int(np.prod(between.shape))):
            guess = between(self.inputs.guess(start, len(there), between))[there]
            target = self.inputs.truth(start, len(there), rows)[there]
            pairs.append(np.stack([np.where(np.isnan(target), np.float32(np.nan), guess), target]))
        return np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0, *between.shape), np.float32)


def _solved(equations: Array) -> Array:
    """Coefficients (..., regressor) of normal equations (..., regressor, regressor + 1); zero of none."""
    matrix, moment = equations[..., :-1], equations[..., -1:]
    times = np.maximum(matrix[..., :1, :1], 1)
    ridge = RIDGE * times * np.eye(matrix.shape[-1])
    ridge[..., 0, 0] = matrix[..., 0, 0] == 0  # the constant is not held back
    return np.asarray(np.linalg.solve(matrix + ridge, moment)[..., 0], np.float64)
