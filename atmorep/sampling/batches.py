"""Batches of all fields of a model: read, normalise, tokenise and distort, vectorised over the batch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep.config import Config
from atmorep.distortion import distort
from atmorep.masking import FieldMasks, Masks
from atmorep.model.inputs import Inputs
from atmorep.sampling.info import token_information
from atmorep.sampling.states import StateReader
from atmorep.sampling.tokens import tokenise
from atmorep.sampling.windows import Window, WindowSampler, sample_generator
from atmorep.transforms import forward

if TYPE_CHECKING:
    from atmorep.store.normalisation import Normalisation


@dataclass
class Part:
    """A part of a batch: tensors whose first dimension is that of the samples."""

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(next(self._tensors()))

    def samples(self, first: int, last: int) -> Self:
        """Return the samples ``first`` … ``last`` - 1."""
        return type(self)(*(tensor[first:last] for tensor in self._tensors()))

    def to(self, device: torch.device) -> Self:
        """Return the part on ``device``."""
        return type(self)(*(tensor.to(device, non_blocking=True) for tensor in self._tensors()))

    def _tensors(self) -> Iterator[Tensor]:
        return (getattr(self, field.name) for field in fields(self))


@dataclass
class FieldPart(Part):
    """What the model is given of one field (shapes: atmorep.sampling).

    Attributes:
        source: tokens as the model sees them (B, L, K, I, J, V), normalised.
        info: token information (B, L, K, I, J, F).
        blank: (B, L, K, I, J), True where a token is withheld.
    """

    source: Tensor
    info: Tensor
    blank: Tensor

    @property
    def inputs(self) -> Inputs:
        """What the model is given."""
        return Inputs(self.source, self.info, self.blank)


@dataclass
class FieldBatch(FieldPart):
    """One field's part of a batch whose tokens are hidden.

    Attributes:
        target: the true tokens (B, L, K, I, J, V), normalised.
        selected: (B, L, K, I, J), True where a token is scored.
        weight: (B, 1, 1, I, 1, V), area of each grid point over the mean of its neighbourhood.
    """

    target: Tensor
    selected: Tensor
    weight: Tensor


Batch = dict[str, Any]
"""A training batch: a :class:`Part` of each field of one model, in the same windows, and what else there is
by its name. Which parts they are is for the problem that makes them to know."""

Sample = tuple[int, int]
"""An epoch, and a number in it."""


@dataclass(frozen=True)
class Share:
    """Which samples are those of one rank: batch b of epoch e holds samples e, b·B … b·B + B - 1.

    Attributes:
        purpose: ``train`` or ``validation``; keeps their random numbers apart.
        seed: of the training.
        batches_per_epoch: batches an epoch.
        batch_size: samples a batch of one rank.
        rank, ranks: the share of each global batch that is this process's.
    """

    purpose: str
    seed: int
    batches_per_epoch: int
    batch_size: int
    rank: int = 0
    ranks: int = 1

    def samples(self, number: int) -> list[Sample]:
        """Return the samples of batch ``number``, counted from the first epoch's first."""
        epoch, batch = divmod(number, self.batches_per_epoch)
        first = (batch * self.ranks + self.rank) * self.batch_size
        return [(epoch, first + n) for n in range(self.batch_size)]

    def generator(self, sample: Sample, *part: str) -> np.random.Generator:
        """Return the generator of what is drawn of ``sample``."""
        return sample_generator(self.purpose, self.seed, *sample, *part)


class Centres(NamedTuple):
    """Centres of the tokens of some neighbourhoods.

    Attributes:
        times: valid times, datetime64[m], (B, K).
        latitude: degrees north (B, I).
        longitude: degrees east (B, J), increasing also where a neighbourhood goes round the globe.
    """

    times: NDArray[np.datetime64]
    latitude: NDArray[np.floating]
    longitude: NDArray[np.floating]


class NeighbourhoodReader:
    """Reads neighbourhoods of one field as normalised tokens with their information."""

    def __init__(self, config: Config, field: str, reader: StateReader, normalisation: Normalisation) -> None:
        self.field, self.reader, self.normalisation = field, reader, normalisation
        self.extent = config.network.neighbourhood
        self.token_size = config.token_size(field).shape
        self.tokens = (len(config.model_levels(field)), *config.tokens(field).shape)
        self._information = config.network.information

    def values(self, windows: Sequence[Window]) -> NDArray[np.float32]:
        """Return the states of ``windows`` in physical units (B, L, T, H, W)."""
        return np.stack([self._read(window) for window in windows])

    def _read(self, w: Window) -> NDArray[np.float32]:
        e = self.extent
        read = self.reader.read(w.start, e.time, w.row, e.latitude, w.column, e.longitude)
        return read.swapaxes(0, 1)

    def scales(self, windows: Sequence[Window]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and standard deviation of each window (B, L, 1, H|1, W|1), at its central time."""
        pairs = [self._scale(w) for w in windows]
        mean, std = (np.stack(part)[:, :, None] for part in zip(*pairs, strict=True))
        return mean, std

    def _scale(self, window: Window) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        time = self.reader.axis.at(np.int64(window.start + self.extent.time // 2))
        rows = slice(window.row, window.row + self.extent.latitude)
        columns = (window.column + np.arange(self.extent.longitude)) % self.reader.grid.shape[1]
        return self.normalisation.at(time, rows, columns)

    def normalised(self, windows: Sequence[Window]) -> Tensor:
        """Return normalised tokens (B, L, K, I, J, V)."""
        return self.normalise(windows, map(self._read, windows))

    def normalise(self, windows: Sequence[Window], states: Iterable[NDArray[np.float32]]) -> Tensor:
        """Return states (L, T, H, W) of ``windows``, in physical units, as normalised tokens."""
        points = math.prod(self.token_size)
        tokens = np.empty((len(windows), *self.tokens, points), np.float32)
        for one, window, state in zip(tokens, windows, states, strict=True):
            # one after the other, so that each is still in the processor's cache
            mean, std = self._scale(window)
            values = np.subtract(forward(self.field, state), mean[:, None], order="C")
            values /= std[:, None]
            tokenise(values, self.token_size, one)
        return torch.from_numpy(tokens)

    def centres(self, windows: Sequence[Window]) -> Centres:
        """Return when and where the tokens of ``windows`` are centred."""
        times, latitude, longitude = self._points(windows)
        return Centres(
            times=times[..., 0] + (times[..., -1] - times[..., 0]) // 2,
            latitude=latitude.mean(-1),
            longitude=longitude.mean(-1),
        )

    def info(self, windows: Sequence[Window]) -> Tensor:
        """Return token information (B, L, K, I, J, F)."""
        times, latitude, longitude = self._points(windows)
        levels, resolution = np.array(self.reader.levels, np.float64), self.reader.grid.resolution
        form = self._information
        return torch.from_numpy(token_information(form, times, levels, latitude, longitude, resolution))

    def _points(
        self, windows: Sequence[Window]
    ) -> tuple[NDArray[np.datetime64], NDArray[np.floating], NDArray[np.floating]]:
        """Times (B, K, t), latitudes (B, I, h) and longitudes (B, J, w) of the points of each token."""
        grid = self.reader.grid
        starts = np.array([[x.start, x.row, x.column] for x in windows], np.int64)
        sizes = zip(self.tokens[1:], self.token_size, strict=True)
        step, row, column = (
            (starts[:, [axis]] + np.arange(number * size)).reshape(-1, number, size)
            for axis, (number, size) in enumerate(sizes)
        )
        return (
            self.reader.axis.at(step).astype("datetime64[m]"),
            grid.north - grid.resolution * row,
            grid.west + grid.resolution * column,
        )

    def weight(self, windows: Sequence[Window]) -> Tensor:
        """Return the area of the grid points, of mean one over each neighbourhood (B, 1, 1, I, 1, V).

        Windows are drawn by area already: weights that compared neighbourhoods would count it twice.
        """
        t, _, w = self.token_size
        rows = np.array([x.row for x in windows])[:, None] + np.arange(self.extent.latitude)
        area = self.reader.grid.row_area[rows]
        weight = (area / area.mean(1, keepdims=True)).astype(np.float32)[:, None, None, :, None]
        shape = (len(rows), 1, t, self.extent.latitude, w)
        return torch.from_numpy(tokenise(np.broadcast_to(weight, shape), self.token_size))


class TrainingBatches(torch.utils.data.Dataset[Batch]):
    """Batches by number, whoever asks.

    Each field draws its masks and its noise from generators of its own, so that they are the same
    whatever other fields there are; synchronised masks all come from one.

    Args:
        config: the configuration.
        neighbourhoods: readers of the fields.
        sampler: draws the windows, which are those of all fields.
        masks: draw the masks of the fields.
        share: which samples the batches hold.
    """

    def __init__(
        self,
        config: Config,
        neighbourhoods: Mapping[str, NeighbourhoodReader],
        sampler: WindowSampler,
        masks: Mapping[str, FieldMasks],
        share: Share,
    ) -> None:
        self.masking, self.share = config.masking, share
        self.neighbourhoods, self.sampler, self.masks = neighbourhoods, sampler, masks

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, counted from the first epoch's first."""
        samples = self.share.samples(number)
        windows = [self.sampler.draw(self.share.generator(sample)) for sample in samples]
        return {field: self._field(field, samples, windows) for field in self.neighbourhoods}

    def _field(self, field: str, samples: Sequence[Sample], windows: Sequence[Window]) -> FieldBatch:
        reader, masks = self.neighbourhoods[field], self._masks(field, samples)
        target = reader.normalised(windows)
        return FieldBatch(
            source=distort(
                target,
                masks,
                lambda n: self.share.generator(samples[n], "noise", field),
                self.masking,
                reader.token_size,
            ),
            target=target,
            info=reader.info(windows),
            blank=torch.from_numpy(masks.blank),
            selected=torch.from_numpy(masks.selected),
            weight=reader.weight(windows),
        )

    def _masks(self, field: str, samples: Sequence[Sample]) -> Masks:
        """Masks of all samples, stacked (B, L, K, I, J)."""
        masks = self.masks[field]
        drawn = [
            masks.draw(
                self.share.generator(sample, "scheme"), self.share.generator(sample, "masks", *masks.key)
            )
            for sample in samples
        ]
        return Masks(*(np.stack(parts) for parts in zip(*drawn, strict=True)))
