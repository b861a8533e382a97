"""Baselines of a downstream task: functions of what is known at one time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from atmorep.downstream.between import Kernel
from atmorep.downstream.inputs import Inputs, State, Values
from atmorep.fields import field as known_field
from atmorep.transforms import inverse


class Baseline(Protocol):
    """Predicts a target from the fields around one time."""

    @property
    def members(self) -> int:
        """Members of the ensemble; 1 of a single prediction."""

    def predict(self, state: State) -> Values:
        """Return members (member, row, column) in physical units."""


class Single:
    """A baseline of one member."""

    members = 1


@dataclass(frozen=True)
class Interpolated(Single):
    """The guess itself, between the points of the grid."""

    kernel: Kernel

    def predict(self, state: State) -> Values:
        """Interpolate the guess; what is below the field's floor is raised to it."""
        return _raised(state.inputs, state.interpolated(self.kernel))[None]


@dataclass(frozen=True)
class LapseRate(Single):
    """The guess, corrected for the height of the cell over that of the interpolated points.

    Attributes:
        rate: change with height in the guess's unit per m, one for all cells and times.
        offset: at the height of the interpolated points, likewise: a guess from above the ground is brought
            down to it.
        above: height of the cells over what bilinear interpolation of the points' heights gives (row,
            column) in m; zero where it is not known.
    """

    rate: float
    offset: float
    above: Values

    def predict(self, state: State) -> Values:
        """Add the offset, and the rate times the height."""
        change = np.float32(self.offset) + np.float32(self.rate) * self.above
        return _raised(state.inputs, state.interpolated() + change)[None]


@dataclass(frozen=True)
class Regression(Single):
    """A linear regression for each cell, of transformed values on transformed and standardised ones.

    Attributes:
        coefficients: (regressor, row, column).
    """

    coefficients: Values

    def predict(self, state: State) -> Values:
        """Evaluate the regression."""
        values = (self.coefficients * state.regressors()).sum(axis=0)
        return inverse(state.inputs.target.field, values)[None]


@dataclass(frozen=True)
class QuantileMapping(Single):
    """The guess with the target's distribution: quantiles over training days are mapped to each other.

    A guess between two quantiles is mapped linearly; beyond the ends it keeps the correction of the end. Of
    several equal quantiles of the guess, as the dry hours of rain are, the lowest counts: what is dry stays
    as dry as the target is at its least.

    Attributes:
        guess: quantiles of the guess (share, row, column), increasing.
        target: those of the target.
    """

    guess: Values
    target: Values

    def predict(self, state: State) -> Values:
        """Map the interpolated guess."""
        return _raised(state.inputs, mapped(state.interpolated(), self.guess, self.target))[None]


def mapped(values: Values, guess: Values, target: Values) -> Values:
    """Map values (row, column) from quantiles (share, row, column) of one distribution to another's."""
    last = len(guess) - 1
    below = np.clip((guess < values).sum(axis=0) - 1, 0, last - 1)[None]
    low, high = (np.take_along_axis(guess, below + k, axis=0)[0] for k in (0, 1))
    start, end = (np.take_along_axis(target, below + k, axis=0)[0] for k in (0, 1))
    width = high - low
    part = np.divide(values - low, width, out=np.zeros_like(values), where=width > 0)
    inner = start + np.clip(part, 0, 1) * (end - start)
    beyond = np.where(values > guess[last], values - guess[last], np.minimum(values - guess[0], 0))
    found: Values = np.where(values == guess[0], target[0], inner) + beyond
    return found


def _raised(inputs: Inputs, values: Values) -> Values:
    floor = known_field(inputs.target.field).floor
    return values if floor is None else np.maximum(values, np.float32(floor))
