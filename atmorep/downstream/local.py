"""The guess made local: a linear regression of the target on it and on the hour of the day, cell by cell.

What differs from cell to cell and stays, as the shape of a valley or its daily cycle, is then known before
the training begins, and the head predicts the departures of the day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.downstream.batches import Scale
from atmorep.downstream.fits import Fit
from atmorep.downstream.inputs import Feature, Inputs, Values

TIMES = 4000
"""Training times, about, that the regression is fitted on: many times its six coefficients a cell."""


class GuessAlone(Inputs):
    """What the regression is on: one, the guess in the scale of the target, the harmonics of the hour."""

    def __init__(self, config: Config, name: str, scale: Scale) -> None:
        super().__init__(config, name)
        self._scale = scale

    @cached_property
    def features(self) -> tuple[Feature, ...]:
        """The guess."""
        guess = self.task.guess
        return (Feature(guess.field, guess.level or 0, self._scale.mean, self._scale.std),)

    def training(self, cell_bytes: int, cells: int) -> Iterator[tuple[int, NDArray[np.bool_]]]:
        """Yield some of the training times, of all hours of the day alike."""
        stride = max(1, int(self.available().sum()) // TIMES)
        while math.gcd(stride, self.axis.per_day) > 1:
            stride += 1
        for start, there in super().training(cell_bytes, cells):
            chosen = there & (np.arange(start, start + len(there)) % stride == 0)
            if chosen.any():
                yield start, chosen


def fitted(config: Config, name: str, scale: Scale) -> Values:
    """Fit the regression of the task ``name`` on its training days.

    Cells that are held out or have few values get what is fitted on all others together.

    Returns:
        Coefficients of normalised values (coefficient, row, column): one, guess, harmonics.

    Raises:
        DataError: if training days hold too few values.
        IntegrityError: if a store lacks what is read.
    """
    coefficients = Fit.of(GuessAlone(config, name, scale)).regression().coefficients
    coefficients[0] -= scale.mean
    return coefficients / np.float32(scale.std)
