"""Predicting a target with a trained task: members on its evaluation grid, in physical units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.downstream import bundle
from atmorep.downstream.batches import PatchReader, Scale
from atmorep.downstream.bundle import TaskBundle
from atmorep.downstream.head import Cells
from atmorep.downstream.model import TaskModel
from atmorep.downstream.patches import Patch
from atmorep.grids import Grid
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.states import StateReader
from atmorep.store.reader import FieldReader

if TYPE_CHECKING:
    from atmorep.downstream.unet import UNet


class DownstreamPredictor:
    """A trained task, and where it reads the fields it looks at.

    Attributes:
        task: its name in ``finetune``.
        tails: members M.
        steps: time steps of a neighbourhood that are predicted; S of them.
        reader: reads what the model is given.
    """

    def __init__(self, task: str, model: TaskModel | UNet, scale: Scale, reader: PatchReader) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.task, self.scale, self.reader = task, scale, reader
        self.steps, self.tails = model.steps.steps, model.tails

    @classmethod
    def load(cls, config: Config, folder: Path) -> DownstreamPredictor:
        """Open the bundle of a task and the stores of the fields of ``config``.

        Args:
            config: of the experiment; it has the fields of the bundle on the same grid.
            folder: the bundle.

        Raises:
            IntegrityError: if the bundle is incomplete or damaged, or not of a task.
        """
        trained = bundle.load(folder)
        return cls.of(trained, {name: FieldReader(config, name) for name in trained.fields})

    @classmethod
    def of(cls, trained: TaskBundle, states: Mapping[str, StateReader]) -> DownstreamPredictor:
        """Take a trained task and what its fields are read from, on the grid of its training."""
        readers = {
            name: NeighbourhoodReader(trained.config, name, states[name], normalisation)
            for name, normalisation in trained.normalisation.items()
        }
        known = trained.scale, trained.statics, trained.local
        reader = PatchReader(trained.config, trained.task, readers, *known)
        return cls(trained.task, trained.model, trained.scale, reader)

    @property
    def grid(self) -> Grid:
        """Evaluation grid of the target."""
        return self.reader.grid

    def predict(self, starts: Sequence[int]) -> NDArray[np.float32]:
        """Predict the whole region at the steps :attr:`steps` of neighbourhoods.

        Args:
            starts: first time steps of the neighbourhoods on the store's axis, B of them.

        Returns:
            Members (B, M, S, rows, columns) in the unit of the target's field; the values of sample b are
            valid at the times ``starts[b] + steps``.
        """
        found = np.empty((len(starts), self.tails, self._length, *self.grid.shape), np.float32)
        tiles = [list(self.reader.patches.tiles(start)) for start in starts]
        for same in zip(*tiles, strict=True):
            members = self.patches([patch for patch, _, _ in same])
            _, rows, columns = same[0]
            first = self.reader.patches.cells(same[0][0])
            own, inner = self._places(rows, columns, first)
            found[:, :, :, *own] = members[:, :, :, *inner]
        return found

    @torch.inference_mode()
    def patches(self, patches: Sequence[Patch]) -> NDArray[np.float32]:
        """Predict patches: members (B, M, S, R, C) in the unit of the target's field."""
        inputs = {name: part.to(self.device).inputs for name, part in self.reader.fields(patches).items()}
        cells = Cells(*(tensor.to(self.device) for tensor in self.reader.cells(patches)))
        members = self.model(inputs, cells).float().cpu().numpy()
        return self.scale.physical(members)

    @property
    def _length(self) -> int:
        return int(self.steps.stop - self.steps.start)

    def _places(
        self, rows: slice, columns: slice, first: tuple[int, int]
    ) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Where points of ``data.grid`` are on the evaluation grid, and in the patch from ``first``."""
        lines, r = self.reader.patches, self.reader.patches.refine
        regions = lines.rows.region, lines.columns.region
        own = [
            slice((points.start - region.start) * r, (points.stop - region.start) * r)
            for points, region in zip((rows, columns), regions, strict=True)
        ]
        inner = [slice(at.start - start, at.stop - start) for at, start in zip(own, first, strict=True)]
        return (own[0], own[1]), (inner[0], inner[1])
