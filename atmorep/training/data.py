"""The batches of one field's pretraining, as loaders whose order never depends on workers."""

from __future__ import annotations

from collections.abc import Iterator

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from atmorep.config import Config, Period
from atmorep.errors import DataError
from atmorep.masking import training_strategy
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
    config: Config, reader: NeighbourhoodReader, periods: tuple[Period, ...], name: str
) -> WindowSampler:
    """Return the sampler of windows within ``periods``.

    Raises:
        DataError: if the store holds no whole window there.
    """
    store, extent = reader.reader, config.network.neighbourhood
    starts = valid_starts(store.axis, periods, extent.time, store.available())
    if not len(starts):
        raise DataError(
            f"field {reader.field}: the store holds no {extent.time} consecutive steps in "
            f"data.periods.{name}; convert the missing hours or shorten network.neighbourhood.time"
        )
    return WindowSampler(store.grid, extent, np.asarray(starts))


def forecast_tokens(config: Config, field: str) -> int:
    """Token steps that cover the longest lead time."""
    token_hours = config.token_size(field).time * config.data.time_step
    return -(-max(config.evaluation.lead_hours) // token_hours)


def training_loader(config: Config, field: str, rank: int = 0, ranks: int = 1) -> DataLoader[Batch]:
    """Loader of training batches: a new set of samples each epoch."""
    settings = config.training
    number = settings.samples_per_epoch // settings.batch_size
    return _loader(config, field, "train", number, settings.batch_size, EpochNumbers(number), (rank, ranks))


def validation_loader(config: Config, field: str, rank: int = 0, ranks: int = 1) -> DataLoader[Batch]:
    """Loader of validation batches: the same samples each epoch."""
    settings = config.training
    size = min(settings.batch_size, settings.validation_samples)
    number = settings.validation_samples // size
    return _loader(config, field, "validation", number, size, range(number), (rank, ranks))


class Samples(L.LightningDataModule):
    """Training and validation batches of one field; each rank loads its own share.

    Args:
        config: the configuration.
        field: ERA5 short name.
    """

    def __init__(self, config: Config, field: str) -> None:
        super().__init__()
        self.config, self.field = config, field

    def train_dataloader(self) -> DataLoader[Batch]:
        """Loader of this rank's training batches, at the epoch that comes next."""
        trainer = self._trainer()
        loader = training_loader(self.config, self.field, trainer.global_rank, trainer.world_size)
        # Lightning opens the iterator before it sets the epoch: a resumed one would repeat the first.
        loader.sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)  # type: ignore[attr-defined]
        return loader

    def val_dataloader(self) -> DataLoader[Batch]:
        """Loader of this rank's validation batches."""
        trainer = self._trainer()
        return validation_loader(self.config, self.field, trainer.global_rank, trainer.world_size)

    def _trainer(self) -> L.Trainer:
        assert self.trainer is not None
        return self.trainer


def _loader(
    config: Config,
    field: str,
    purpose: str,
    number: int,
    batch_size: int,
    order: EpochNumbers | range,
    place: tuple[int, int],
) -> DataLoader[Batch]:
    rank, ranks = place
    if batch_size % ranks:
        raise DataError(f"training.batch_size = {batch_size} must be a multiple of the {ranks} ranks")
    reader = neighbourhoods(config, field)
    batches = TrainingBatches(
        config,
        reader,
        window_sampler(config, reader, getattr(config.data.periods, purpose), purpose),
        training_strategy(config.masking, forecast_tokens(config, field)),
        purpose=purpose,
        batches_per_epoch=number,
        batch_size=batch_size // ranks,
        rank=rank,
        ranks=ranks,
    )
    # A generator of its own: to open an iterator draws a seed, which must not move on dropout's.
    return DataLoader(batches, batch_size=None, sampler=order, generator=torch.Generator())
