"""The training as Lightning sees it: a step, its loss, and what is validated."""

from __future__ import annotations

from collections.abc import Mapping

import lightning as L
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from atmorep.losses import Losses, Scored, loss_of
from atmorep.sampling.batches import Batch
from atmorep.sampling.windows import sample_generator
from atmorep.training import outside
from atmorep.training.optimizers import build_optimizers, learning_rate
from atmorep.training.problem import Problem
from atmorep.training.progress import Progress


class TrainingTask(L.LightningModule):
    """Train a network on a problem.

    The loss of a step is that of all that is scored of the global batch, however it is divided among ranks
    and parts: each part counts by its tokens, or cells.

    Args:
        model: the network, which the problem knows how to ask.
        problem: what is trained on.
        progress: where the training stands; every step is counted there.
    """

    automatic_optimization = False

    def __init__(self, model: nn.Module, problem: Problem, progress: Progress) -> None:
        super().__init__()
        self.model, self.problem, self.progress = model, problem, progress
        self.settings, self.loss = problem.config.training, problem.config.loss
        decay = self.settings.ema_decay
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
        counts = self._over_ranks(self._counts(batch)).clamp(min=1)
        *others, last = outside.divided(batch, self.settings.accumulate)
        with outside.unsynchronised(self.trainer):
            losses = [self._backward(part, counts) for part in others]
        losses.append(self._backward(last, counts))
        self._move()
        self.progress.add(self._over_ranks(torch.stack(losses).sum(0)))

    def _backward(self, part: Batch, counts: Tensor) -> Tensor:
        """Add the gradient of a part; returns its contribution (names,) to the losses of the batch."""
        shares = dict(zip(self.progress.names, (self._counts(part) / counts).unbind(), strict=True))
        losses, _ = self._losses(self.model, part, shares)
        self.manual_backward(losses.total * self.trainer.world_size)  # ranks average their gradients
        return self._by_name(losses)

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
        self.validation = _precise(torch.zeros(len(self.progress.names), 3, device=self.device))

    def validation_step(self, batch: Batch, _: int) -> None:
        """Add loss, squared error of the ensemble mean (normalised units) and what they are means of."""
        losses, found = self._losses(self.best_known, batch)
        errors = torch.stack([_squared_error(found[name]) for name in self.progress.names])
        counts = self._counts(batch)
        self.validation += torch.stack([self._by_name(losses) * counts, errors * counts, counts], dim=1)

    def on_validation_epoch_end(self) -> None:
        """Add up over ranks: the outcome is (names, 2), loss and mean squared error."""
        sums = self._over_ranks(self.validation)
        self.validation = sums[:, :2] / sums[:, 2:]

    # -- in common -----------------------------------------------------------------------------

    def _losses(
        self, model: nn.Module, batch: Batch, shares: Mapping[str, Tensor] | None = None
    ) -> tuple[Losses, dict[str, Scored]]:
        found = self.problem.score(model, batch)
        with torch.autocast(self.device.type, enabled=False):  # which would halve the loss's precision too
            return loss_of(found, self.problem.weights, self.loss, shares), found

    def _by_name(self, losses: Losses) -> Tensor:
        """Losses (names,) in double precision, without the weights."""
        terms = self.loss.terms
        return torch.stack(
            [
                torch.stack([terms[n] * _precise(part) for n, part in parts.items()]).sum()
                for parts in (losses.parts[name] for name in self.progress.names)
            ]
        )

    def _counts(self, batch: Batch) -> Tensor:
        """How much is scored of a batch (names,), in double precision."""
        counts = self.problem.counts(batch)
        return _precise(torch.stack([counts[name] for name in self.progress.names]))

    def _over_ranks(self, values: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(values, reduce_op="sum")


def dropout_seed(seed: int, step: int, rank: int) -> int:
    """Return the seed of dropout in a step: it draws the same after any interruption."""
    return int(sample_generator("dropout", seed, step, rank).integers(2**62))


def _squared_error(found: Scored) -> Tensor:
    """Mean squared error of the ensemble mean, in double precision; zero of nothing."""
    squares = (found.members.mean(-2) - found.target).square()
    return _precise(squares.mean() if squares.numel() else squares.sum())


def _precise(values: Tensor) -> Tensor:
    """Return ``values`` in double precision, which Apple's GPUs lack."""
    return values.float() if values.device.type == "mps" else values.double()
