"""Batches of a downstream task: fields wholly visible, and a target's cells with what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from atmorep.config import Config
from atmorep.downstream.between import Between
from atmorep.downstream.head import Cells
from atmorep.downstream.inputs import harmonics
from atmorep.downstream.interval import Interval
from atmorep.downstream.patches import Patch, Patches, Steps
from atmorep.errors import DataError
from atmorep.fields import field as known_field
from atmorep.sampling.batches import Batch, FieldPart, NeighbourhoodReader, Part, Sample, Share
from atmorep.targets.store import TargetReader, evaluation_grid
from atmorep.transforms import forward, inverse


@dataclass(frozen=True)
class Scale:
    """Between physical values of a target and what is predicted: transformed and normalised ones.

    Attributes:
        field: the physical quantity, an ERA5 short name; it gives the transform.
        mean: of transformed values over training days.
        std: their standard deviation.
    """

    field: str
    mean: float
    std: float

    def normalised(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Transform and normalise; NaN stays NaN."""
        return (forward(self.field, values) - np.float32(self.mean)) / np.float32(self.std)

    def physical(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Undo :meth:`normalised`; what is below the field's floor is raised to it."""
        return inverse(self.field, values * np.float32(self.std) + np.float32(self.mean))

    @property
    def floor(self) -> float | None:
        """The field's floor as a normalised value, if it has one."""
        floor = known_field(self.field).floor
        return None if floor is None else float(self.normalised(np.array(floor, np.float32)))


def factors(statics: NDArray[np.float32], refine: int) -> Tensor:
    """Return what departures may be proportional to: static fields, and what of them is finer than the grid.

    The latter is the difference to the means over grid points, interpolated bilinearly as the fields are: of
    orography the height above the one that a field on the grid knows of.

    Args:
        statics: standardised, on the evaluation grid (S, rows, columns).
        refine: cells along each side of a grid point.

    Returns:
        (F, rows, columns), F = 2 S, or S where cells are grid points; of order one.
    """
    fields = torch.from_numpy(statics)
    if refine == 1 or not len(fields):
        return fields
    coarse = avg_pool2d(fields.unsqueeze(1), refine)
    fine = fields - interpolate(coarse, scale_factor=refine, mode="bilinear").squeeze(1)
    return torch.cat([fields, fine / fine.std((1, 2), keepdim=True).clamp(min=1e-6)])


@dataclass
class TargetPart(Part):
    """The target's part of a batch: S time steps of R x C cells.

    Attributes:
        target: normalised; NaN where there is none (B, S, R, C).
        weight: area of the cells, of mean one over the evaluation grid (B, 1, R, 1).
        guess, statics, row, column: as of :class:`~atmorep.downstream.head.Cells`.
    """

    target: Tensor
    weight: Tensor
    guess: Tensor
    statics: Tensor
    row: Tensor
    column: Tensor

    @property
    def cells(self) -> Cells:
        """What the head is given."""
        return Cells(self.guess, self.statics, self.row, self.column)


class PatchReader:
    """Reads what a task's model is given of patches.

    Args:
        config: the experiment.
        name: of the task.
        readers: of all fields of the core.
        scale: of the target.
        statics: standardised, on the evaluation grid (S, rows, columns).
        local: coefficients (coefficient, rows, columns) of the regression that makes the guess local, of
            :func:`atmorep.downstream.local.fitted`; None where it is not made so.

    Attributes:
        grid: the evaluation grid.
    """

    def __init__(
        self,
        config: Config,
        name: str,
        readers: Mapping[str, NeighbourhoodReader],
        scale: Scale,
        statics: NDArray[np.float32],
        local: NDArray[np.float32] | None,
    ) -> None:
        task = config.target_task(name)
        self.patches, self.steps = Patches.of(config, task), Steps.of(config, task).steps
        self.readers, self.scale = readers, scale
        self._guess = readers[task.guess.field].reader
        level = 0 if task.guess.level is None else task.guess.level
        self._level = self._guess.levels.index(level)
        self._factors, self._local = factors(statics, self.patches.refine), local
        self._between = Between.of(config, config.targets[task.target])
        self._interval = Interval.of(config, task)
        self.grid = evaluation_grid(config, task.target)

    def fields(self, patches: Sequence[Patch]) -> dict[str, FieldPart]:
        """Return the neighbourhoods of all fields, nothing of them blank."""
        windows = [patch.window for patch in patches]
        return {
            name: FieldPart(
                reader.normalised(windows),
                reader.info(windows),
                torch.zeros(len(windows), *reader.tokens, dtype=torch.bool),
            )
            for name, reader in self.readers.items()
        }

    def cells(self, patches: Sequence[Patch]) -> Cells:
        """Return what is known of the cells of patches."""
        rows, columns = (
            torch.tensor([getattr(p, axis) - getattr(p.window, axis) for p in patches])
            for axis in ("row", "column")
        )
        guess = torch.from_numpy(np.stack([self._normalised(patch) for patch in patches]))
        statics = torch.stack([self._factors[:, *self.places(patch)] for patch in patches])
        return Cells(guess, statics, rows, columns)

    def places(self, patch: Patch) -> tuple[slice, slice]:
        """Rows and columns of a patch on the evaluation grid."""
        (row, column), refine = self.patches.cells(patch), self.patches.refine
        rows, columns = self.patches.shape
        return slice(row, row + rows * refine), slice(column, column + columns * refine)

    def times(self, patch: Patch) -> tuple[int, int]:
        """First predicted time step of a patch on the store's axis, and their number."""
        return patch.window.start + self.steps.start, self.steps.stop - self.steps.start

    def guessed(self) -> NDArray[np.bool_]:
        """Return (axis.size,) True where there is a guess for a target's value."""
        return self._interval.whole(self._guess.available())

    def _normalised(self, patch: Patch) -> NDArray[np.float32]:
        """The guess at the cells of a patch (S, R, C), normalised as the target; local if it is to be."""
        guess = self.scale.normalised(self._interpolated(patch))
        if self._local is None:
            return guess
        constant, slope, *others = self._local[:, *self.places(patch)]
        start, steps = self.times(patch)
        waves = harmonics(self._guess.axis.times(start, start + steps))
        return constant + slope * guess + np.tensordot(waves, np.stack(others), axes=1)

    def _interpolated(self, patch: Patch) -> NDArray[np.float32]:
        """The guess in physical units at the cells of a patch (S, R, C)."""
        between, (start, steps) = self._between.part(*self.places(patch)), self.times(patch)
        rows, columns = between.rows.read, between.columns.read
        places = rows.start, rows.stop - rows.start, columns.start, columns.stop - columns.start
        back = self._interval.before
        read = self._guess.read(start - back, steps + back, *places)[:, self._level]
        return between(self._interval.over(read))


class TargetBatches:
    """Batches by number, whoever asks.

    A sample's time is drawn uniformly among those whose neighbourhood lies within the periods, at whose
    predicted steps there is a target at some and a guess at all; its patch uniformly among those of the
    region, and its neighbourhood uniformly among those that hold the patch.

    Args:
        reader: of what the model is given.
        target: of the truth.
        starts: first steps of neighbourhoods that all fields have whole.
        holdout: cells of the evaluation grid that are not to be seen (rows, columns).
        share: which samples the batches hold.

    Raises:
        DataError: if there is no target at any time.
    """

    def __init__(
        self,
        name: str,
        reader: PatchReader,
        target: TargetReader,
        starts: NDArray[np.int64],
        holdout: NDArray[np.bool_],
        share: Share,
    ) -> None:
        self.name, self.reader, self.target, self.holdout, self.share = name, reader, target, holdout, share
        steps = starts[:, None] + np.arange(reader.steps.start, reader.steps.stop)
        self.starts = starts[target.available()[steps].any(1) & reader.guessed()[steps].all(1)]
        if not len(self.starts):
            raise DataError(
                f"finetune.{name}: there is no target, with a guess for it, at any predicted step in "
                f"data.periods.{share.purpose}; convert it for these days or change the periods"
            )

    def __getitem__(self, number: int) -> Batch:
        """Return batch ``number``, counted from the first epoch's first."""
        patches = [self.draw(sample) for sample in self.share.samples(number)]
        return {**self.reader.fields(patches), self.name: self.part(patches)}

    def draw(self, sample: Sample) -> Patch:
        """Draw the patch of a sample."""
        return self.reader.patches.draw(self.starts, self.share.generator(sample))

    def part(self, patches: Sequence[Patch]) -> TargetPart:
        """Return the target of patches, and what is known of their cells."""
        target = np.stack([self._truth(patch) for patch in patches])
        return TargetPart(
            torch.from_numpy(self.reader.scale.normalised(target)),
            torch.stack([self._area(patch) for patch in patches]),
            *self.reader.cells(patches),
        )

    def _truth(self, patch: Patch) -> NDArray[np.float32]:
        """Values of the target (S, R, C) in physical units; NaN where there are none or they are held out."""
        rows, columns = self.reader.places(patch)
        extent = rows.start, rows.stop - rows.start, columns.start, columns.stop - columns.start
        values = self.target.read(*self.reader.times(patch), *extent)
        return np.where(self.holdout[rows, columns], np.float32(np.nan), values)

    def _area(self, patch: Patch) -> Tensor:
        weights = self.reader.grid.weights[self.reader.places(patch)[0]]
        return torch.from_numpy(weights.astype(np.float32)).unsqueeze(0)
