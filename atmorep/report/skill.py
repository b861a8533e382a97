"""Skill tables: every score with its 95 % interval, and whether AtmoRep differs from a baseline."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from atmorep.fields import Field
from atmorep.report import units

TARGET = "target"
"""Name of the target among the models of metrics.csv."""

MAIN_REGIONS = ("domain", "holdout")
"""Regions of the tables of scores."""

PAIRED = "_minus_"
"""Marks the metric of a paired difference, e.g. ``rmse_minus_persistence``."""


@dataclass(frozen=True)
class Cell:
    """One cell: its text, the interval below it, what it says (see :func:`verdict`), and cells below."""

    text: str
    note: str = ""
    kind: str = ""
    below: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table: the first ``labels`` columns name the row."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    labels: int = 1


@dataclass(frozen=True)
class Scores:
    """The scores of one field and task in the units they are shown in.

    Attributes:
        field: the field.
        task: the task.
        level_type: ``model`` or ``pressure``.
        table: rows of metrics.csv of this field and task.
    """

    field: Field
    task: str
    level_type: str
    table: pd.DataFrame

    @classmethod
    def of(cls, metrics: pd.DataFrame, field: Field, task: str, level_type: str) -> Scores:
        """Select the task and convert to the units shown."""
        table = metrics[metrics["task"] == task].copy()
        base = table["metric"].str.split(PAIRED).str[0]
        physical = base.map(lambda name: units.metric(name).physical).to_numpy(bool)
        for column in ("value", "lower", "upper"):
            factor = np.where(physical, units.display(field).factor, 1.0)
            table[column] = table[column].to_numpy(float) * factor
        return cls(field, task, level_type, table)

    @property
    def title(self) -> str:
        """Name of the task."""
        return units.TASKS.get(self.task, self.task.replace("_", " ").capitalize())

    @property
    def models(self) -> list[str]:
        """Models, AtmoRep first; the target itself, whose distribution is in the table, is none."""
        return [name for name in units.in_order(self.table["model"], units.MODELS) if name != TARGET]

    @property
    def baselines(self) -> list[str]:
        """Models other than AtmoRep."""
        return [name for name in self.models if name != "atmorep"]

    @property
    def metrics(self) -> list[str]:
        """Scores of all values; paired differences and scores of events, sizes or hours are left out."""
        single = self.table.loc[~self.table["metric"].str.contains(f"{PAIRED}|[>@]"), "metric"]
        return units.in_order(single, {**units.METRICS, **units.TASK_METRICS})

    def family(self, base: str) -> list[str]:
        """Scores that differ in a number only, such as all ``power_ratio@...``, in the order of the table."""
        names = self.table["metric"].drop_duplicates()
        return [name for name in names if re.fullmatch(f"{base}[>@][^_]*", name)]

    @property
    def regions(self) -> list[str]:
        """Regions, the whole domain first."""
        return units.in_order(self.table["region"], ("domain",))

    @property
    def main_regions(self) -> list[str]:
        """Regions of the tables; all are on the scorecards and in metrics.csv."""
        return [name for name in self.regions if name in MAIN_REGIONS]

    @property
    def levels(self) -> list[int]:
        """Levels from the top of the atmosphere down: model levels and pressures increase downward."""
        return sorted(set(self.table["level"]))

    @property
    def leads(self) -> list[float]:
        """Lead times in hours, increasing; negative ones go back."""
        return sorted(set(self.table["lead_hours"]))

    @property
    def longest(self) -> float:
        """The lead time that is farthest from the initial time."""
        return max(self.leads, key=abs)

    def at(self, level: int, lead: float) -> Scores:
        """Those at one level and lead time."""
        chosen = (self.table["level"] == level) & (self.table["lead_hours"] == lead)
        return replace(self, table=self.table[chosen])

    def heading(self, metric: str) -> str:
        """Heading of a column of ``metric`` with its units."""
        shown = units.metric(metric)
        return f"{shown.title} ({units.display(self.field).units if shown.physical else shown.units})"

    def level(self, level: int) -> str:
        """Name of a level."""
        if self.field.surface or not level:
            return "surface"
        return f"{level} hPa" if self.level_type == "pressure" else f"model level {level}"

    def lead(self, hours: float) -> str:
        """Name of a lead time."""
        return f"{units.number(hours, 0)} h" if hours else "–"

    def curve(self, model: str, metric: str, level: int, region: str) -> pd.DataFrame:
        """Rows of one model, score, level and region by lead time."""
        t = self.table
        chosen = (t["model"] == model) & (t["metric"] == metric) & (t["level"] == level)
        return t[chosen & (t["region"] == region)].sort_values("lead_hours")

    @cached_property
    def _rows(self) -> dict[tuple[Any, ...], dict[Any, Any]]:
        keys = self.table[["model", "metric", "region", "level", "lead_hours"]].itertuples(index=False)
        rows = self.table[["value", "lower", "upper", "n"]].to_dict("records")
        return dict(zip((tuple(key) for key in keys), rows, strict=True))

    def row(self, model: str, metric: str, where: tuple[str, int, float]) -> dict[Any, Any] | None:
        """One score at (region, level, lead time), if it is there: value, lower, upper and n."""
        return self._rows.get((model, metric, *where))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {str(name): units.decimals(rows) for name, rows in self.table.groupby("metric")["value"]}

    def places(self, metric: str) -> int:
        """Decimals of a score and its paired differences."""
        return self._places.get(metric, 2)


def verdict(difference: dict[Any, Any], better: str) -> str:
    """Say ``better``, ``worse``, ``even`` or ``unknown`` of a paired difference AtmoRep minus baseline.

    Only an interval that excludes zero is called a difference; without an interval nothing is known.
    """
    lower, upper = float(difference["lower"]), float(difference["upper"])
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return "unknown"
    if lower <= 0 <= upper:
        return "even"
    return "better" if (upper < 0) == (better == "lower") else "worse"


_WORDS = {
    "better": "better",
    "worse": "worse",
    "even": "no clear difference",
    "unknown": "too few cases to tell",
}


def score(row: dict[Any, Any] | None, places: int) -> Cell:
    """A score and its interval; a dash where there is none."""
    if row is None or not math.isfinite(row["value"]):
        return Cell("–")
    return Cell(units.number(row["value"], places), units.interval(row["lower"], row["upper"], places))


def _share(scores: Scores, metric: str, baseline: str, where: tuple[str, int, float]) -> float:
    """Size of the paired difference over the baseline's score."""
    row = scores.row("atmorep", f"{metric}{PAIRED}{baseline}", where)
    reference = scores.row(baseline, metric, where)
    if row is None or reference is None or not reference["value"]:
        return math.nan
    return abs(float(row["value"]) / float(reference["value"]))


def difference(scores: Scores, metric: str, baseline: str, where: tuple[str, int, float]) -> Cell:
    """What the paired difference of a score to a baseline says."""
    row = scores.row("atmorep", f"{metric}{PAIRED}{baseline}", where)
    if row is None:
        return Cell("not compared")
    kind, places = verdict(row, units.metric(metric).better), scores.places(metric)
    share = _share(scores, metric, baseline, where)
    known = kind in ("better", "worse") and math.isfinite(share)
    text = f"{_WORDS[kind]} by {100 * share:.0f} %" if known else _WORDS[kind]
    note = f"{units.number(row['value'], places)} {units.interval(row['lower'], row['upper'], places)}"
    return Cell(text, note, kind)


def _where(scores: Scores) -> list[tuple[str, int, float]]:
    known = set(zip(scores.table["region"], scores.table["level"], scores.table["lead_hours"], strict=True))
    return [
        (region, level, lead)
        for region in scores.main_regions
        for level in scores.levels
        for lead in scores.leads
        if (region, level, lead) in known
    ]


def _place(scores: Scores, where: tuple[str, int, float]) -> list[Cell]:
    region, level, lead = where
    cells = [Cell(region)] if len(scores.main_regions) > 1 else []
    return [*cells, Cell(scores.level(level)), Cell(scores.lead(lead))]


def _place_head(scores: Scores) -> list[str]:
    return [*(["Region"] if len(scores.main_regions) > 1 else []), "Level", "Lead time"]


def comparison(scores: Scores, metric: str = "rmse") -> Table:
    """One score of AtmoRep beside each baseline's, and what the paired difference says below that."""
    places = scores.places(metric)
    head = [*_place_head(scores)]
    head += [f"{units.MODELS.get(m, m)} {scores.heading(metric)}" for m in scores.models]
    rows = []
    for where in _where(scores):
        own = scores.row("atmorep", metric, where)
        cells = [*_place(scores, where), score(own, places)]
        for baseline in scores.baselines:
            said = difference(scores, metric, baseline, where)
            cells.append(replace(score(scores.row(baseline, metric, where), places), below=(said,)))
        rows.append((*cells, Cell("–" if own is None else f"{own['n']:.0f}")))
    unit = units.display(scores.field).units if units.metric(metric).physical else "1"
    caption = (
        f"{units.title(scores.field)}, {scores.title.lower()}: {scores.heading(metric)} with 95 % intervals; "
        f"below each baseline how AtmoRep is, and AtmoRep minus baseline ({unit})"
    )
    return Table(caption, (*head, "Initial times"), tuple(rows), len(_place_head(scores)))


def all_scores(scores: Scores) -> Table:
    """Every score, row by row, of every model."""
    head = [*_place_head(scores), "Score", *(units.MODELS.get(model, model) for model in scores.models)]
    rows = []
    for where in _where(scores):
        for metric in scores.metrics:
            found = [scores.row(model, metric, where) for model in scores.models]
            if any(row is not None for row in found):
                cells = [score(row, scores.places(metric)) for row in found]
                rows.append((*_place(scores, where), Cell(scores.heading(metric)), *cells))
    caption = f"{units.title(scores.field)}, {scores.title.lower()}: all scores with 95 % intervals"
    return Table(caption, tuple(head), tuple(rows), len(_place_head(scores)) + 1)


def _summary(scores: Scores, lead: float, baseline: str) -> Cell:
    """Verdict on RMSE against one baseline over all levels."""
    places = [(scores.regions[0], level, lead) for level in scores.levels]
    cells = [difference(scores, "rmse", baseline, where) for where in places]
    if len(cells) == 1 and cells[0].note:
        return replace(cells[0], note=f"{cells[0].note} {units.display(scores.field).units}")
    kinds = [cell.kind for cell in cells if cell.kind]
    if not kinds:
        return Cell("–")
    if len(set(kinds)) > 1:
        counts = ((kind, kinds.count(kind)) for kind in _WORDS if kind in kinds)
        text = ", ".join(f"{_WORDS[kind]} at {count} of {len(kinds)} levels" for kind, count in counts)
        return Cell(text, kind="even")
    if kinds[0] not in ("better", "worse"):
        return Cell(f"{_WORDS[kinds[0]]}, all {len(kinds)} levels", kind=kinds[0])
    shares = [100 * _share(scores, "rmse", baseline, where) for where in places]
    note = f"by {min(shares):.0f} to {max(shares):.0f} %"
    return Cell(f"{_WORDS[kinds[0]]} at all {len(kinds)} levels", note, kinds[0])


def glance(all_tasks: list[Scores], what: str) -> Table:
    """The verdict on RMSE of every field, task and lead time against every baseline.

    Args:
        all_tasks: those of the table.
        what: they are, in words.
    """
    baselines = units.in_order((b for s in all_tasks for b in s.baselines), units.MODELS)
    head = ("Field", "Task", "Lead time", *(f"Against {units.MODELS.get(b, b).lower()}" for b in baselines))
    rows = [
        (
            Cell(f"{units.title(scores.field)} ({scores.field.name})"),
            Cell(scores.title),
            Cell(scores.lead(lead)),
            *(_summary(scores, lead, baseline) for baseline in baselines),
        )
        for scores in all_tasks
        for lead in scores.leads
    ]
    caption = (
        f"{what}: RMSE of AtmoRep against each baseline, where the 95 % interval of the paired difference "
        "excludes zero; below, the difference with its interval, or its range over the levels in per cent"
    )
    return Table(caption, head, tuple(rows), 3)
