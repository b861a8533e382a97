"""What a network is trained on: its batches, and what of them is scored.

Workers import this module: it stays clear of Lightning, which takes longer to import than all the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

from torch import Tensor, nn

from atmorep.config import Config
from atmorep.losses import Scored, scored
from atmorep.masking import training_masks
from atmorep.sampling.batches import Batch, TrainingBatches
from atmorep.training.data import neighbourhoods, share_of, window_sampler

_SHARED = ("coupled", "weight")


class Numbered(Protocol):
    """Batches by number, counted from the first epoch's first."""

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``: a function of it alone."""


class Problem(Protocol):
    """What a network is trained on. It travels to other processes, so that it holds no open store."""

    @property
    def config(self) -> Config:
        """The experiment; its section ``training`` is that of this training, ``loss`` what is minimised."""

    @property
    def weights(self) -> Mapping[str, float]:
        """Names of what is scored, and how much each counts: its share over the sum of all."""

    def described(self) -> dict[str, Any]:
        """Return the keys of the configuration that determine the training, dotted, with their values."""

    def open(self, purpose: str, rank: int, ranks: int) -> Numbered:
        """Open the stores and return the batches of one rank.

        Args:
            purpose: ``train`` or ``validation``.
            rank: this process's.
            ranks: their number.

        Raises:
            DataError: if the stores lack what is needed.
        """

    def score(self, model: nn.Module, batch: Batch) -> dict[str, Scored]:
        """Let ``model`` predict, and return what of it is scored by name."""

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Return how much of a batch is scored by name (scalars): parts of a batch count by it."""


class MaskedTokens:
    """The tokens of fields that are hidden: what ``pretrain`` and ``couple`` train on.

    Args:
        config: the experiment, with the section ``training`` of this training.
        fields: of the model, ERA5 short names.
    """

    def __init__(self, config: Config, fields: Sequence[str]) -> None:
        self.config, self.fields = config, tuple(fields)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Weights of the predicted fields."""
        return {name: self.config.fields[name].weight for name in self.config.predicted(self.fields)}

    def described(self) -> dict[str, Any]:
        """Return the keys that determine the training of the fields."""
        plain = self.config.model_dump(mode="json")
        parts = {name: plain[name] for name in ("network", "masking", "loss")}
        parts["fields"] = {name: plain["fields"][name] for name in self.fields}
        if len(self.fields) == 1:  # what it shares with others does not matter
            (only,) = self.fields
            parts["fields"][only] = {k: v for k, v in plain["fields"][only].items() if k not in _SHARED}
        return dotted({**parts, **learning(self.config)})

    def open(self, purpose: str, rank: int, ranks: int) -> TrainingBatches:
        """Open the stores of the fields."""
        readers = {field: neighbourhoods(self.config, field) for field in self.fields}
        return TrainingBatches(
            self.config,
            readers,
            window_sampler(self.config, readers, purpose),
            training_masks(self.config, self.fields),
            share_of(self.config, purpose, rank, ranks),
        )

    def score(self, model: nn.Module, batch: Batch) -> dict[str, Scored]:
        """Score the selected tokens."""
        members = model({name: part.inputs for name, part in batch.items()})
        return {name: scored(members[name], batch[name]) for name in self.weights}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Count the selected tokens."""
        return {name: batch[name].selected.sum() for name in self.weights}


def learning(config: Config) -> dict[str, Any]:
    """Return what determines samples and optimisation of any training, as plain values."""
    data = config.data.model_dump(mode="json")
    periods = {name: data["periods"][name] for name in ("train", "validation")}
    return {"data": {**data, "periods": periods}, "training": config.training.determining()}


def dotted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested ``values`` by dotted keys."""
    return dict(_flat(values, ""))


def _flat(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _flat(child, f"{key}.{name}" if key else name)
    else:
        yield key, value
