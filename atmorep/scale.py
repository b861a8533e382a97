"""What an experiment comes to, stage by stage: jobs, requests, files, bytes, operations, GPU hours.

Counted from the configuration by what the stages themselves go by: groups of the source, spans, layout of the
store, sizes of the models, tiles of the evaluation. Nothing is read or fetched.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from atmorep.config import Config, TargetTask, Training
from atmorep.evaluation.output import chunk_shape
from atmorep.evaluation.scoring import regular_starts
from atmorep.evaluation.tasks import tasks
from atmorep.evaluation.tiles import tiles
from atmorep.grids import Grid
from atmorep.paths import MULTIFORMER, Paths
from atmorep.sizes import Size, sizes
from atmorep.sources import Group, open_source
from atmorep.sources.grib_writer import BITS_PER_VALUE
from atmorep.store.layout import field_layout
from atmorep.timeaxis import Span, TimeAxis, data_spans, training_spans

STORED = 0.7
"""Bytes of the store over those of 16-bit GRIB: ``benchmarks/convert.py``."""

PEAK = {"32-true": 19.5e12, "bf16-mixed": 312e12}
"""Floating-point operations a second of an NVIDIA A100 by precision, from its data sheet: float32 without,
bfloat16 with tensor cores."""

SHARE = 0.4
"""Share of the peak that is reached: not measured, but a little less than that of larger transformers on A100
(0.44 to 0.52, Narayanan et al. 2021, arXiv 2104.04473, table 1)."""

_FLOAT, _DOUBLE = 4, 8
_KEPT = _FLOAT * (1 + 3)
"""Bytes a parameter that a training leaves: the weights, and a state of weights and AdamW's two moments."""


@dataclass(frozen=True)
class Stage:
    """What one stage comes to; what is not counted is 0.

    Attributes:
        name: of the stage.
        jobs: jobs of the workflow.
        requests: requests to an archive.
        files: files of data.
        size: bytes that stay; of predictions, before compression.
        operations: floating-point operations of networks.
        precision: arithmetic of these.
    """

    name: str
    jobs: int
    requests: int = 0
    files: int = 0
    size: float = 0
    operations: float = 0
    precision: str = "32-true"

    @property
    def gpu_hours(self) -> float:
        """Hours of one A100 at ``SHARE`` of its peak."""
        return self.operations / (PEAK[self.precision] * SHARE) / 3600


COLUMNS: dict[str, Callable[[Stage], float]] = {
    "jobs": lambda stage: stage.jobs,
    "requests": lambda stage: stage.requests,
    "files": lambda stage: stage.files,
    "GB": lambda stage: stage.size / 1e9,
    "PFLOP": lambda stage: stage.operations / 1e15,
    "GPU hours": lambda stage: stage.gpu_hours,
}


@dataclass(frozen=True)
class Scale:
    """Counts the stages of ``config``."""

    config: Config

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """Fields of the experiment."""
        return tuple(self.config.fields)

    @cached_property
    def spans(self) -> list[Span]:
        """Spans of all data."""
        return data_spans(self.config.data)

    @cached_property
    def groups(self) -> list[Group]:
        """What the source fetches together."""
        return open_source(self.config).groups()

    @cached_property
    def models(self) -> dict[str, Size]:
        """Sizes of the models by title: of each field, and of the coupled ones."""
        return {found.title: found for found in sizes(self.config)}

    @cached_property
    def grid(self) -> Grid:
        """Grid of all fields."""
        return Grid.from_config(self.config.data.grid)

    @property
    def multiformer(self) -> Size:
        """Size of the coupled model."""
        return self.models[" + ".join(self.fields)]

    @property
    def message(self) -> float:
        """Bytes of one field, level and time in GRIB, headers left out."""
        return math.prod(self.grid.shape) * BITS_PER_VALUE / 8

    def _times(self, span: Span) -> int:
        return len(span.hours(self.config.data.time_step))

    def _raw(self, levels: int) -> float:
        """Bytes of ``levels`` levels at all times in GRIB."""
        return levels * sum(map(self._times, self.spans)) * self.message

    def largest_request(self) -> tuple[int, float]:
        """Messages and bytes of the largest group in the longest span."""
        count = max(len(g.members) for g in self.groups) * max(map(self._times, self.spans))
        return count, count * self.message

    # -- data ----------------------------------------------------------------------------------

    def download(self) -> Stage:
        """Raw files: one a field, level and span, and its manifest."""
        jobs, members = len(self.groups) * len(self.spans), sum(len(g.members) for g in self.groups)
        asked = jobs if self.config.source.kind == "cds" else 0
        return Stage("download", jobs, asked, 2 * members * len(self.spans), self._raw(members))

    def convert(self) -> Stage:
        """A shard a field and day, and a manifest a field and span."""
        count, days = len(self.fields), sum(span.days for span in self.spans)
        levels = sum(len(self.config.store_levels(field)) for field in self.fields)
        files, size = count * (days + len(self.spans)), self._raw(levels) * STORED
        return Stage("convert", count * len(self.spans), files=files, size=size)

    def compare(self) -> Stage:
        """A finding a field and span, those of a year in one job."""
        count = len(self.fields)
        return Stage("compare", count * _years(self.spans), files=count * len(self.spans))

    def sums(self) -> Stage:
        """Count, mean and squares in double precision, those of a year in one job; and their manifests."""
        spans, count = training_spans(self.config.data), len(self.fields)
        size = len(spans) * sum(3 * _DOUBLE * self._cells(field) for field in self.fields)
        return Stage("sums", count * _years(spans), files=2 * count * len(spans), size=size)

    def statistics(self) -> Stage:
        """Mean and standard deviation of twelve months, and their manifest."""
        size = sum(12 * 2 * _FLOAT * self._cells(field) for field in self.fields)
        return Stage("statistics", len(self.fields), files=2 * len(self.fields), size=size)

    def _cells(self, field: str) -> int:
        """Numbers that one statistic of a field has."""
        local = self.config.fields[field].normalisation == "local"
        return len(self.config.store_levels(field)) * (math.prod(self.grid.shape) if local else 1)

    # -- models --------------------------------------------------------------------------------

    def pretrain(self) -> Stage:
        """The fields that are trained alone."""
        paths, coupled = Paths(self.config), self.config.coupled
        alone = [f for f in self.fields if not coupled or paths.origin(f) == paths.model(f)]
        return _training("pretrain", self.config.training, [self.models[field] for field in alone])

    def couple(self) -> Stage:
        """The Multiformer, where fields are coupled."""
        training = self.config.coupling.training or self.config.training
        return _training("couple", training, [self.multiformer] if self.config.coupled else [])

    def evaluate(self) -> Stage:
        """Every model: the tasks of its fields at all initial times and tiles, its rivals likewise."""
        axis, whole = TimeAxis.of(self.config.data), self.config.network.neighbourhood
        initials = len(regular_starts(self.config, axis, whole.time, np.ones(axis.size, bool)))
        pieces = initials * len(tiles(self.grid, whole.latitude, whole.longitude))
        evaluated = Paths(self.config).evaluated
        operations = pieces * sum(self._forward(model, fields) for model, fields in evaluated.items())
        saved = [self._predictions(field, initials) for field in self.fields]
        files, size = (sum(column) for column in zip(*saved, strict=True))
        return Stage("evaluate", len(evaluated), files=files, size=size, operations=operations)

    def _predictions(self, field: str, initials: int) -> tuple[int, int]:
        """Chunks and bytes of the predictions that are kept of a field."""
        whole = self.config.network.neighbourhood
        chunks = size = 0
        for leads in (len(task.leads) for task in tasks(self.config, field) if task.saved):
            shape = (initials, leads, self.config.network.tails, *field_layout(self.config, field).shape[1:])
            chunk = chunk_shape(shape, (whole.latitude, whole.longitude))
            chunks += math.prod(-(-long // part) for long, part in zip(shape, chunk, strict=True))
            size += _FLOAT * math.prod(shape)
        return chunks, size

    def _forward(self, model: str, fields: Sequence[str]) -> int:
        """Operations at one place: a prediction for all fields that are asked alike, and the rivals'."""
        asked = {field: tuple(tasks(self.config, field)) for field in fields}
        own = self.multiformer if model == MULTIFORMER else self.models[model]
        rivals = {field: len(Paths(self.config).rivals(field)) for field in fields}
        alone = sum(len(asked[field]) * rivals[field] * self.models[field].forward for field in fields)
        return own.forward * sum(map(len, set(asked.values()))) + alone

    # -- downstream ----------------------------------------------------------------------------

    def downstream(self) -> list[Stage]:
        """Targets, static fields and tasks; only their jobs are counted."""
        tasks, spans = self.config.finetune, len(self.spans)
        of_targets = [task for task in tasks.values() if isinstance(task, TargetTask)]
        targets = {task.target for task in of_targets}
        statics = {(name, task.target) for task in of_targets for name in task.statics}
        return [
            Stage("download-target", len(targets) * spans),
            Stage("download-static", len({name for name, _ in statics})),
            Stage("convert-target", len(targets) * spans),
            Stage("static", len(statics)),
            Stage("finetune", len(tasks)),
            Stage("baselines", len(of_targets)),
            Stage("evaluate-task", len(tasks)),
        ]

    def stages(self) -> list[Stage]:
        """All stages that have jobs, in the order of the workflow."""
        data = [self.download(), self.convert(), self.compare(), self.sums(), self.statistics()]
        models = [self.pretrain(), self.couple(), self.evaluate()]
        every = [*data, *models, *self.downstream(), Stage("report", 1)]
        return [stage for stage in every if stage.jobs]


def _years(spans: Iterable[Span]) -> int:
    return len({span.start.year for span in spans})


def _training(name: str, training: Training, models: Sequence[Size]) -> Stage:
    """What trainings of ``models`` come to."""
    samples, checks = training.samples_per_epoch, training.validation_samples
    forwards = checks + samples * training.gradient_checkpointing
    operations = training.epochs * sum(samples * m.step + forwards * m.forward for m in models)
    size = _KEPT * sum(m.parameters for m in models)
    return Stage(name, len(models), size=size, operations=operations, precision=training.precision)


def table(stages: Sequence[Stage]) -> str:
    """Return the stages and their sum as a table in Markdown; what is 0 stays empty."""
    rows = {stage.name: [value(stage) for value in COLUMNS.values()] for stage in stages}
    rows["all"] = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines = [["stage", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    lines += [[name, *map(_shown, values)] for name, values in rows.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _shown(value: float) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"


def show(config: Config) -> None:
    """Print what the experiment ``config`` comes to."""
    scale = Scale(config)
    print(table(scale.stages()), end="")
    messages, size = scale.largest_request()
    print(f"\nOne job of download brings at most {messages:,} messages, {size / 1e9:,.2g} GB.")
