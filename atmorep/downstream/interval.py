"""The interval that a value of a target stands for, and what of the guess is compared with it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config, TargetTask
from atmorep.fields import field as known_field


@dataclass(frozen=True)
class Interval:
    """How values of the guess make one that stands for what a target's value does.

    A target that is a sum is compared with the sum of a guess that is accumulated over hours: with the mean
    hour of those in the store, times the hours of the interval. Else the mean is taken.

    Attributes:
        steps: times of the store in the interval, which ends at the target's time; 1 for an instant.
        factor: of their mean.
    """

    steps: int
    factor: float

    @classmethod
    def of(cls, config: Config, task: TargetTask) -> Interval:
        """That of the target of ``task``."""
        time = config.targets[task.target].time
        if time.kind == "instant":
            return cls(1, 1.0)
        summed = time.kind == "sum" and known_field(task.guess.field).accumulated
        return cls(time.window_hours // config.data.time_step, float(time.window_hours) if summed else 1.0)

    @property
    def before(self) -> int:
        """Times that are read before the first one wanted."""
        return self.steps - 1

    def over(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Values at ``before`` + n times (time, ...) to those of n intervals."""
        if self.steps == 1:
            return values * np.float32(self.factor)
        windows = np.lib.stride_tricks.sliding_window_view(values, self.steps, axis=0)
        return np.asarray(windows.mean(axis=-1) * np.float32(self.factor))

    def whole(self, available: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return (time,) True where the interval that ends there lacks no time."""
        there = available.copy()
        for back in range(1, self.steps):
            there &= np.concatenate([np.zeros(back, bool), available[:-back]])
        return there
