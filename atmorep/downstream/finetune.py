"""Stage ``finetune``: the pretrained model is trained on for one task, and becomes a bundle of its own."""

from __future__ import annotations

from typing import Any

import torch

from atmorep import bundle
from atmorep.artefacts import sha256
from atmorep.config import Config, ForecastTask
from atmorep.downstream import bundle as task_bundle
from atmorep.downstream.model import build, freeze
from atmorep.downstream.problem import TargetCells
from atmorep.downstream.start import regression
from atmorep.errors import ConfigError
from atmorep.paths import Paths
from atmorep.training.engine import fit
from atmorep.training.problem import MaskedTokens


def finetune(config: Config, task: str) -> None:
    """Train the model of ``task``, or go on where an interrupted training stopped.

    Raises:
        ConfigError: if there is no such task.
        DataError: if a store lacks what is needed, or the loss is no longer finite.
        IntegrityError: if the pretrained model or the state to go on from is broken or of another
            configuration.
    """
    what = config.finetune.get(task)
    if what is None:
        known = ", ".join(config.finetune) or "none"
        raise ConfigError(f"finetune.{task}: there is no such task; use {known}")
    if isinstance(what, ForecastTask):
        _forecast(config, task, what)
    else:
        _target(config, task)


def _target(config: Config, name: str) -> None:
    """Train a head, and what of the core is to be trained."""
    paths, problem, task = Paths(config), TargetCells(config, name), config.target_task(name)
    torch.manual_seed(problem.config.training.seed)
    model = build(config, name)
    if task.core != "scratch":
        model.core.load_state_dict(bundle.load(paths.core(name)).model.state_dict())
    freeze(model.core, task.core, model.read, tails=False)
    model.head.begin_at(regression(problem.open("train", rank=0, ranks=1)))
    target = paths.finetuned(name)
    trained = fit(problem, model, paths.training_state(target))
    if trained.first_rank:
        origin = None if task.core == "scratch" else _origin(config, name)
        task_bundle.save(target, problem, weights=trained.weights, log=trained.log, origin=origin)


def _forecast(config: Config, name: str, task: ForecastTask) -> None:
    """Train a model of fields to predict the last time steps, hidden in every sample."""
    paths, ahead = Paths(config), forecasting(config, task)
    torch.manual_seed(ahead.training.seed)
    model = bundle.load(paths.core(name)).model.train()
    freeze(model, task.core, model.predicted, tails=True)
    fields, target = paths.task_fields(name), paths.finetuned(name)
    trained = fit(MaskedTokens(ahead, fields), model, paths.training_state(target))
    if trained.first_rank:
        normalisation = {field: paths.normalisation(field) for field in fields}
        bundle.save(
            target,
            ahead,
            weights=trained.weights,
            log=trained.log,
            normalisation=normalisation,
            origin=_origin(config, name),
        )


def forecasting(config: Config, task: ForecastTask) -> Config:
    """Return the configuration of a training whose every sample lacks the last hours of ``task``."""
    hours = {"forecast_hours": task.hours, "forecast_hours_min": task.hours}
    masking = {"forecast": 1.0, "temporal_interpolation": 0.0, "spatial": 0.0, **hours}
    update = {
        "masking": config.masking.model_copy(update=masking),
        "training": task.training or config.training,
    }
    return config.model_copy(update=update)


def _origin(config: Config, task: str) -> dict[str, Any]:
    """Return which bundle the weights come from."""
    core = Paths(config).core(task)
    return {"task": task, "core": {"bundle": str(core), "sha256": sha256(core / bundle.WEIGHTS)}}
