"""Optimisers: AdamW as published, and Muon for the transformer's matrices; the learning rate by step."""

from __future__ import annotations

import math

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from atmorep.config import Training

BETAS = (0.9, 0.95)


def build_optimizers(model: nn.Module, settings: Training) -> list[Optimizer]:
    """Return the optimisers that ``training.optimizer`` names, of all parameters that need a gradient.

    Biases and norms have no weight decay.
    """
    linear = {f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    muon = [named[n] for n in named if n in linear and settings.optimizer == "muon"]
    rest = {n: p for n, p in named.items() if n not in linear or not muon}
    # the norms and biases of the tails have a dimension of members too, so names tell them apart
    groups = [
        {"params": [p for n, p in rest.items() if _is_matrix(n, p)], "weight_decay": settings.weight_decay},
        {"params": [p for n, p in rest.items() if not _is_matrix(n, p)], "weight_decay": 0.0},
    ]
    adamw = AdamW(groups, lr=settings.lr_max, betas=BETAS)
    if not muon:
        return [adamw]
    return [Muon(muon, settings.lr_max, settings.weight_decay, adjust_lr_fn="match_rms_adamw"), adamw]


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return name.endswith("weight") and parameter.ndim > 1


def learning_rate(settings: Training, step: int) -> float:
    """Return the learning rate of ``step``, counted from 0: warm-up, then decay."""
    epoch = step / settings.steps_per_epoch - settings.warmup_epochs
    start, largest, end = settings.lr_start, settings.lr_max, settings.lr_end
    if epoch < 0:
        return start + (largest - start) * (1 + epoch / settings.warmup_epochs)
    if settings.schedule == "published":
        return max(end, largest * settings.decay_rate**-epoch)
    done = epoch / max(settings.epochs - settings.warmup_epochs, 1 / settings.steps_per_epoch)
    return end + (largest - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
