"""Where each artefact lies: declared once, identified by a hash of the configuration behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from atmorep import manifest
from atmorep.artefacts import write_text
from atmorep.config import Config, Static, Target, TargetTask, identity
from atmorep.config.target import DwdTarget, FilesTarget, SimulatedTarget
from atmorep.timeaxis import Span, TimeAxis

STORE_LAYOUT = 1
"""Version of the store's layout; part of its identity."""

_ANY = ("{field}", "{model}")

MULTIFORMER = "multiformer"
"""Name of the model of the coupled fields; that of a field alone has the field's."""

_MACHINE = {"retries", "backoff_seconds", "timeout_hours", "timeout_seconds", "url"}
"""Settings of sources that change nothing of what they deliver."""


def _identified(name: str, parts: Callable[[str], dict[str, Any]]) -> str:
    """Return the name of an artefact of the field or model ``name`` that ``parts`` determine."""
    return f"{name}-" + ("{identity}" if name in _ANY else identity(parts(name)))


_SCORED = {"baselines", "scores", "rollout_hours"}
"""Keys of a task that concern its evaluation only."""


def _plain(source: BaseModel | None) -> dict[str, Any] | None:
    """Return what of a source determines what it delivers."""
    return None if source is None else source.model_dump(mode="json", exclude=_MACHINE)


@dataclass(frozen=True)
class Paths:
    """Paths of all artefacts of ``config``, relative to ``root`` (the working directory).

    Labels and machine resources never enter a hash: two experiments share what they have in common.
    Given ``"{field}"``, ``"{model}"`` and ``"{span}"`` the methods return the pattern of the paths of all
    of them, with ``{kind}`` or ``{identity}`` in place of what depends on the field.
    """

    config: Config
    root: Path = Path()

    @cached_property
    def _raw_parts(self) -> dict[str, Any]:
        """What determines the raw files, machine settings (retries, waits) left out."""
        c = self.config
        parts: dict[str, Any] = {
            "source": _plain(c.source),
            "grid": c.data.grid.model_dump(mode="json"),
            "time_step": c.data.time_step,
            "levels": c.data.levels.model_dump(mode="json"),
        }
        if c.source.kind == "simulated":  # an initial value problem: its start matters
            parts["origin"] = str(TimeAxis.of(c.data).origin)
        return parts

    @cached_property
    def _store_parts(self) -> dict[str, Any]:
        origin = str(TimeAxis.of(self.config.data).origin)
        return {**self._raw_parts, "origin": origin, "layout": STORE_LAYOUT}

    def _normalisation_parts(self, field: str) -> dict[str, Any]:
        train = [p.model_dump(mode="json") for p in self.config.data.periods.train]
        kind = self.config.fields[field].normalisation
        return {"store": self._store_parts, "field": field, "train": train, "kind": kind}

    def _model_parts(self, field: str) -> dict[str, Any]:
        c = self.config
        return {
            "normalisation": self._normalisation_parts(field),
            "field": c.fields[field].model_dump(mode="json", exclude={"coupled", "weight", "predicted"}),
            "network": c.network.model_dump(mode="json"),
            "masking": c.masking.model_dump(mode="json"),
            "loss": c.loss.model_dump(mode="json"),
            "training": c.training.determining(),
            "validation": [p.model_dump(mode="json") for p in c.data.periods.validation],
        }

    @cached_property
    def _multiformer_parts(self) -> dict[str, Any]:
        c = self.config
        return {
            "fields": {name: self._model_parts(name) for name in c.fields},
            "coupled": {
                name: [list(field.coupled), field.weight, field.predicted] for name, field in c.fields.items()
            },
            "coupling": c.coupling.model_dump(mode="json", exclude={"training"}),
            "training": (c.coupling.training or c.training).determining(),
        }

    def _evaluation_parts(self, model: str) -> dict[str, Any]:
        c = self.config
        return {
            "model": self._multiformer_parts if model == MULTIFORMER else self._model_parts(model),
            "evaluation": c.evaluation.model_dump(mode="json"),
            "test": [p.model_dump(mode="json") for p in c.data.periods.test],
        }

    # -- raw -----------------------------------------------------------------------------------

    @cached_property
    def raw_folder(self) -> Path:
        """Folder of the raw files."""
        return self.root / "data/raw" / identity(self._raw_parts)

    def raw(self, field: str, level: int, span: Span | str) -> Path:
        """One field, level and month (or days of one) as delivered."""
        from atmorep.sources import raw_suffix

        return self.raw_folder / field / str(level) / f"{span}{raw_suffix(self.config)}"

    # -- store ---------------------------------------------------------------------------------

    @cached_property
    def store_folder(self) -> Path:
        """Folder of the store and what belongs to it."""
        return self.root / "data/store" / identity(self._store_parts)

    @property
    def store(self) -> Path:
        """The Zarr store."""
        return self.store_folder / "era5.zarr"

    def layout(self, field: str) -> Path:
        """Description of one field's array, written once the empty array is in the store."""
        return self.store_folder / "layout" / f"{field}.json"

    def part(self, field: str, span: Span | str) -> Path:
        """Manifest of the shards of one field and span: written last, after its shards."""
        return self.store_folder / "parts" / field / f"{span}.json"

    def compared(self, field: str, span: Span | str) -> Path:
        """Outcome of comparing the shards of one field and span with the raw files."""
        return self.store_folder / "compared" / field / f"{span}.json"

    def sums(self, field: str, span: Span | str) -> Path:
        """Partial sums of one field over training days of one month."""
        kind = "{kind}" if field in _ANY else self.config.fields[field].normalisation
        return self.store_folder / "sums" / f"{field}-{kind}" / f"{span}.nc"

    def normalisation(self, field: str) -> Path:
        """Monthly mean and standard deviation of one field."""
        name = _identified(field, self._normalisation_parts)
        return self.store_folder / "normalisation" / f"{name}.nc"

    # -- model ---------------------------------------------------------------------------------

    def model(self, field: str) -> Path:
        """Bundle (a folder) of one field's trained transformer."""
        return self.root / "models" / _identified(field, self._model_parts)

    @property
    def multiformer(self) -> Path:
        """Bundle (a folder) of the coupled fields."""
        return self.root / "models" / f"{MULTIFORMER}-{identity(self._multiformer_parts)}"

    def origin(self, field: str) -> Path:
        """Bundle that the weights of ``field`` come from before it is coupled."""
        start = self.config.coupling.start
        return start if start is not None and field in self._started else self.model(field)

    @cached_property
    def _started(self) -> tuple[str, ...]:
        """Fields of the bundle that the coupling starts from."""
        start = self.config.coupling.start
        return () if start is None else manifest.fields(start)

    def scored(self, field: str) -> Path:
        """Bundle that predicts ``field`` in the end: coupled where there is coupling, else its own."""
        return self.multiformer if self._together(field) else self.model(field)

    def rivals(self, field: str) -> dict[str, Path]:
        """Bundles scored beside, by name: of the field alone, where it is coupled and was pretrained here."""
        alone = self._together(field) and field not in self._started
        return {"single": self.model(field)} if alone else {}

    def models(self, field: str) -> list[Path]:
        """Bundles scored on ``field``: the last, and the field alone where it was pretrained here."""
        return [self.scored(field), *self.rivals(field).values()]

    def _together(self, field: str) -> bool:
        """Whether the coupled model predicts ``field``."""
        return self.config.coupled and self.config.fields[field].predicted

    @property
    def evaluated(self) -> dict[str, tuple[str, ...]]:
        """Models that are scored, by name, and the fields that each predicts."""
        together = tuple(name for name in self.config.fields if self._together(name))
        alone = {name: (name,) for name in self.config.fields if name not in together}
        return {**({MULTIFORMER: together} if together else {}), **alone}

    def training_state(self, bundle: Path) -> Path:
        """Folder of what exact continuation needs; no rule declares it, so that none deletes it."""
        return bundle.parent / "training" / bundle.name

    # -- targets -------------------------------------------------------------------------------

    def _target_raw_parts(self, name: str) -> dict[str, Any]:
        """What determines the files of a target or static field."""
        gridded = self._gridded(name)
        sources = [gridded.source, getattr(gridded, "partner_source", None)]
        if not any(isinstance(source, SimulatedTarget) for source in sources):
            return {"sources": [_plain(source) for source in sources]}
        return {"sources": [_plain(source) for source in sources], "simulation": self._raw_parts}

    def _gridded(self, name: str) -> Target | Static:
        return self.config.targets[name] if name in self.config.targets else self.config.statics[name]

    def _target_parts(self, name: str) -> dict[str, Any]:
        data, target = self.config.data, self.config.targets[name]
        return {
            "raw": self._target_raw_parts(name),
            "target": target.model_dump(mode="json", exclude={"source", "partner_source"}),
            "grid": data.grid.model_dump(mode="json"),
            "time_step": data.time_step,
            "origin": str(TimeAxis.of(data).origin),
            "layout": STORE_LAYOUT,
        }

    def _static_parts(self, name: str, target: str) -> dict[str, Any]:
        static = self.config.statics[name].model_dump(mode="json", exclude={"source"})
        cells = self.config.targets[target].model_dump(mode="json", include={"refine", "region"})
        grid = self.config.data.grid.model_dump(mode="json")
        return {"raw": self._target_raw_parts(name), "static": static, "cells": cells, "grid": grid}

    def target_files(self, source: FilesTarget | DwdTarget | SimulatedTarget) -> Path:
        """Folder of what a source delivers or unpacks; all targets that name the same source share it."""
        simulation = self._raw_parts if isinstance(source, SimulatedTarget) else None
        return self.root / "data/targets/files" / f"{source.kind}-{identity(_plain(source), simulation)}"

    def target_raw_folder(self, name: str) -> Path:
        """Folder of the lists of files of a target or static field."""
        return self.root / "data/targets/raw" / f"{name}-{identity(self._target_raw_parts(name))}"

    def target_raw(self, name: str, span: Span | str) -> Path:
        """List of the delivered files of a target in one span, written last."""
        return self.target_raw_folder(name) / f"{span}.json"

    def static_raw(self, name: str) -> Path:
        """List of the delivered files of a static field, written last."""
        return self.target_raw_folder(name) / "static.json"

    def target_folder(self, name: str) -> Path:
        """Folder of the store of one target and what belongs to it."""
        return self.root / "data/targets/store" / f"{name}-{identity(self._target_parts(name))}"

    def target_store(self, name: str) -> Path:
        """The Zarr store of one target on its evaluation grid."""
        return self.target_folder(name) / "target.zarr"

    def target_part(self, name: str, span: Span | str) -> Path:
        """Manifest of the shards of one target and span: written last, after its shards."""
        return self.target_folder(name) / "parts" / f"{span}.json"

    def static(self, name: str, target: str) -> Path:
        """One static field on the evaluation grid of a target."""
        folder = self.root / "data/targets/static"
        return folder / f"{name}-{target}-{identity(self._static_parts(name, target))}.nc"

    # -- tasks ---------------------------------------------------------------------------------

    def _task_parts(self, task: str) -> dict[str, Any]:
        """What determines the fine-tuned model of a task."""
        c, what = self.config, self.config.finetune[task]
        parts = {
            "core": self._core_parts(task),
            "task": what.model_dump(mode="json", exclude={"training", *_SCORED}),
            "training": (what.training or c.training).determining(),
        }
        if isinstance(what, TargetTask):
            parts["target"] = self._target_parts(what.target)
            parts["statics"] = {name: self._static_parts(name, what.target) for name in what.statics}
        return parts

    def _core_parts(self, task: str) -> dict[str, Any]:
        fields = self.task_fields(task)
        return self._multiformer_parts if self.config.coupled else self._model_parts(fields[0])

    def task_fields(self, task: str) -> tuple[str, ...]:
        """Fields of the model that ``task`` fine-tunes."""
        what = self.config.finetune[task]
        if self.config.coupled or not isinstance(what, TargetTask):
            return tuple(self.config.fields)
        return self.config.tokens_read(what)

    def core(self, task: str) -> Path:
        """Bundle that ``task`` starts from."""
        return self.multiformer if self.config.coupled else self.model(self.task_fields(task)[0])

    def finetuned(self, task: str) -> Path:
        """Bundle (a folder) of the model fine-tuned for ``task``."""
        return self.root / "models" / f"{task}-{identity(self._task_parts(task))}"

    def baseline(self, task: str) -> Path:
        """Folder of the fitted baselines of ``task``."""
        parts = {**self._task_parts(task), "baselines": self._baselines_of(task)}
        return self.root / "models/baselines" / f"{task}-{identity(parts)}"

    def _baselines_of(self, task: str) -> list[str]:
        what = self.config.finetune[task]
        return list(what.baselines) if isinstance(what, TargetTask) else []

    # -- results -------------------------------------------------------------------------------

    @property
    def results(self) -> Path:
        """Folder of one experiment's results."""
        return self.root / "results" / self.config.experiment

    @property
    def resolved_config(self) -> Path:
        """The configuration with all defaults and overrides, as every stage reads it."""
        return self.results / "config.yaml"

    def model_evaluation(self, model: str) -> Path:
        """Folder with what is scored of one of the models :attr:`evaluated`, a folder for each field."""
        return self.results / "evaluation" / _identified(model, self._evaluation_parts)

    def evaluation(self, field: str) -> Path:
        """Folder with the metrics, statistics and predictions of one field."""
        return self.model_evaluation(MULTIFORMER if self._together(field) else field) / field

    def task_evaluation(self, task: str) -> Path:
        """Folder with the metrics, statistics and predictions of one downstream task."""
        what = self.config.finetune[task].model_dump(
            mode="json", include={"baselines", "scores", "rollout_hours"}
        )
        parts = {
            "task": self._task_parts(task),
            "scored": what,
            "evaluation": self.config.evaluation.model_dump(mode="json"),
            "test": [p.model_dump(mode="json") for p in self.config.data.periods.test],
        }
        return self.results / "evaluation" / f"{task}-{identity(parts)}"

    @property
    def metrics(self) -> Path:
        """All scores, tidy."""
        return self.results / "metrics.csv"

    @property
    def figures(self) -> Path:
        """Folder of the report's figures as files."""
        return self.results / "figures"

    @property
    def report(self) -> Path:
        """The report."""
        return self.results / "report.html"

    # -- readable configuration ----------------------------------------------------------------

    def describe(self) -> None:
        """Write the readable configuration beside every hash; unchanged files are not touched."""
        resolved = self.config.model_dump(mode="json")
        names = (*self.config.targets, *self.config.statics)
        texts = {
            **{self.target_raw_folder(n) / "config.yaml": self._target_raw_parts(n) for n in names},
            self.resolved_config: resolved,
            self.raw_folder / "config.yaml": self._raw_parts,
            self.store_folder / "config.yaml": self._store_parts,
        }
        for path, value in texts.items():
            text = yaml.safe_dump(value, sort_keys=False)
            if not path.exists() or path.read_text() != text:
                write_text(path, text)
