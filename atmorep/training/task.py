"""The training as Lightning sees it: a step of all fields, its loss, and what is validated."""

from __future__ import annotations

from collections.abc import Mapping

import lightning as L
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atmorep.config import Config
from atmorep.losses import Losses, loss_of, scored
from atmorep.sampling.batches import Batch, FieldBatch
from atmorep.sampling.windows import sample_generator
from atmorep.training import outside
from atmorep.training.optimizers import build_optimizers, learning_rate
from atmorep.training.progress import Progress


class TrainingTask(L.LightningModule):
    """Predict the selected tokens of all fields of a model.

    The loss of a step is that of all selected tokens of the global batch, however it is divided among ranks
    and parts: each part counts by its tokens.

    Args:
        model: the network, a :class:`~atmorep.model.multiformer.Multiformer`.
        config: fields, loss and training sections are used.
        progress: where the training stands; every step is counted there.
    """

    automatic_optimization = False

    def __init__(self, model: nn.Module, config: Config, progress: Progress) -> None:
        super().__init__()
        self.model, self.config, self.progress = model, config, progress
        self.settings = config.training
        decay = config.training.ema_decay
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        if self.average is not None:
            self.average.requires_grad_(False)
        self.validation = torch.zeros(0)

    @property
    def best_known(self) -> nn.Module:
        """The model that is validated and kept: the moving average where there is one."""
        averaged: nn.Module = self.average.module if self.average is not None else self.model
        return averaged

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The modules that a complete state holds, by name."""
        return {"model": self.model} | ({} if self.average is None else {"average": self.average})

    def configure_model(self) -> None:
        """Shard the network where that is wanted; Lightning calls this once the ranks know of each other."""
        if self.settings.strategy == "fsdp" and not isinstance(self.model, FSDPModule):
            mesh = init_device_mesh(self.device.type, (self.trainer.world_size,))
            outside.shard(self.model, mesh)
            if self.average is not None:
                outside.shard(self.average.module, mesh)

    def configure_optimizers(self) -> list[Optimizer]:
        """The configured optimisers; their learning rate is set at each step."""
        return build_optimizers(self.model, self.settings)

    # -- a step --------------------------------------------------------------------------------

    def training_step(self, batch: Batch, _: int) -> None:
        """Move the weights by one batch, taken in ``training.accumulate`` parts."""
        torch.manual_seed(dropout_seed(self.settings.seed, self.progress.step, self.trainer.global_rank))
        counts = self._over_ranks(self._counts(batch))
        *others, last = outside.divided(batch, self.settings.accumulate)
        with outside.unsynchronised(self.trainer):
            losses = [self._backward(part, counts) for part in others]
        losses.append(self._backward(last, counts))
        self._move()
        self.progress.add(self._over_ranks(torch.stack(losses).sum(0)))

    def _backward(self, part: Batch, counts: Tensor) -> Tensor:
        """Add the gradient of a part; returns its contribution (fields,) to the losses of the batch."""
        shares = dict(zip(self.progress.fields, (self._counts(part) / counts).unbind(), strict=True))
        losses, _ = self._losses(self.model, part, shares)
        self.manual_backward(losses.total * self.trainer.world_size)  # ranks average their gradients
        return self._by_field(losses)

    def _move(self) -> None:
        """Let the optimisers move the weights, and the average after them."""
        rate = learning_rate(self.settings, self.progress.step)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
            optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)

    # -- validation ----------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        """Begin new sums."""
        self.validation = _precise(torch.zeros(len(self.progress.fields), 3, device=self.device))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Add loss, squared error of the ensemble mean (normalised units) and number of tokens."""
        losses, members = self._losses(self.best_known, batch)
        errors = torch.stack([_squared_error(members[name], batch[name]) for name in self.progress.fields])
        counts = self._counts(batch)
        self.validation += torch.stack([self._by_field(losses) * counts, errors * counts, counts], dim=1)

    def on_validation_epoch_end(self) -> None:
        """Add up over ranks: the outcome is (fields, 2), loss and mean squared error."""
        sums = self._over_ranks(self.validation)
        self.validation = sums[:, :2] / sums[:, 2:]

    # -- in common -----------------------------------------------------------------------------

    def _losses(
        self, model: nn.Module, batch: Batch, shares: Mapping[str, Tensor] | None = None
    ) -> tuple[Losses, dict[str, Tensor]]:
        members = model({name: part.inputs for name, part in batch.items()})
        with torch.autocast(self.device.type, enabled=False):  # which would halve the loss's precision too
            return loss_of(members, batch, self.config, shares), members

    def _by_field(self, losses: Losses) -> Tensor:
        """Losses (fields,) in double precision, without the fields' weights."""
        terms = self.config.loss.terms
        return torch.stack(
            [
                torch.stack([terms[n] * _precise(part) for n, part in parts.items()]).sum()
                for parts in (losses.parts[name] for name in self.progress.fields)
            ]
        )

    def _counts(self, batch: Batch) -> Tensor:
        """Selected tokens (fields,) in double precision."""
        return _precise(torch.stack([batch[name].selected.sum() for name in self.progress.fields]))

    def _over_ranks(self, values: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(values, reduce_op="sum")


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of dropout in a step: it draws the same after any interruption."""
    return int(sample_generator("dropout", seed, step, rank).integers(2**62))


def _squared_error(members: Tensor, batch: FieldBatch) -> Tensor:
    """Mean squared error of the ensemble mean at the selected tokens, in double precision."""
    points = scored(members, batch)
    return _precise((points.members.mean(1) - points.target).square().mean())


def _precise(values: Tensor) -> Tensor:
    """Return ``values`` in double precision, which Apple's GPUs lack."""
    return values.float() if values.device.type == "mps" else values.double()
