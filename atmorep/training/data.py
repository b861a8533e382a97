"""Opening what training reads: stores, normalisations, and which windows of them are drawn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader, Share
from atmorep.sampling.windows import WindowSampler, valid_starts
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import FieldReader


def neighbourhoods(config: Config, field: str) -> NeighbourhoodReader:
    """Open the store and the normalisation of ``field``."""
    normalisation = Normalisation.load(Paths(config).normalisation(field), config.model_levels(field))
    return NeighbourhoodReader(config, field, FieldReader(config, field), normalisation)


def window_sampler(config: Config, readers: Mapping[str, NeighbourhoodReader], purpose: str) -> WindowSampler:
    """Return the sampler of windows within the periods of ``purpose`` that every field has whole.

    Raises:
        DataError: if there is none.
    """
    grid = next(iter(readers.values())).reader.grid
    return WindowSampler(grid, config.network.neighbourhood, whole_starts(config, readers, purpose))


def whole_starts(
    config: Config, readers: Mapping[str, NeighbourhoodReader], purpose: str
) -> NDArray[np.int64]:
    """First steps of all windows within the periods of ``purpose`` that every field has whole.

    Raises:
        DataError: if there is none.
    """
    stores, steps = [reader.reader for reader in readers.values()], config.network.neighbourhood.time
    available = np.logical_and.reduce([store.available() for store in stores])
    starts = valid_starts(stores[0].axis, getattr(config.data.periods, purpose), steps, available)
    if not len(starts):
        raise DataError(
            f"field {', '.join(readers)}: the store holds no {steps} consecutive steps in "
            f"data.periods.{purpose}; convert the missing hours or shorten network.neighbourhood.time"
        )
    return starts


def share_of(config: Config, purpose: str, rank: int, ranks: int) -> Share:
    """Return which samples of the batches of ``purpose`` are those of ``rank``.

    Raises:
        DataError: if they cannot be shared alike, in as many parts as a step is taken in.
    """
    settings = config.training
    samples = settings.samples_per_epoch if purpose == "train" else settings.validation_samples
    size = min(settings.batch_size, samples)
    parts = ranks * (settings.accumulate if purpose == "train" else 1)
    if size % parts:
        raise DataError(
            f"training.batch_size = {size} must be a multiple of {parts}, {ranks} ranks times "
            f"training.accumulate = {settings.accumulate}; change one of them"
        )
    return Share(purpose, settings.seed, samples // size, size // ranks, rank, ranks)
