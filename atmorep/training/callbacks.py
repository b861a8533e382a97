"""What happens beside the steps: the log of epochs, the best weights, the complete state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import save_file
from torch import nn
from torch.distributed.tensor import DTensor

from atmorep import integrity
from atmorep.artefacts import written_aside
from atmorep.training import state
from atmorep.training.optimizers import learning_rate
from atmorep.training.problem import Problem
from atmorep.training.progress import Progress, Row, not_finite
from atmorep.training.task import TrainingTask

LOG = "training.csv"


class EpochLog(Callback):
    """Logs each epoch to CSV, prints it, and keeps the weights of least validation loss.

    Args:
        folder: of the log and the best weights.
        problem: what is trained on.
        progress: where it stands.
    """

    def __init__(self, folder: Path, problem: Problem, progress: Progress) -> None:
        self.folder, self.settings, self.progress = folder, problem.config.training, progress
        weights = torch.tensor([problem.weights[name] for name in progress.names], dtype=torch.float64)
        self._weights = weights / weights.sum()
        self._begun, self._first = 0.0, 0

    def on_train_epoch_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Start the clock."""
        self._begun, self._first = time.perf_counter(), self.progress.step

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Log the epoch.

        Raises:
            DataError: if a loss is no longer finite.
        """
        assert isinstance(task, TrainingTask)
        self.progress.check()
        row, best = self._row(task.validation.cpu().double()), self.progress.best
        if all(row["val_loss"] < earlier["val_loss"] for earlier in self.progress.rows):
            best = f"best-{row['epoch']:.0f}.safetensors"
            save_weights(task.best_known, self.folder / best)
        self.progress.end_epoch(row, best)
        if trainer.is_global_zero:
            write_log(self.folder, self.progress)
            self._print(row)

    def _row(self, validation: torch.Tensor) -> Row:
        """Return the row of an epoch whose validation gave (names, 2), loss and mean squared error."""
        progress, settings = self.progress, self.settings
        broken = [n for n, bad in zip(progress.names, ~validation.isfinite().all(1), strict=True) if bad]
        if broken:
            raise not_finite(broken, f"the validation loss is not finite after step {progress.step}")
        seconds = time.perf_counter() - self._begun
        return {
            "epoch": progress.step // settings.steps_per_epoch,
            "step": progress.step,
            "samples": progress.step * settings.batch_size,
            **self._losses(progress.sums.cpu().double() / settings.steps_per_epoch, *validation.unbind(1)),
            "lr": learning_rate(settings, progress.step),
            "seconds": round(seconds, 2),
            "samples_per_second": round((progress.step - self._first) * settings.batch_size / seconds, 2),
        }

    def _losses(self, train: torch.Tensor, validation: torch.Tensor, squares: torch.Tensor) -> Row:
        """Means of what is scored by its weights, and each one's own where there are several."""
        by_name = {"train_loss": train, "val_loss": validation, "val_rmse": squares}
        row = {name: float(values @ self._weights) for name, values in by_name.items()}
        if len(self.progress.names) > 1:
            for number, scored in enumerate(self.progress.names):
                row |= {f"{name}_{scored}": float(values[number]) for name, values in by_name.items()}
        return {name: value**0.5 if name.startswith("val_rmse") else value for name, value in row.items()}

    def _print(self, row: Row) -> None:
        epochs = self.settings.epochs
        left = (epochs - row["epoch"]) * self.settings.samples_per_epoch / row["samples_per_second"] / 60
        print(
            f"{'+'.join(self.progress.names)}: epoch {row['epoch']:.0f}/{epochs}  "
            f"train {row['train_loss']:.4f}  validation {row['val_loss']:.4f} (rmse {row['val_rmse']:.3f})  "
            f"lr {row['lr']:.1e}  {row['samples_per_second']:.0f} samples/s  {left:.1f} min left",
            flush=True,
        )


def write_log(folder: Path, progress: Progress) -> None:
    """Write the log of all epochs to ``folder``."""
    with written_aside(folder / LOG) as aside:
        pd.DataFrame(progress.rows).to_csv(aside, index=False)


def save_weights(model: nn.Module, path: Path) -> None:
    """Write the weights of ``model``; all ranks take part, the first one writes."""
    weights = state.gathered(model.state_dict())
    if state.first_rank():
        with integrity.recorded(path, f"delete {path.parent} to begin anew") as aside:
            save_file(weights, aside)


class Keeper(Callback):
    """Keeps the complete state: goes on from it, and writes it within epochs and at their end.

    Args:
        folder: of the state.
        problem: what is trained on.
        progress: where the training stands.
    """

    def __init__(self, folder: Path, problem: Problem, progress: Progress) -> None:
        self.path, self.settings, self.progress = folder / state.STATE, problem.config.training, progress
        self.keys = problem.described()
        self._saved = time.perf_counter()

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Go on from the state, once network and optimisers are where they will stay."""
        assert isinstance(task, TrainingTask)
        if self.progress.step:
            state.restore(self.path, task.parts, trainer.optimizers)
        self._saved = time.perf_counter()

    def on_train_batch_end(self, trainer: L.Trainer, task: L.LightningModule, *_: Any) -> None:
        """Write the state where it is time; at the end of an epoch that waits for its validation."""
        if self.progress.step % self.settings.steps_per_epoch and self._due(trainer):
            self._save(trainer, task)

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Write the state; best weights that it does not name are no longer needed."""
        self._save(trainer, task)
        if trainer.is_global_zero:
            for path in self.path.parent.glob("best-*.safetensors"):
                if path.name != self.progress.best:
                    integrity.beside(path).unlink(missing_ok=True)
                    path.unlink()

    def _due(self, trainer: L.Trainer) -> bool:
        steps, minutes = self.settings.checkpoint_steps, self.settings.checkpoint_minutes
        by_time = minutes is not None and time.perf_counter() - self._saved >= 60 * minutes
        # clocks and signals differ between ranks: they have to agree
        agreed = trainer.strategy.reduce_boolean_decision(by_time or trainer.received_sigterm, all=False)
        return agreed or (steps is not None and self.progress.step % steps == 0)

    def _save(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Write the state, unless it holds what is not finite: the one before is worth more.

        Raises:
            DataError: if it does.
        """
        assert isinstance(task, TrainingTask)
        self.progress.check()
        finite = all(_local(parameter).isfinite().all() for parameter in task.model.parameters())
        if not trainer.strategy.reduce_boolean_decision(finite):
            raise not_finite(self.progress.names, f"weights are not finite after step {self.progress.step}")
        state.save(self.path, task.parts, trainer.optimizers, self.progress, self.keys)
        self._saved = time.perf_counter()


def _local(parameter: torch.Tensor) -> torch.Tensor:
    """Return this rank's share of a parameter."""
    return parameter.to_local() if isinstance(parameter, DTensor) else parameter
