"""The pretraining task as Lightning sees it: loss, optimiser, schedule, moving average."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atmorep.config import Config, Training
from atmorep.losses import loss_of, scored
from atmorep.sampling.batches import Batch
from atmorep.training.optimizers import build_optimizer


class PretrainTask(L.LightningModule):
    """Predict the selected tokens of all fields of a model.

    Args:
        model: the network.
        config: loss and training sections are used.
        steps_per_epoch: optimiser steps an epoch.
    """

    def __init__(self, model: nn.Module, config: Config, steps_per_epoch: int) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.settings: Training = config.training
        self.steps_per_epoch = steps_per_epoch
        decay = config.training.ema_decay
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        if self.average is not None:
            self.average.requires_grad_(False)

    @property
    def best_known(self) -> nn.Module:
        """The model that is validated and kept: the moving average where there is one."""
        averaged: nn.Module = self.average.module if self.average is not None else self.model
        return averaged

    @staticmethod
    def _members(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Members (B, L, K, I, J, M, V) by field."""
        predicted: dict[str, Tensor] = model({name: field.inputs for name, field in batch.items()})
        return predicted

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch."""
        loss = loss_of(self._members(self.model, batch), batch, self.config).total
        size = len(next(iter(batch.values())).source)
        self.log("train_loss", loss.detach(), on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return loss

    def on_train_batch_end(self, *_: Any) -> None:
        """Move the average."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def validation_step(self, batch: Batch, _: int) -> None:
        """Log loss and root mean square error of the ensemble mean, in normalised units."""
        members = self._members(self.best_known, batch)
        points = [scored(members[name], field) for name, field in batch.items()]
        mse = torch.stack([(p.members.mean(1) - p.target).square().mean() for p in points]).mean()
        size = len(next(iter(batch.values())).source)
        self.log("val_loss", loss_of(members, batch, self.config).total, batch_size=size, sync_dist=True)
        self.log("val_mse", mse, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> dict[str, Any]:
        """The configured optimiser, and the schedule by step."""
        optimizer = build_optimizer(self.model, self.settings)
        factor = schedule(self.settings, self.steps_per_epoch)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def schedule(settings: Training, steps_per_epoch: int) -> Any:
    """Return the factor of ``lr_max`` as a function of the step: warm-up, then decay."""
    warmup = settings.warmup_epochs * steps_per_epoch
    total = settings.epochs * steps_per_epoch
    start, end = settings.lr_start / settings.lr_max, settings.lr_end / settings.lr_max

    def factor(step: int) -> float:
        if step < warmup:
            return start + (1 - start) * step / warmup
        if settings.schedule == "published":
            return max(end, settings.decay_rate ** (-(step - warmup) / steps_per_epoch))
        done = (step - warmup) / max(1, total - warmup)
        return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    return factor
