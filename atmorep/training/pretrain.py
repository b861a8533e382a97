"""Pretraining of one field: from the store and its normalisation to a model bundle."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import lightning as L
import torch

from atmorep import bundle
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.training.callbacks import (
    BEST,
    LOG,
    STATE,
    AtomicCheckpoints,
    EpochLog,
    EpochSeed,
    complete_state,
)
from atmorep.training.data import Samples
from atmorep.training.task import PretrainTask


def pretrain(config: Config, field: str) -> None:
    """Train the transformer of ``field``, or go on where an interrupted training stopped.

    Raises:
        DataError: if the store lacks what is needed, or the loss is no longer finite.
    """
    paths = Paths(config)
    state = paths.training_state(paths.model(field))
    state.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.training.seed)
    steps = config.training.samples_per_epoch // config.training.batch_size
    task = PretrainTask(bundle.build(config, [field]), config, steps)
    resumed = state / STATE
    trainer = _trainer(config, field, state)
    checkpoint = resumed if resumed.exists() else None
    trainer.fit(task, datamodule=Samples(config, (field,)), ckpt_path=checkpoint, weights_only=True)
    if trainer.is_global_zero:
        bundle.save(
            paths.model(field),
            config,
            weights=state / BEST,
            log=state / LOG,
            normalisation={field: paths.normalisation(field)},
        )


def _trainer(config: Config, field: str, state: Path) -> L.Trainer:
    settings = config.training
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")  # advice on loader workers and log intervals
    return L.Trainer(
        accelerator="auto",
        max_epochs=settings.epochs,
        precision=settings.precision,
        gradient_clip_val=settings.clip_norm,
        use_distributed_sampler=False,  # samples know their rank
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        plugins=[AtomicCheckpoints()],
        callbacks=[EpochSeed(), EpochLog(field, state), complete_state(state)],
    )
