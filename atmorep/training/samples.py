"""Training and validation batches as Lightning asks for them, from where a training stands."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice

import lightning as L
from torch.utils.data import DataLoader

from atmorep.sampling.batches import Batch
from atmorep.training.loaders import training_loader, validation_loader
from atmorep.training.problem import Problem
from atmorep.training.progress import Progress


class Epoch:
    """What is left of an epoch, taken from the batches of the whole training.

    Args:
        stream: iterator of the batches to come, of this epoch and those after it.
        steps: how many are left.
    """

    def __init__(self, stream: Iterator[Batch], steps: int) -> None:
        self._stream, self._steps = stream, steps

    def __len__(self) -> int:
        """Batches left when it began."""
        return self._steps

    def __iter__(self) -> Iterator[Batch]:
        """Yield them; Lightning opens several iterators and takes from the last, so none takes beforehand."""
        yield from islice(self._stream, self._steps)


class Samples(L.LightningDataModule):
    """Training and validation batches of a problem; each rank loads its own share.

    Args:
        problem: what is trained on.
        progress: where the training stands; batches go on from there.
    """

    def __init__(self, problem: Problem, progress: Progress) -> None:
        super().__init__()
        self.problem, self.progress = problem, progress

    @cached_property
    def _stream(self) -> Iterator[Batch]:
        return iter(training_loader(self.problem, *self._place, self.progress.step))

    @cached_property
    def _validation(self) -> DataLoader[Batch]:
        return validation_loader(self.problem, *self._place)

    @property
    def _place(self) -> tuple[int, int]:
        assert self.trainer is not None
        return self.trainer.global_rank, self.trainer.world_size

    def train_dataloader(self) -> Epoch:
        """Batches of this rank that are left of the epoch; asked for at the start of each."""
        steps = self.problem.config.training.steps_per_epoch
        return Epoch(self._stream, steps - self.progress.step % steps)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Validation batches of this rank."""
        return self._validation
