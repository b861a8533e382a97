"""Training of a model: what ``pretrain``, ``couple`` and ``finetune`` have in common."""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from atmorep import integrity
from atmorep.config import Training
from atmorep.errors import IntegrityError
from atmorep.training import outside, state
from atmorep.training.callbacks import LOG, EpochLog, Keeper, write_log
from atmorep.training.problem import Problem
from atmorep.training.progress import Progress
from atmorep.training.samples import Samples
from atmorep.training.task import TrainingTask
from atmorep.training.trackers import Run, Trackers

TERMINATED = 128 + 15
"""Exit status of a process that was asked to stop and has saved its state."""


@dataclass(frozen=True)
class Trained:
    """What a training leaves.

    Attributes:
        weights: safetensors file of the weights of least validation loss.
        log: CSV file, a row an epoch.
        first_rank: whether this process is the one to make something of them.
    """

    weights: Path
    log: Path
    first_rank: bool


def fit(problem: Problem, model: nn.Module, folder: Path) -> Trained:
    """Train ``model`` on ``problem``, or go on where an interrupted training stopped.

    Args:
        problem: what is trained on; its configuration has the section ``training`` of this training.
        model: the network with the weights to begin with; what needs no gradient stays as it is.
        folder: of the complete state, to be kept until the training has ended.

    Raises:
        DataError: if the store lacks what is needed, or the loss is no longer finite.
        IntegrityError: if the state in ``folder`` is broken or of another configuration.
    """
    settings, progress = problem.config.training, _progress(problem, folder)
    trainer = lightning_trainer(settings, model, progress, _callbacks(problem, folder, progress))
    if trainer.is_global_zero:
        _tidy(folder, progress)
    if progress.step < settings.epochs * settings.steps_per_epoch:
        task = TrainingTask(model, problem, progress)
        outside.speed_up(model, settings, trainer.strategy.root_device)
        _run(trainer, task, Samples(problem, progress))
    return Trained(folder / progress.best, folder / LOG, trainer.is_global_zero)


def _progress(problem: Problem, folder: Path) -> Progress:
    """Return where the training in ``folder`` stands."""
    path = folder / state.STATE
    if not path.exists():
        return Progress.begin(problem.weights)
    progress = state.read_progress(path, problem.described())
    if progress.best:
        _check_best(folder / progress.best)
    return progress


def _check_best(weights: Path) -> None:
    """Look whether the best weights so far, which the state names, are what was written."""
    try:
        integrity.checked(weights)
    except FileNotFoundError as error:
        raise IntegrityError(f"{error}; delete {weights.parent} to begin anew") from None


def _callbacks(problem: Problem, folder: Path, progress: Progress) -> list[L.Callback]:
    """Return what happens beside the steps, in its order: what fails outside comes last."""
    run = Run(problem.config.experiment, "+".join(progress.names), folder, problem.described())
    return [
        EpochLog(folder, problem, progress),
        Keeper(folder, problem, progress),
        Trackers(problem.config.training.trackers, run, progress),
    ]


def _tidy(folder: Path, progress: Progress) -> None:
    """Remove what a killed process left half-written, and the rows the log has ahead of the state."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob(".*.part"):
        path.unlink()
    if progress.rows:
        write_log(folder, progress)


def _run(trainer: L.Trainer, task: TrainingTask, samples: Samples) -> None:
    # what clusters send ahead of a time limit or before they take a machine away
    signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        trainer.fit(task, datamodule=samples)
    except SIGTERMException:
        print(f"stopped at step {task.progress.step} as asked; the same command goes on", file=sys.stderr)
        sys.exit(TERMINATED)


def _place(settings: Training) -> dict[str, Any]:
    """Return what Lightning is told of machines; what is left out it takes from its environment variables."""
    nodes = {"num_nodes": settings.nodes} if settings.nodes > 1 else {}
    if settings.gpus is None:
        return nodes
    on_cpu = {"accelerator": "cpu"} if settings.gpus == 0 else {}
    return {**nodes, **on_cpu, "devices": settings.gpus or 1}


def lightning_trainer(
    settings: Training, model: nn.Module, progress: Progress, callbacks: Sequence[L.Callback]
) -> L.Trainer:
    """Return Lightning's trainer of the epochs that are left, on what devices there are.

    Lightning knows of no interruption: it is given what is left, the first epoch shorter than the others.
    Machines are described to it by its environment variables (``PL_TRAINER_NUM_NODES`` and the like).
    """
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")  # advice on loader workers and log intervals
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module")  # nothing changes members in place
    trainer = L.Trainer(
        strategy=outside.strategy(settings),
        max_epochs=settings.epochs - progress.step // settings.steps_per_epoch,
        precision=settings.precision,
        **_place(settings),
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,  # samples know their rank
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
        # Slurm's requeueing is the workflow's to do, and Lightning's own states are not written
        plugins=[SLURMEnvironment(auto_requeue=False)] if SLURMEnvironment.detect() else None,
        callbacks=list(callbacks),
    )
    outside.allow_unread(trainer.strategy, model)
    return trainer
