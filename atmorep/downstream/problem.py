"""What a downstream task trains on: the cells that have a target.

Workers import this module: it stays clear of Lightning, which takes longer to import than all the rest.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from atmorep.config import Config
from atmorep.downstream.batches import PatchReader, Scale, TargetBatches
from atmorep.downstream.local import fitted
from atmorep.downstream.statics import read_statics
from atmorep.losses import Scored, censored
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch
from atmorep.targets.store import TargetReader, evaluation_grid
from atmorep.training.data import neighbourhoods, share_of, whole_starts
from atmorep.training.problem import dotted, learning


class TargetCells:
    """The cells of a target that have a value and are not held out.

    Args:
        config: the experiment.
        name: of the task.

    Attributes:
        config: the experiment with the loss and the optimisation of the task.
        fields: of the core.
    """

    def __init__(self, config: Config, name: str) -> None:
        task = config.target_task(name)
        own = {"loss": task.loss, "training": task.training or config.training}
        self.config, self.name, self.task = config.model_copy(update=own), name, task
        self.fields = Paths(config).task_fields(name)
        self.weights = {name: 1.0}

    def described(self) -> dict[str, Any]:
        """Return the keys that determine the training of the task."""
        plain = self.config.model_dump(mode="json")
        task = self.task.model_dump(mode="json", exclude={"training", "baselines", "scores"})
        parts: dict[str, Any] = {name: plain[name] for name in ("network", "masking")}
        parts["fields"] = {name: plain["fields"][name] for name in self.fields}
        parts["targets"] = {self.task.target: plain["targets"][self.task.target]}
        parts["statics"] = {name: plain["statics"][name] for name in self.task.statics}
        return dotted({**parts, "finetune": {self.name: task}, **learning(self.config)})

    @cached_property
    def scale(self) -> Scale:
        """Of the target."""
        reader = TargetReader(self.config, self.task.target)
        return Scale(reader.field, *reader.normalisation())

    @cached_property
    def local(self) -> NDArray[np.float32] | None:
        """Coefficients of the regression that makes the guess local; None where it is not to be so."""
        local = self.task.guess.regression == "cells"
        return fitted(self.config, self.name, self.scale) if local else None

    @cached_property
    def holdout(self) -> NDArray[np.bool_]:
        """Cells of the evaluation grid that are held out (rows, columns)."""
        grid, box = evaluation_grid(self.config, self.task.target), self.task.holdout
        return np.zeros(grid.shape, bool) if box is None else grid.inside(box)

    def open(self, purpose: str, rank: int, ranks: int) -> TargetBatches:
        """Open the stores of fields and target."""
        readers = {field: neighbourhoods(self.config, field) for field in self.fields}
        grid, paths = evaluation_grid(self.config, self.task.target), Paths(self.config)
        statics = read_statics((paths.static(name, self.task.target) for name in self.task.statics), grid)
        return TargetBatches(
            self.name,
            PatchReader(self.config, self.name, readers, self.scale, statics, self.local),
            TargetReader(self.config, self.task.target),
            whole_starts(self.config, readers, purpose),
            self.holdout,
            share_of(self.config, purpose, rank, ranks),
        )

    def score(self, model: nn.Module, batch: Batch) -> dict[str, Scored]:
        """Score the cells that have a target, as one token."""
        own = batch[self.name]
        members = model({name: batch[name].inputs for name in self.fields}, own.cells).float()
        if self.task.censored and self.scale.floor is not None:
            members = censored(members, self.scale.floor)
        known = ~own.target.isnan()
        weight = own.weight.expand_as(own.target)
        found = members.movedim(1, -1)[known].mT, own.target[known], weight[known]
        return {self.name: Scored(*(values.unsqueeze(0) for values in found))}

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Count the cells that have a target."""
        return {self.name: (~batch[self.name].target.isnan()).sum()}
