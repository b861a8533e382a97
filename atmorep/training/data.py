"""The batches of the fields of a model, as loaders whose order never depends on workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from atmorep.config import Config, Period
from atmorep.errors import DataError
from atmorep.masking import training_masks
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch, NeighbourhoodReader, TrainingBatches
from atmorep.sampling.windows import WindowSampler, valid_starts
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import FieldReader


class EpochNumbers(Sampler[int]):
    """Numbers of one epoch's batches; the epoch is set from outside before each pass.

    Args:
        batches: batches an epoch.
    """

    def __init__(self, batches: int) -> None:
        self.batches, self.epoch = batches, 0

    def __iter__(self) -> Iterator[int]:
        """Yield epoch · batches … of the current epoch."""
        return iter(range(self.epoch * self.batches, (self.epoch + 1) * self.batches))

    def __len__(self) -> int:
        """Batches an epoch."""
        return self.batches

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this before each."""
        self.epoch = epoch


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


def training_loader(
    config: Config, fields: Sequence[str], rank: int = 0, ranks: int = 1
) -> DataLoader[Batch]:
    """Loader of training batches: a new set of samples each epoch."""
    settings = config.training
    number = settings.samples_per_epoch // settings.batch_size
    return _loader(config, fields, "train", number, settings.batch_size, EpochNumbers(number), (rank, ranks))


def validation_loader(
    config: Config, fields: Sequence[str], rank: int = 0, ranks: int = 1
) -> DataLoader[Batch]:
    """Loader of validation batches: the same samples each epoch."""
    settings = config.training
    size = min(settings.batch_size, settings.validation_samples)
    number = settings.validation_samples // size
    return _loader(config, fields, "validation", number, size, range(number), (rank, ranks))


class Samples(L.LightningDataModule):
    """Training and validation batches of some fields; each rank loads its own share.

    Args:
        config: the configuration.
        fields: ERA5 short names.
    """

    def __init__(self, config: Config, fields: Sequence[str]) -> None:
        super().__init__()
        self.config, self.fields = config, tuple(fields)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Loader of this rank's training batches, at the epoch that comes next."""
        trainer = self._trainer()
        loader = training_loader(self.config, self.fields, trainer.global_rank, trainer.world_size)
        # Lightning opens the iterator before it sets the epoch: a resumed one would repeat the first.
        loader.sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        """Loader of this rank's validation batches."""
        trainer = self._trainer()
        return validation_loader(self.config, self.fields, trainer.global_rank, trainer.world_size)

    def _trainer(self) -> L.Trainer:
        assert self.trainer is not None
        return self.trainer


def _loader(
    config: Config,
    fields: Sequence[str],
    purpose: str,
    number: int,
    batch_size: int,
    order: EpochNumbers | range,
    place: tuple[int, int],
) -> DataLoader[Batch]:
    rank, ranks = place
    if batch_size % ranks:
        raise DataError(f"training.batch_size = {batch_size} must be a multiple of the {ranks} ranks")
    readers = {field: neighbourhoods(config, field) for field in fields}
    batches = TrainingBatches(
        config,
        readers,
        window_sampler(config, readers, getattr(config.data.periods, purpose), purpose),
        training_masks(config, fields),
        purpose=purpose,
        batches_per_epoch=number,
        batch_size=batch_size // ranks,
        rank=rank,
        ranks=ranks,
    )
    # A generator of its own: to open an iterator draws a seed, which must not move on dropout's.
    return DataLoader(batches, batch_size=None, sampler=order, generator=torch.Generator())
