"""The batches of a training as loaders whose order never depends on workers.

Workers import this module: it stays clear of Lightning, which takes longer to import than all the rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from atmorep.config import Training
from atmorep.memory import keep_freed_memory
from atmorep.sampling.batches import Batch
from atmorep.training.problem import Problem


class Batches(Dataset[Batch]):
    """Batches by number, opened anew in the process that they are sent to.

    Args:
        problem: what is trained on.
        purpose: ``train`` or ``validation``.
        rank: this process's.
        ranks: their number.
    """

    def __init__(self, problem: Problem, purpose: str, rank: int, ranks: int) -> None:
        keep_freed_memory()
        self._how = (problem, purpose, rank, ranks)
        self._opened = problem.open(purpose, rank, ranks)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Batches, self._how)  # open stores and their caches do not travel

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, counted from the first epoch's first."""
        return self._opened[number]


def training_loader(problem: Problem, rank: int = 0, ranks: int = 1, first: int = 0) -> DataLoader[Batch]:
    """Loader of the batches of the whole training from step ``first``: new samples each epoch."""
    settings = problem.config.training
    steps = range(first, settings.epochs * settings.steps_per_epoch)
    return _loader(Batches(problem, "train", rank, ranks), settings, steps)


def validation_loader(problem: Problem, rank: int = 0, ranks: int = 1) -> DataLoader[Batch]:
    """Loader of validation batches: the same samples each time."""
    settings = problem.config.training
    number = settings.validation_samples // min(settings.batch_size, settings.validation_samples)
    return _loader(Batches(problem, "validation", rank, ranks), settings, range(number))


def _loader(batches: Batches, settings: Training, order: range) -> DataLoader[Batch]:
    workers = settings.workers
    # tensorstore aborts in a forked process; to open an iterator draws a seed, so that it has its generator
    return DataLoader(
        batches,
        batch_size=None,
        sampler=order,
        generator=torch.Generator(),
        num_workers=workers,
        multiprocessing_context="spawn" if workers else None,
        persistent_workers=bool(workers),
    )
