"""What must hold across targets, static fields and tasks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, get_args

from atmorep.config.evaluation import ZeroShot
from atmorep.config.finetune import ForecastTask, TargetTask
from atmorep.config.target import DwdTarget, SimulatedTarget, Target
from atmorep.errors import ConfigError
from atmorep.fields import field as known_field

if TYPE_CHECKING:
    from atmorep.config import Config

ZERO_SHOT: tuple[str, ...] = get_args(ZeroShot)
"""What pretrained models can be scored on, as in ``metrics.csv``."""


def check_tasks(config: Config) -> None:
    """Refuse targets, static fields and tasks that do not go with each other or with the fields.

    Raises:
        ValueError: naming the key and the remedy.
    """
    for name, target in config.targets.items():
        _check_target(config, f"targets.{name}", target)
    for name, static in config.statics.items():
        if isinstance(static.source, SimulatedTarget):
            _check_simulated(config, f"statics.{name}", static.source)
    for name, task in config.finetune.items():
        if name in config.fields:
            raise ValueError(f"finetune.{name}: is the name of a field; tasks need another")
        if name in ZERO_SHOT:
            raise ValueError(
                f"finetune.{name}: is what the pretrained model is scored on; tasks need another name"
            )
        if isinstance(task, TargetTask):
            _check_target_task(config, f"finetune.{name}", task)
        else:
            _check_forecast_task(config, f"finetune.{name}", task)


def _check_target(config: Config, key: str, target: Target) -> None:
    spec = known_field(target.field)
    if target.time.kind != "instant" and target.time.window_hours % config.data.time_step:
        raise ValueError(
            f"{key}.time.window_hours = {target.time.window_hours} must be a multiple of data.time_step = "
            f"{config.data.time_step} h"
        )
    if spec.accumulated and target.time.kind == "instant":
        raise ValueError(f"{key}.time.kind: {spec.name} is accumulated; set it to sum or mean")
    _check_intervals(f"{key}.time", target)
    if isinstance(target.source, SimulatedTarget):
        _check_simulated(config, key, target.source)


def _check_intervals(key: str, target: Target) -> None:
    """Refuse intervals that cannot make up the windows, as far as that is known without the files."""
    time, source = target.time, target.source
    if time.kind == "instant":
        return
    if 60 * time.window_hours % time.interval_minutes:
        raise ValueError(
            f"{key}.interval_minutes = {time.interval_minutes} does not divide the {time.window_hours} h of "
            "window_hours; correct one of them"
        )
    if isinstance(source, DwdTarget) and source.product == "radklim_rw" and time.offset_minutes != 10:
        raise ValueError(
            f"{key}.offset_minutes = {time.offset_minutes}: hours of radklim_rw end at minute 50; accept "
            "that by offset_minutes: 10, or sum radklim_yw"
        )


def _check_simulated(config: Config, key: str, source: SimulatedTarget) -> None:
    if config.source.kind != "simulated":
        raise ValueError(f"{key}.source.kind: simulated needs source.kind = simulated")
    if (source.product == "relief") != key.startswith("statics."):
        raise ValueError(f"{key}.source.product: relief is for statics, temperature and radar for targets")
    if lacking := [name for name in source.reads if name not in config.fields]:
        raise ValueError(
            f"{key}.source.product: {source.product} is made from {', '.join(source.reads)}; add "
            f"{', '.join(lacking)} to fields"
        )
    if source.product == "radar" and config.data.time_step != 1:
        raise ValueError(f"{key}.source.product: radar is made hour by hour; set data.time_step to 1")


def _check_target_task(config: Config, key: str, task: TargetTask) -> None:
    _check_known(f"{key}.target", (task.target,), config.targets)
    _check_known(f"{key}.statics", task.statics, config.statics)
    _check_known(f"{key}.fields", (*task.fields, task.guess.field), config.fields)
    read = config.tokens_read(task)
    if len({config.token_size(name).shape for name in read}) > 1:
        raise ValueError(f"{key}.fields: {', '.join(read)} have tokens of different sizes; name some alike")
    if hidden := [name for name in read if not config.fields[name].predicted]:
        raise ValueError(f"{key}.fields: {hidden[0]} is not predicted, so that it has no decoder tokens")
    if not config.coupled and (len(read) > 1 or task.guess.field not in read):
        raise ValueError(
            f"{key}.fields: fields that are not coupled have a model each; couple them, or name one field "
            f"here and in {key}.guess.field"
        )
    _check_guess(config, f"{key}.guess", task)
    every, step = task.scores.every_hours, config.data.time_step
    if every is not None and every % step:
        raise ValueError(
            f"{key}.scores.every_hours = {every} must be a multiple of data.time_step = {step} h"
        )
    _check_baselines(config, f"{key}.baselines", task)
    if task.holdout is not None:
        _check_holdout(config, f"{key}.holdout", task)


def _check_holdout(config: Config, key: str, task: TargetTask) -> None:
    from atmorep.grids import Grid

    target, grid = config.targets[task.target], Grid.from_config(config.data.grid)
    try:
        grid.refined(target.refine, *grid.part(target.region)).part(task.holdout)
    except ConfigError as error:
        raise ValueError(f"{key}: {error}") from None


def _check_guess(config: Config, key: str, task: TargetTask) -> None:
    levels = config.model_levels(task.guess.field)
    if known_field(task.guess.field).surface:
        if task.guess.level is not None:
            raise ValueError(f"{key}.level: {task.guess.field} is a surface field; remove the key")
    elif task.guess.level not in levels:
        raise ValueError(f"{key}.level = {task.guess.level}: use one of {list(levels)}")


def _check_baselines(config: Config, key: str, task: TargetTask) -> None:
    guess, target = (known_field(name) for name in (task.guess.field, config.targets[task.target].field))
    like = [name for name in task.baselines if name in ("bilinear", "bicubic", "lapse_rate")]
    if like and guess.units != target.units:
        raise ValueError(
            f"{key}: {like[0]} gives values of the guess, {guess.name} in {guess.units}, not of "
            f"{target.name} in {target.units}; remove it, or use regression or quantile_mapping"
        )
    if "lapse_rate" in task.baselines and config.height(task) is None:
        raise ValueError(
            f"{key}: lapse_rate needs the height of the cells; name a static field with units m in statics, "
            "or remove it"
        )


def _check_known(key: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ValueError(f"{key}: {name} is not declared; there is {there}")


def _check_forecast_task(config: Config, key: str, task: ForecastTask) -> None:
    beat = config.beat(*config.fields) * config.data.time_step
    longest = config.network.neighbourhood.time * config.data.time_step - beat
    if task.hours % beat or task.hours > longest:
        raise ValueError(
            f"{key}.hours = {task.hours} must be a multiple of {beat} h, whole tokens of all fields, and at "
            f"most {longest} h, so that something stays visible"
        )
    if len(config.fields) > 1 and not config.coupled:
        raise ValueError(f"{key}: fields that are not coupled have a model each; couple them, or have one")
    if task.longest != task.hours:
        _check_rollout(config, f"{key}.rollout_hours", task)


def _check_rollout(config: Config, key: str, task: ForecastTask) -> None:
    if task.longest % task.hours:
        raise ValueError(
            f"{key} = {task.longest} must be a multiple of hours = {task.hours}, by which a roll-out steps on"
        )
    for name in config.fields:
        if name not in config.predicted(config.fields):
            raise ValueError(
                f"{key} = {task.longest}: {name} is not predicted, so that it cannot be fed back; set "
                f"fields.{name}.predicted to true, or remove the key"
            )
    whole = config.network.neighbourhood.time * config.data.time_step + task.longest - task.hours
    if not any(period.hours >= whole for period in config.data.periods.test):
        raise ValueError(
            f"{key} = {task.longest}: no period of data.periods.test holds the {whole} h of a neighbourhood "
            "that is rolled out; make it shorter or a period longer"
        )
