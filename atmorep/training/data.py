"""The batches of the fields of a model, as loaders whose order never depends on workers.

Workers import this module: it stays clear of Lightning, which takes longer to import than all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from atmorep.config import Config, Period
from atmorep.errors import DataError
from atmorep.masking import training_masks
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch, NeighbourhoodReader, TrainingBatches
from atmorep.sampling.windows import WindowSampler, valid_starts
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import FieldReader


def neighbourhoods(config: Config, field: str) -> NeighbourhoodReader:
    """Open the store and the normalisation of ``field``."""
    normalisation = Normalisation.load(Paths(config).normalisation(field), config.model_levels(field))
    return NeighbourhoodReader(config, field, FieldReader(config, field), normalisation)


def window_sampler(
    config: Config, readers: Mapping[str, NeighbourhoodReader], periods: tuple[Period, ...], name: str
) -> WindowSampler:
    """Return the sampler of windows within ``periods`` that every field has whole.

    Raises:
        DataError: if there is none.
    """
    stores, extent = [reader.reader for reader in readers.values()], config.network.neighbourhood
    available = np.logical_and.reduce([store.available() for store in stores])
    starts = valid_starts(stores[0].axis, periods, extent.time, available)
    if not len(starts):
        raise DataError(
            f"field {', '.join(readers)}: the store holds no {extent.time} consecutive steps in "
            f"data.periods.{name}; convert the missing hours or shorten network.neighbourhood.time"
        )
    return WindowSampler(stores[0].grid, extent, np.asarray(starts))


def _open(config: Config, fields: Sequence[str], purpose: str, rank: int, ranks: int) -> TrainingBatches:
    """Open the stores of ``fields`` and return the batches of ``purpose`` of one rank."""
    settings = config.training
    samples = settings.samples_per_epoch if purpose == "train" else settings.validation_samples
    size = min(settings.batch_size, samples)
    readers = {field: neighbourhoods(config, field) for field in fields}
    return TrainingBatches(
        config,
        readers,
        window_sampler(config, readers, getattr(config.data.periods, purpose), purpose),
        training_masks(config, fields),
        purpose=purpose,
        batches_per_epoch=samples // size,
        batch_size=rank_share(config, purpose, size, ranks),
        rank=rank,
        ranks=ranks,
    )


def rank_share(config: Config, purpose: str, size: int, ranks: int) -> int:
    """Return how many of ``size`` samples are each rank's.

    Raises:
        DataError: if they cannot be shared alike, in as many parts as a step is taken in.
    """
    parts = ranks * (config.training.accumulate if purpose == "train" else 1)
    if size % parts:
        raise DataError(
            f"training.batch_size = {size} must be a multiple of {parts}, {ranks} ranks times "
            f"training.accumulate = {config.training.accumulate}; change one of them"
        )
    return size // ranks


class Batches(Dataset[Batch]):
    """Batches by number (:class:`TrainingBatches`), opened anew in the process that they are sent to.

    Args:
        config: the configuration.
        fields: ERA5 short names.
        purpose: ``train`` or ``validation``.
        rank: this process's.
        ranks: their number.
    """

    def __init__(self, config: Config, fields: Sequence[str], purpose: str, rank: int, ranks: int) -> None:
        self._how = (config, tuple(fields), purpose, rank, ranks)
        self._opened = _open(*self._how)

    def __reduce__(self) -> tuple[Any, ...]:
        return (Batches, self._how)  # open stores and their caches do not travel

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, counted from the first epoch's first."""
        return self._opened[number]


def training_loader(
    config: Config, fields: Sequence[str], rank: int = 0, ranks: int = 1, first: int = 0
) -> DataLoader[Batch]:
    """Loader of the batches of the whole training from step ``first``: new samples each epoch."""
    steps = range(first, config.training.epochs * config.training.steps_per_epoch)
    return _loader(Batches(config, fields, "train", rank, ranks), config, steps)


def validation_loader(
    config: Config, fields: Sequence[str], rank: int = 0, ranks: int = 1
) -> DataLoader[Batch]:
    """Loader of validation batches: the same samples each time."""
    settings = config.training
    number = settings.validation_samples // min(settings.batch_size, settings.validation_samples)
    return _loader(Batches(config, fields, "validation", rank, ranks), config, range(number))


def _loader(batches: Batches, config: Config, order: range) -> DataLoader[Batch]:
    workers = config.training.workers
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
