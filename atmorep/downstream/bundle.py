"""The bundle of a downstream task: core and head, and all that a prediction elsewhere needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep import bundle, manifest
from atmorep.artefacts import read_json
from atmorep.config import Config, TargetTask
from atmorep.config import load as load_config
from atmorep.downstream.batches import Scale
from atmorep.downstream.model import TaskModel, build
from atmorep.downstream.problem import TargetCells
from atmorep.downstream.statics import read_statics
from atmorep.errors import IntegrityError
from atmorep.fields import field as known_field
from atmorep.paths import Paths
from atmorep.store.normalisation import Normalisation
from atmorep.targets.store import evaluation_grid

TARGET, STATICS, LOCAL = "target.json", "statics", "guess.npy"


def save(
    target: Path,
    problem: TargetCells,
    *,
    weights: Path,
    log: Path,
    origin: Mapping[str, Any] | None,
) -> None:
    """Write the bundle ``target`` of a task at once.

    Args:
        target: folder to be.
        problem: what was trained on.
        weights: safetensors file of the best weights of core and head.
        log: CSV file of the training.
        origin: where the weights came from before the training.
    """
    config, task, paths = problem.config, problem.task, Paths(problem.config)
    statics = {f"{STATICS}/{name}.nc": paths.static(name, task.target) for name in task.statics}
    bundle.save(
        target,
        config,
        weights=weights,
        log=log,
        normalisation={name: paths.normalisation(name) for name in problem.fields},
        origin=origin,
        task=bundle.OfTask(
            problem.name,
            statics,
            {TARGET: json.dumps(asdict(problem.scale))},
            {} if problem.local is None else {LOCAL: problem.local},
            _purpose(config, task),
        ),
    )


@dataclass(frozen=True)
class TaskBundle:
    """A trained downstream task as it was saved.

    Attributes:
        task: its name in ``finetune``.
        fields: of the core, ERA5 short names.
        config: of the training.
        model: core and head, in evaluation mode.
        normalisation: mean and standard deviation of the fields.
        scale: of the target.
        statics: standardised static fields on the evaluation grid (S, rows, columns).
        local: coefficients of the regression that makes the guess local (coefficient, rows, columns), if any.
    """

    task: str
    fields: tuple[str, ...]
    config: Config
    model: TaskModel
    normalisation: dict[str, Normalisation]
    scale: Scale
    statics: NDArray[np.float32]
    local: NDArray[np.float32] | None


def load(folder: str | Path) -> TaskBundle:
    """Load the bundle ``folder`` of a task.

    Raises:
        IntegrityError: if it is of no task, a file is missing, has been altered since, or does not fit the
            others.
    """
    folder = Path(folder)
    manifest.verify(folder)
    name = manifest.task(folder)
    if name is None:
        raise IntegrityError(f"{folder}: is of fields, not of a downstream task; load it by atmorep.load")
    config, fields = load_config(folder / bundle.CONFIG), manifest.fields(folder)
    model, task = build(config, name), config.target_task(name)
    bundle.load_weights(model, folder)
    return TaskBundle(
        name,
        fields,
        config,
        model.eval(),
        bundle.load_normalisation(folder, config, fields),
        Scale(**read_json(folder / TARGET)),
        read_statics(
            (folder / STATICS / f"{static}.nc" for static in task.statics),
            evaluation_grid(config, task.target),
        ),
        np.load(folder / LOCAL, allow_pickle=False) if task.guess.regression else None,
    )


def _purpose(config: Config, task: TargetTask) -> str:
    """What the model card says of the task."""
    target = config.targets[task.target]
    spec, level = known_field(target.field), "" if task.guess.level is None else f" at {task.guess.level}"
    trained = {
        "frozen": "the head alone was trained",
        "decoder": "the head and the decoders were trained",
        "full": "head and transformers were trained",
        "scratch": "all was trained, from random weights",
    }[task.core]
    return (
        f"Predicts {spec.long_name} ({spec.units}) of the target `{task.target}` on cells of "
        f"{config.data.grid.resolution / target.refine:g} degrees by {task.head.tails} members, as the "
        f"departure from {task.guess.field}{level} between grid points; {trained}."
    )
