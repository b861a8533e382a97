"""The one typed configuration: validated whole, unknown keys refused, every key described."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from atmorep.config.base import Name, Section, identity
from atmorep.config.container import Image
from atmorep.config.coupling import Coupling
from atmorep.config.data import Data, GridConfig, Levels, Period, Periods
from atmorep.config.downstream import check_tasks
from atmorep.config.evaluation import Evaluation, check_evaluation
from atmorep.config.finetune import ForecastTask, TargetTask, Task
from atmorep.config.loss import Loss
from atmorep.config.masking import FieldMasking, Masking
from atmorep.config.network import Extent, FieldConfig, Network
from atmorep.config.source import CdsSource, FilesSource, SimulatedSource, Source
from atmorep.config.target import Static, Target
from atmorep.config.training import Training
from atmorep.errors import ConfigError
from atmorep.fields import field as known_field

__all__ = [
    "CdsSource",
    "Config",
    "Coupling",
    "Data",
    "Evaluation",
    "Extent",
    "FieldConfig",
    "FieldMasking",
    "FilesSource",
    "ForecastTask",
    "GridConfig",
    "Levels",
    "Loss",
    "Masking",
    "Network",
    "Period",
    "Periods",
    "SimulatedSource",
    "Source",
    "Static",
    "Target",
    "TargetTask",
    "Task",
    "Training",
    "identity",
    "load",
    "merged",
    "parse",
    "read",
    "validated",
]

Form = TypeVar("Form", bound=Section)


class Config(Section):
    """An experiment, from source to scores."""

    experiment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the experiment: a label, and the folder below ``results/``."""
    container: Image | None = None
    """Image that every stage runs in by ``--sdm apptainer``: a file with version or digest in its name, or an
    address with a digest; default none, the software of the machine."""
    source: Source
    """Where the fields come from."""
    data: Data
    """Grid, time step, levels and periods."""
    fields: dict[str, FieldConfig]
    """The fields by ERA5 short name."""
    network: Network = Network()
    """Neighbourhood, tokens and transformer."""
    masking: Masking = Masking()
    """Which tokens are hidden in training."""
    loss: Loss = Loss()
    """What is minimised."""
    training: Training = Training()
    """Optimiser and schedule."""
    coupling: Coupling = Coupling()
    """How coupled fields are trained together."""
    targets: dict[Name, Target] = Field(default={})
    """What downstream tasks predict, by name."""
    statics: dict[Name, Static] = Field(default={})
    """Fields that do not change, given to downstream tasks, by name."""
    finetune: dict[Name, Task] = Field(default={})
    """Downstream tasks, by name."""
    evaluation: Evaluation
    """What is scored."""

    @field_validator("fields", mode="before")
    @classmethod
    def _empty_is_default(cls, fields: Any) -> Any:
        if isinstance(fields, dict):
            return {name: {} if value is None else value for name, value in fields.items()}
        return fields

    @model_validator(mode="after")
    def _fields_fit(self) -> Config:
        if not self.fields:
            raise ValueError("fields: declare at least one field, by its ERA5 short name")
        for name, field in self.fields.items():
            if known_field(name).surface and field.levels is not None:
                raise ValueError(f"fields.{name}.levels: {name} is a surface field; remove the key")
            for level in field.levels or ():
                if level not in self.data.levels.values:
                    raise ValueError(
                        f"fields.{name}.levels: {level} is not one of data.levels.values = "
                        f"{list(self.data.levels.values)}; add it there or remove it here"
                    )
            self._check_tokens(name)
            self._check_coupling(name)
        return self

    @model_validator(mode="after")
    def _something_predicted(self) -> Config:
        if not any(field.predicted for field in self.fields.values()):
            raise ValueError("fields: none is predicted; set fields.<name>.predicted of one to true")
        return self

    def _check_coupling(self, name: str) -> None:
        for other in self.fields[name].coupled:
            if other == name or other not in self.fields:
                why = "is the field itself" if other == name else "is not declared"
                raise ValueError(
                    f"fields.{name}.coupled: {other} {why}; name others of the fields {list(self.fields)}"
                )

    def _check_tokens(self, name: str) -> None:
        self.network.check_width(f"fields.{name}.embed_dim", self.embed_dim(name))
        key = f"fields.{name}.token_size" if self.fields[name].token_size else "network.token_size"
        whole, size = self.network.neighbourhood, self.token_size(name)
        for axis in ("time", "latitude", "longitude"):
            points, token = getattr(whole, axis), getattr(size, axis)
            if points % token:
                divisors = [n for n in range(1, points + 1) if points % n == 0]
                raise ValueError(
                    f"{key}.{axis} = {token} does not divide network.neighbourhood.{axis} = "
                    f"{points}; use one of {divisors}"
                )

    @model_validator(mode="after")
    def _neighbourhood_fits(self) -> Config:
        from atmorep.grids import Grid

        grid, whole = Grid.from_config(self.data.grid), self.network.neighbourhood
        for axis, points in zip(("latitude", "longitude"), grid.shape, strict=True):
            if getattr(whole, axis) > points:
                raise ValueError(
                    f"network.neighbourhood.{axis} = {getattr(whole, axis)} exceeds the {points} "
                    f"points of data.grid; make it smaller or the grid larger"
                )
        hours = whole.time * self.data.time_step
        for name in ("train", "validation", "test"):
            if not any(p.hours >= hours for p in getattr(self.data.periods, name)):
                raise ValueError(
                    f"data.periods.{name}: no period holds a neighbourhood of "
                    f"network.neighbourhood.time = {whole.time} steps ({hours} h)"
                )
        return self

    @model_validator(mode="after")
    def _masks_fit(self) -> Config:
        for name in self.fields:
            self.masking_of(name)
            self._check_spans(name)
        if self.coupled:
            self._check_spans(*self.fields)
        return self

    def _check_spans(self, *names: str) -> None:
        """Refuse spans of time that leave nothing to see of fields that are trained together."""
        beat, step = self.beat(*names), self.data.time_step
        beats, fields = self.network.neighbourhood.time // beat, ", ".join(names)
        has = f"field {fields} has {beats}" if len(names) == 1 else f"fields {fields} have {beats} in common"
        for key, fewest in (("forecast", 2), ("temporal_interpolation", 3)):
            share = getattr(self.masking, key)
            if share and beats < fewest:
                raise ValueError(
                    f"masking.{key} = {share}: needs {fewest} token steps or more, {has}; set it to 0 or "
                    "make token_size.time smaller"
                )
        longest, hours = (beats - 1) * beat * step, self.masking.forecast_hours
        if self.masking.forecast and hours and hours > longest:
            raise ValueError(
                f"masking.forecast_hours: {hours} h must be at most {longest} h, so that a token step of "
                f"{beat * step} h stays visible ({has})"
            )

    @model_validator(mode="after")
    def _evaluation_fits(self) -> Config:
        check_evaluation(self)
        return self

    @model_validator(mode="after")
    def _image_fits(self) -> Config:
        trainings = (self.training, self.coupling.training, *(t.training for t in self.finetune.values()))
        several = any(training.ranks > 1 for training in trainings if training)
        if self.container and "://" in self.container and several:
            raise ValueError(
                f"container = {self.container}: each process of a training would fetch it; make a file, "
                f"apptainer build NAME-VERSION.sif {self.container}, and name that"
            )
        return self

    @model_validator(mode="after")
    def _tasks_fit(self) -> Config:
        check_tasks(self)
        return self

    @property
    def coupled(self) -> bool:
        """Whether the fields form a Multiformer."""
        return any(field.coupled for field in self.fields.values())

    def token_size(self, name: str) -> Extent:
        """Grid points a token of field ``name``."""
        return self.fields[name].token_size or self.network.token_size

    def tokens(self, name: str) -> Extent:
        """Tokens a neighbourhood of field ``name``, per level."""
        whole, size = self.network.neighbourhood, self.token_size(name)
        return Extent(
            time=whole.time // size.time,
            latitude=whole.latitude // size.latitude,
            longitude=whole.longitude // size.longitude,
        )

    def predicted(self, fields: Iterable[str]) -> tuple[str, ...]:
        """Return those of ``fields`` that their model predicts; one that is alone is always predicted."""
        fields = tuple(fields)
        return tuple(name for name in fields if self.fields[name].predicted or len(fields) == 1)

    def tokens_read(self, task: TargetTask) -> tuple[str, ...]:
        """Fields whose decoder tokens the head of ``task`` reads."""
        predicted = self.predicted(self.fields)
        alike = [name for name in predicted if self.token_size(name) == self.token_size(predicted[0])]
        return task.fields or tuple(alike)

    def target_task(self, name: str) -> TargetTask:
        """Return the task ``name``, which predicts a target.

        Raises:
            ConfigError: if there is none of this name and kind.
        """
        task = self.finetune.get(name)
        if not isinstance(task, TargetTask):
            known = ", ".join(n for n, each in self.finetune.items() if isinstance(each, TargetTask))
            raise ConfigError(f"finetune.{name}: there is no such task of kind target; use {known or 'none'}")
        return task

    @property
    def target_tasks(self) -> tuple[str, ...]:
        """Names of the downstream tasks that predict a target."""
        return tuple(name for name, task in self.finetune.items() if isinstance(task, TargetTask))

    @property
    def forecast_tasks(self) -> dict[str, ForecastTask]:
        """The downstream tasks that forecast the fields, by name."""
        return {name: task for name, task in self.finetune.items() if isinstance(task, ForecastTask)}

    def height(self, task: TargetTask) -> str | None:
        """Static field of ``task`` that is the height of its cells: the first whose unit is m."""
        return next((name for name in task.statics if self.statics[name].units == "m"), None)

    def masking_of(self, name: str) -> Masking:
        """What is hidden of field ``name`` in training."""
        return self.masking.of(name, self.fields[name].masking)

    def store_levels(self, name: str) -> tuple[int, ...]:
        """Levels of field ``name`` in the store; ``(0,)`` for a surface field."""
        return (0,) if known_field(name).surface else self.data.levels.values

    def beat(self, *names: str) -> int:
        """Fewest time steps that are whole tokens of all fields ``names``."""
        return math.lcm(*(self.token_size(name).time for name in names))

    def model_levels(self, name: str) -> tuple[int, ...]:
        """Levels of field ``name`` the model sees; ``(0,)`` for a surface field."""
        return self.fields[name].levels or self.store_levels(name)

    def embed_dim(self, name: str) -> int:
        """Width of the transformer of field ``name``."""
        return self.fields[name].embed_dim or self.network.embed_dim


def parse(values: dict[str, Any], origin: str = "configuration") -> Config:
    """Validate ``values`` whole.

    Raises:
        ConfigError: naming each offending key, its value and the remedy.
    """
    return validated(Config, values, origin)


def validated(form: type[Form], values: dict[str, Any], origin: str) -> Form:
    """Validate ``values`` of a file of any ``form``, as :func:`parse` does those of an experiment."""
    try:
        return form.model_validate(values)
    except ValidationError as error:
        lines = [_explain(e, form) for e in error.errors()]
        raise ConfigError(f"{origin} is refused:\n" + "\n".join(f"  {x}" for x in lines)) from None


_KINDS = {
    "source": ("files", "simulated", "cds", "dwd"),
    "partner_source": ("files", "simulated", "dwd"),
    "finetune": ("target", "forecast"),
    "wind": ("files", "model"),
}
"""Values of ``kind`` that pydantic puts into the place of an error, behind which key."""


def _explain(error: Any, form: type[Section]) -> str:
    location = _written(tuple(str(part) for part in error["loc"]))
    key = ".".join(location)
    message = re.sub(r"^Value error, ", "", error["msg"])
    if error["type"] == "extra_forbidden":
        return f"{key} = {error['input']!r}: there is no such key{_closest(location, form)}"
    if error["type"] == "missing":
        return f"{key}: is missing; add it"
    if not key:
        return message
    shown = "" if isinstance(error["input"], dict | Section) else f" = {error['input']!r}"
    return f"{key}{shown}: {message}"


def _written(location: tuple[str, ...]) -> list[str]:
    """Return ``location`` without what the user did not write."""
    keep = [True] * len(location)
    for number, part in enumerate(location):
        behind = number - 2 if part in _KINDS["finetune"] else number - 1
        if behind >= 0 and part in _KINDS.get(location[behind], ()):
            keep[number] = False
    return [part for part, kept in zip(location, keep, strict=True) if kept]


def _closest(location: list[str], form: type[Section]) -> str:
    import difflib

    from atmorep.config.schema import keys

    near = difflib.get_close_matches(location[-1], keys(form), n=1, cutoff=0.6)
    return f"; did you mean '{near[0]}'?" if near else "; see docs/configuration.md"


def load(*paths: str | Path) -> Config:
    """Read and validate YAML files; of several, a later one replaces single keys of those before.

    Raises:
        ConfigError: if one cannot be read or is not a mapping, or they are refused.
    """
    values: dict[str, Any] = {}
    for path in paths:
        values = merged(values, read(path))
    return parse(values, " with ".join(str(path) for path in paths))


def read(path: str | Path) -> dict[str, Any]:
    """Read one YAML file.

    Raises:
        ConfigError: if it cannot be read or is not a mapping.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: must be a mapping with the keys of docs/configuration.md")
    return values


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes``: mappings are merged, all else replaced, as Snakemake does."""
    both = {key: merged(base[key], value) for key, value in changes.items() if _mappings(base, key, value)}
    return {**base, **changes, **both}


def _mappings(base: dict[str, Any], key: str, value: Any) -> bool:
    return isinstance(base.get(key), dict) and isinstance(value, dict)
