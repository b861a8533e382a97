"""Sections of downstream tasks: what they are, their scores, and what their baselines were fitted to."""

from __future__ import annotations

from dataclasses import dataclass, replace

from atmorep.config import Config
from atmorep.report import task_figures, units
from atmorep.report.evidence import TaskEvidence
from atmorep.report.figures import Picture, training_curves
from atmorep.report.section import TaskSection
from atmorep.report.skill import Cell, Scores, Table, difference, score


@dataclass(frozen=True)
class DownstreamSection:
    """All of one downstream task."""

    name: str
    title: str
    setup: Table
    task: TaskSection
    events: tuple[Table, ...]
    fitted: Table
    figures: tuple[Picture, ...]
    training: Picture

    @classmethod
    def of(cls, config: Config, evidence: TaskEvidence) -> DownstreamSection:
        """Make all tables and figures of one task."""
        scores = Scores.of(evidence.metrics, evidence.spec, evidence.name, config.data.levels.type)
        return cls(
            evidence.name,
            f"{units.title(evidence.spec)}: {scores.title.lower()}",
            setup(config, evidence),
            TaskSection.of(config, evidence, scores),
            tuple(events(scores, region) for region in scores.regions if scores.family("csi")),
            fitted(evidence),
            task_figures.pictures(scores, evidence.series),
            training_curves(evidence.training.title, evidence.training.log),
        )

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [*self.task.pictures, *self.figures, self.training]


_CORE = {
    "frozen": "the head alone; the pretrained model stays as it is",
    "decoder": "the head and the pretrained model's decoders",
    "full": "the head and all of the pretrained model",
    "scratch": "all, from random weights",
}

_LOCAL = {None: "", "cells": ", then a linear regression on it and the hour, cell by cell"}


def setup(config: Config, evidence: TaskEvidence) -> Table:
    """What is predicted from what."""
    task, target = evidence.task, config.targets[evidence.task.target]
    level = "" if task.guess.level is None else f", level {task.guess.level}"
    cell = config.data.grid.resolution / target.refine
    time = target.time
    stands = "state" if time.kind == "instant" else f"{time.kind} over the {time.window_hours} h before"
    rows = {
        "Target": f"{task.target} ({target.source.kind}): {units.title(evidence.spec)}, {stands}",
        "Cells": f"{cell:g}°, {target.refine} × {target.refine} a point of the grid; {target.method}",
        "First guess": f"{task.guess.field}{level}, interpolated" + _LOCAL[task.guess.regression],
        "Static fields": ", ".join(task.statics) or "none",
        "Trained": _CORE[task.core],
        "Parameters": f"{evidence.training.parameters:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
    }
    if task.holdout is not None:
        box = task.holdout
        rows["Held out"] = (
            f"{box.south:g} to {box.north:g}° N, {box.west:g} to {box.east:g}° E: seen by no training and no "
            "fit, scored as the region “holdout”"
        )
    return Table("The task", (), tuple((Cell(k), Cell(v)) for k, v in rows.items()))


_EVENT_SCORES = ("frequency_bias", "member_frequency_bias", "pod", "far", "csi", "ets", "brier")


def events(scores: Scores, region: str) -> Table:
    """Scores of events by threshold, row by row, and what the paired differences say below the baselines."""
    display, where = units.display(scores.field), (region, 0, 0.0)
    thresholds = [units.parameter(name) for name in scores.family("csi")]
    sizes = list(dict.fromkeys(units.parameter(name) for name in scores.family("fss")))
    names = [*_EVENT_SCORES, *(f"fss@{size}" for size in sizes)]
    paired = ("ets", "brier", *(f"fss@{size}" for size in sizes[-1:]))
    rows = []
    for threshold in thresholds:
        for name in names:
            full, heading = _full(name, threshold), f"{units.metric(name).title}{_cells(name)} (1)"
            cells = [score(scores.row("atmorep", full, where), 3)]
            for model in scores.baselines:
                said = (difference(scores, full, model, where),) if name in paired else ()
                cells.append(replace(score(scores.row(model, full, where), 3), below=said))
            rows.append((Cell(f"{float(threshold) * display.factor:g}"), Cell(heading), *cells))
    place = "" if len(scores.regions) == 1 else f", {region}"
    caption = (
        f"{units.title(scores.field)}, {scores.title.lower()}{place}: events over thresholds, with 95 % "
        "intervals; of the ensemble's mean where members or probabilities are not named; below some of the "
        "baselines how AtmoRep is, and AtmoRep minus baseline"
    )
    models = (units.MODELS.get(model, model) for model in scores.models)
    return Table(caption, (f"Threshold ({display.units})", "Score", *models), tuple(rows), 2)


def _full(name: str, threshold: str) -> str:
    """Name of a score of a threshold: ``fss>0.001@5``."""
    base, _, size = name.partition("@")
    return f"{base}>{threshold}@{size}" if size else f"{base}>{threshold}"


def _cells(name: str) -> str:
    size = name.partition("@")[2]
    return f", {size} cell{'s' * (size != '1')}" if size else ""


def fitted(evidence: TaskEvidence) -> Table:
    """What the baselines were fitted to, on training days."""
    rows = []
    for name in evidence.task.baselines:
        found = evidence.fitted[name]
        if "rate" in found:
            unit = units.display(evidence.spec).units
            text = f"{1000 * found['rate']:.3g} {unit} km⁻¹, offset {found['offset']:.3g} {unit}"
            text = text.replace("-", units.MINUS)
        elif "coefficients" in found:
            pairs = (f"{key} {value:.3g}" for key, value in found["coefficients"].items())
            text = f"mean coefficients: {', '.join(pairs)}".replace("-", units.MINUS)
        elif "quantiles" in found:
            factor, unit = units.display(evidence.spec).factor, units.display(evidence.spec).units
            pairs = (f"{key} {value * factor:.4g}" for key, value in found["quantiles"].items())
            text = f"mean quantiles ({unit}): {', '.join(pairs)}"
        elif "samples" in found:
            own, task = (found[f"operations_per_sample{k}"] / 1e9 for k in ("", "_of_task"))
            text = (
                f"trained on {found['samples']:.0f} samples of {own:.3g} GFLOP, as many operations as the "
                f"training of the task, whose samples take {task:.3g} GFLOP"
            )
        else:
            text = "nothing to fit"
        rows.append((Cell(units.MODELS.get(name, name)), Cell(text)))
    return Table("What the baselines were fitted to, on training days", ("Baseline", "Fit"), tuple(rows))
