"""Optimisers: AdamW as published, and Muon for the transformer's matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from atmorep.config import Training

BETAS = (0.9, 0.95)


def build_optimizer(model: nn.Module, settings: Training) -> Optimizer:
    """Return the optimiser that ``training.optimizer`` names; biases and norms have no weight decay."""
    linear = {f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    named = dict(model.named_parameters())
    muon = [named[n] for n in named if n in linear and settings.optimizer == "muon"]
    rest = {n: p for n, p in named.items() if n not in linear or not muon}
    # the norms and biases of the tails have a dimension of members too, so names tell them apart
    groups = [
        {"params": [p for n, p in rest.items() if _is_matrix(n, p)], "weight_decay": settings.weight_decay},
        {"params": [p for n, p in rest.items() if not _is_matrix(n, p)], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=settings.lr_max, betas=BETAS)
    if not muon:
        return adamw
    decay = settings.weight_decay
    return Combined([Muon(muon, settings.lr_max, decay, adjust_lr_fn="match_rms_adamw"), adamw])


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return name.endswith("weight") and parameter.ndim > 1


class Combined(Optimizer):
    """Several optimisers that step as one; a schedule or clipping sees all their parameters.

    Args:
        parts: optimisers of disjoint parameters.
    """

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([p for part in parts for g in part.param_groups for p in g["params"]], {})
        self.parts = parts
        self._gather()

    def _gather(self) -> None:
        """Share the parts' groups, so that a learning rate set here is set there."""
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Step all parts; ``closure`` recomputes the loss first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """States of the parts, in order."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the parts."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._gather()
