"""Where a training stands: the same on all ranks, and all of it but weights and the optimisers' moments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from atmorep.errors import DataError

Row = dict[str, float]
"""What the log says of one epoch."""


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        names: of what is scored: the fields that the model predicts, or a task.
        step: optimiser steps done.
        rows: the log, an epoch each.
        best: file name of the weights of least validation loss, once there are any.
        sums: (names,) sums of the losses of the steps of the current epoch.
        broken: (names,) first step of a loss that is not finite, counted from 1; 0 where there is none.
    """

    names: tuple[str, ...]
    step: int = 0
    rows: list[Row] = field(default_factory=list)
    best: str = ""
    sums: Tensor = field(default_factory=lambda: torch.zeros(0))
    broken: Tensor = field(default_factory=lambda: torch.zeros(0))

    @classmethod
    def begin(cls, names: Iterable[str]) -> Progress:
        """Return the progress of a training that has not begun."""
        names = tuple(names)
        sums, broken = (torch.zeros(len(names), dtype=kind) for kind in (torch.float64, torch.int64))
        return cls(names, sums=sums, broken=broken)

    def add(self, losses: Tensor) -> None:
        """Count a step of these losses (names,); without waiting for the device."""
        self.step += 1
        self.sums = self.sums.to(losses) + losses
        first = (self.broken.to(losses.device) == 0) & ~losses.isfinite()
        self.broken = torch.where(first, self.step, self.broken.to(losses.device))

    def end_epoch(self, row: Row, best: str) -> None:
        """Keep the epoch's row and begin the next epoch."""
        self.rows.append(row)
        self.best, self.sums = best, torch.zeros_like(self.sums)

    def check(self) -> None:
        """Look whether all losses so far are finite.

        Raises:
            DataError: with the names and the first step.
        """
        steps = {name: int(step) for name, step in zip(self.names, self.broken.tolist(), strict=True) if step}
        if steps:
            raise not_finite(tuple(steps), f"the loss is not finite at step {min(steps.values())}")

    def plain(self) -> dict[str, Any]:
        """Return what a state keeps of it, as plain values."""
        kept = {name: getattr(self, name) for name in ("step", "rows", "best")}
        return {**kept, "names": list(self.names), "sums": self.sums.tolist()}

    @classmethod
    def parse(cls, plain: dict[str, Any]) -> Progress:
        """Return the progress that :meth:`plain` was of."""
        begun = cls.begin(plain["names"])
        begun.step, begun.rows, begun.best = int(plain["step"]), list(plain["rows"]), str(plain["best"])
        begun.sums = torch.tensor(plain["sums"], dtype=torch.float64)
        return begun


def not_finite(names: Sequence[str], what: str) -> DataError:
    """Return the error of a training of ``names`` whose numbers are no longer finite."""
    return DataError(
        f"{', '.join(names)}: {what}; lower training.lr_max or training.clip_norm, or check the field's "
        "values with 'atmorep compare'. The last state before it is kept"
    )
