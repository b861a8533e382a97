"""Scorecards: skill of every field, level, lead time and region against a baseline, at a glance."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from atmorep.report import units
from atmorep.report.skill import PAIRED, Scores, verdict

OWN = ("single", "zero_shot")
"""Models of AtmoRep among the baselines: a scorecard against them comes after those that are none."""

SHADES = (1, 5, 20, 50)
"""Per cent of skill from which a cell is shaded more."""


@dataclass(frozen=True)
class Mark:
    """One cell: skill in per cent, its shade, and whether it differs from zero (see :func:`verdict`)."""

    text: str
    shade: str
    clear: bool


@dataclass(frozen=True)
class Card:
    """Marks of one region: a row for each field and level, a column for each lead time."""

    region: str
    leads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Mark, ...]], ...]


@dataclass(frozen=True)
class Scorecard:
    """Cards of one task, score and baseline, region by region."""

    caption: str
    cards: tuple[Card, ...]


def skill(scores: Scores, metric: str, baseline: str, where: tuple[str, int, float]) -> float:
    """Skill in per cent: what the score of AtmoRep is less than the baseline's; NaN where not compared."""
    own, other = (scores.row(model, metric, where) for model in ("atmorep", baseline))
    if own is None or other is None or not other["value"]:
        return math.nan
    return 100 * (1 - float(own["value"]) / float(other["value"]))


def mark(scores: Scores, metric: str, baseline: str, where: tuple[str, int, float]) -> Mark:
    """The cell of one field, level, lead time and region."""
    value = skill(scores, metric, baseline, where)
    difference = scores.row("atmorep", f"{metric}{PAIRED}{baseline}", where)
    if not math.isfinite(value) or difference is None:
        return Mark("–", "none", False)
    clear = verdict(difference, units.metric(metric).better) in ("better", "worse")
    size = sum(abs(value) >= bound for bound in SHADES)
    sign = "+" if value > 0 else units.MINUS
    text = f"{sign}{abs(value):.0f}" if round(abs(value)) else "0"
    return Mark(text, f"{'up' if value > 0 else 'down'}{size}", clear)


def scorecards(all_tasks: Iterable[Scores], metric: str = "rmse") -> list[tuple[Scorecard, ...]]:
    """Scorecards of each task: against the strongest baseline first, then against the others.

    The strongest is the one over which the mean skill is least.
    """
    by_task: dict[str, list[Scores]] = {}
    for scores in all_tasks:
        by_task.setdefault(scores.task, []).append(scores)
    return [_of_task(several, metric) for several in by_task.values()]


def _of_task(several: list[Scores], metric: str) -> tuple[Scorecard, ...]:
    baselines = units.in_order((b for scores in several for b in scores.baselines), units.MODELS)
    ordered = sorted(baselines, key=lambda name: (name in OWN, _mean(several, metric, name)))
    return tuple(_scorecard(several, metric, name, not n) for n, name in enumerate(ordered))


def _mean(several: list[Scores], metric: str, baseline: str) -> float:
    """Mean skill over the whole domain."""
    found = [
        value
        for scores in several
        for level in scores.levels
        for lead in scores.leads
        if math.isfinite(value := skill(scores, metric, baseline, (scores.regions[0], level, lead)))
    ]
    return sum(found) / len(found) if found else math.inf


def _scorecard(several: list[Scores], metric: str, baseline: str, strongest: bool) -> Scorecard:
    regions = units.in_order((r for scores in several for r in scores.regions), units.REGIONS)
    leads = sorted({lead for scores in several for lead in scores.leads}, key=abs)
    cards = tuple(_card(several, metric, baseline, region, leads) for region in regions)
    against = units.MODELS.get(baseline, baseline).lower()
    caption = f"{several[0].title}: {units.metric(metric).title} against {against}"
    if strongest and len(several[0].baselines) > 1 and baseline not in OWN:
        caption += ", the strongest baseline"
    return Scorecard(caption, cards)


def _card(several: list[Scores], metric: str, baseline: str, region: str, leads: list[float]) -> Card:
    rows = tuple(
        (
            scores.field.name if scores.field.surface else f"{scores.field.name}, {scores.level(level)}",
            tuple(mark(scores, metric, baseline, (region, level, lead)) for lead in leads),
        )
        for scores in several
        for level in scores.levels
    )
    heads = tuple(several[0].lead(lead) if lead else "all" for lead in leads)
    return Card(units.REGIONS.get(region, region.replace("_", " ").capitalize()), heads, rows)
