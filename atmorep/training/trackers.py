"""Where the log goes besides ``training.csv``: trackers, none of which can stop a training.

Servers and keys are the trackers' own to configure, by their environment variables (``MLFLOW_TRACKING_URI``,
``WANDB_API_KEY``, ``WANDB_MODE``); without, all stays in the folder of the training's state.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from atmorep.artefacts import write_text
from atmorep.training.progress import Progress

PATIENCE = 20
"""Seconds that a tracker's server may keep a training waiting before it is given up."""


@dataclass(frozen=True)
class Run:
    """What trackers are told of a training.

    Attributes:
        experiment: name of the experiment.
        name: of the training within it.
        folder: where what stays here is kept.
        keys: of the configuration, with their values.
    """

    experiment: str
    name: str
    folder: Path
    keys: Mapping[str, Any]


def _tensorboard(run: Run) -> Logger:
    return TensorBoardLogger(run.folder, name="tensorboard", version="", default_hp_metric=False)


def _mlflow(run: Run) -> Logger:
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its own patience is many minutes
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(PATIENCE))
    os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # the one that needs no database
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    uri = os.environ.get("MLFLOW_TRACKING_URI") or (run.folder / "mlruns").resolve().as_uri()
    known = run.folder / "mlflow.txt"
    before = known.read_text() if known.exists() else None
    logger = MLFlowLogger(run.experiment, run.name, uri, run_id=before)
    write_text(known, str(logger.run_id))  # a training that goes on goes on in its run
    return logger


def _wandb(run: Run) -> Logger:
    import wandb

    patience = wandb.Settings(init_timeout=PATIENCE, finish_timeout=PATIENCE)
    project = {"project": run.experiment, "id": run.folder.name, "settings": patience}
    return WandbLogger(run.name, run.folder, **project)


OPENERS: dict[str, Callable[[Run], Logger]] = {
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
    "wandb": _wandb,
}


class Trackers(Callback):
    """Hands each epoch's row to trackers; one that fails is left out from then on, with a warning.

    Args:
        names: of the trackers.
        run: what they are told.
        progress: where the training stands.
    """

    def __init__(self, names: Sequence[str], run: Run, progress: Progress) -> None:
        self.names, self.run, self.progress = names, run, progress
        self._open: dict[str, Logger] = {}

    def on_train_start(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Open the trackers, on the first rank."""
        if trainer.is_global_zero:
            for name in self.names:
                self._attempt(name, self._begin, name)

    def on_train_epoch_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Hand on the last row."""
        row = self.progress.rows[-1]
        for name, logger in list(self._open.items()):
            self._attempt(name, logger.log_metrics, row, int(row["step"]))

    def on_train_end(self, trainer: L.Trainer, task: L.LightningModule) -> None:
        """Close the trackers."""
        self._close("success")

    def on_exception(self, trainer: L.Trainer, task: L.LightningModule, exception: BaseException) -> None:
        """Close the trackers of a training that did not end."""
        self._close("failed")

    def _begin(self, name: str) -> None:
        logger = OPENERS[name](self.run)
        logger.log_hyperparams(dict(self.run.keys))
        self._open[name] = logger

    def _close(self, status: str) -> None:
        for name, logger in list(self._open.items()):
            self._attempt(name, _end, logger, status)
        self._open.clear()

    def _attempt(self, name: str, action: Callable[..., None], *arguments: Any) -> None:
        """Do what may fail in any way that a tracker thinks of."""
        try:
            action(*arguments)
        except Exception as error:
            self._open.pop(name, None)
            hint = "; pip install 'atmorep[trackers]'" if isinstance(error, ImportError) else ""
            what = " ".join(str(error).split())[:300]
            print(
                f"training.trackers: {name} is left out from here on ({type(error).__name__}: {what}){hint}",
                file=sys.stderr,
            )


def _end(logger: Logger, status: str) -> None:
    logger.finalize(status)
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(0 if status == "success" else 1)
