"""Where the training of a head begins: at the linear regression on what is known of the cells."""

from __future__ import annotations

import torch
from torch import Tensor

from atmorep.downstream.batches import TargetBatches

SAMPLES = 128
"""Patches that the regression is fitted on; they are the first ones of the training."""
RIDGE = 1e-4
"""Added to the mean squares of the factors, which are of order one: static fields may be alike."""


def regression(batches: TargetBatches) -> Tensor:
    """Fit the departures of the target from the guess by least squares, over cells that have a target.

    Without it a training begins with the error of the guess: that of 850 hPa at the ground, say, which takes
    most of a short training to be learnt away.

    Args:
        batches: of training; normalised values.

    Returns:
        Coefficients of one, the guess and the static fields (2 + F,), in double precision; zeros if no cell
        of the samples has a target.
    """
    parts = (batches.part([batches.draw((0, number))]) for number in range(SAMPLES))
    sums = [_products(part.cells.factors, part.target) for part in parts]
    squares, products = (torch.stack(terms).sum(0) for terms in zip(*sums, strict=True))
    cells = squares[0, 0].clamp(min=1)
    return torch.linalg.solve(squares / cells + RIDGE * torch.eye(len(squares)), products / cells)


def _products(factors: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sums of x xᵀ (2 + F, 2 + F) and of x times the departure (2 + F,)."""
    known = ~target.isnan()
    x = factors.movedim(2, -1)[known].double()
    return x.T @ x, x.T @ (target[known].double() - x[:, 1])
