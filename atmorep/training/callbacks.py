"""What happens once an epoch: seeds, log, progress, best weights, complete state."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from safetensors.torch import save_file

from atmorep.artefacts import written_aside
from atmorep.errors import DataError
from atmorep.sampling.windows import sample_generator
from atmorep.training.task import PretrainTask

STATE = "state.ckpt"
BEST = "best.safetensors"
LOG = "training.csv"


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint aside and renames it; reads tensors and plain values only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write ``checkpoint`` to ``path`` at once."""
        with written_aside(Path(path)) as aside:
            torch.save(checkpoint, aside)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: Any = True) -> Any:
        """Read ``path`` without unpickling objects."""
        return torch.load(path, map_location=map_location, weights_only=True)


def complete_state(folder: Path) -> ModelCheckpoint:
    """Return the callback that keeps the complete state of the last epoch in ``folder``."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(STATE).stem,
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class EpochSeed(Callback):
    """Seeds dropout by (seed, epoch), so that a resumed epoch draws what it would have drawn."""

    def on_train_epoch_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Seed this epoch."""
        assert isinstance(task, PretrainTask)
        rng = sample_generator("dropout", task.settings.seed, trainer.current_epoch, trainer.global_rank)
        torch.manual_seed(int(rng.integers(2**62)))


class EpochLog(Callback):
    """Logs each epoch to CSV, prints it, and keeps the weights of least validation loss.

    Args:
        name: what is trained, for the printed line.
        folder: of the log and the best weights.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.rows: list[dict[str, float]] = []
        self._begun = 0.0

    def state_dict(self) -> dict[str, Any]:
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the rows of the resumed state."""
        self.rows = state_dict["rows"]

    def on_train_epoch_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Log the epoch.

        Raises:
            DataError: if the loss is no longer finite.
        """
        assert isinstance(task, PretrainTask)
        row = self._row(trainer, task)
        if not (row["train_loss"] < float("inf") and row["val_loss"] < float("inf")):
            raise DataError(
                f"{self.name}: the loss is not finite in epoch {trainer.current_epoch + 1}; lower "
                "training.lr_max or check the field's values with 'atmorep verify'"
            )
        best = all(row["val_loss"] < earlier["val_loss"] for earlier in self.rows)
        self.rows.append(row)
        if trainer.is_global_zero:
            self._write(task, best)
            self._print(row, task.settings.epochs)

    def _row(self, trainer: L.Trainer, task: PretrainTask) -> dict[str, float]:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = time.perf_counter() - self._begun
        return {
            "epoch": trainer.current_epoch + 1,
            "step": trainer.global_step,
            "samples": (trainer.current_epoch + 1) * task.settings.samples_per_epoch,
            "train_loss": metrics["train_loss"],
            "val_loss": metrics["val_loss"],
            "val_rmse": metrics["val_mse"] ** 0.5,
            "lr": trainer.optimizers[0].param_groups[0]["lr"],
            "seconds": round(seconds, 2),
            "samples_per_second": round(task.settings.samples_per_epoch / seconds, 2),
        }

    def _write(self, task: PretrainTask, best: bool) -> None:
        with written_aside(self.folder / LOG) as aside:
            pd.DataFrame(self.rows).to_csv(aside, index=False)
        if best:
            with written_aside(self.folder / BEST) as aside:
                save_file({k: v.contiguous() for k, v in task.best_known.state_dict().items()}, aside)

    def _print(self, row: dict[str, float], epochs: int) -> None:
        left = (epochs - row["epoch"]) * row["seconds"] / 60
        print(
            f"{self.name}: epoch {row['epoch']:.0f}/{epochs}  train {row['train_loss']:.4f}  "
            f"validation {row['val_loss']:.4f} (rmse {row['val_rmse']:.3f})  lr {row['lr']:.1e}  "
            f"{row['samples_per_second']:.0f} samples/s  {left:.1f} min left",
            flush=True,
        )
