"""The page: one section a field, rendered by the template beside this module."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from atmorep.config import Config
from atmorep.report import maps, units
from atmorep.report.evidence import Evidence
from atmorep.report.figures import Picture, skill_by_lead, skill_by_level, training_curves
from atmorep.report.skill import Scores, Table, all_scores, comparison
from atmorep.report.summary import SIMULATED

MAPS_A_TASK = 6
"""Cases drawn a task: all lead times at one level first, then the other levels."""


@dataclass(frozen=True)
class TaskSection:
    """Tables and figures of one field and task."""

    scores: Scores
    comparison: Table
    all_scores: Table
    skill: tuple[Picture, ...]
    maps: tuple[Picture, ...]
    more_maps: tuple[Picture, ...]

    @classmethod
    def of(cls, config: Config, evidence: Evidence, scores: Scores) -> TaskSection:
        """Make all of one task."""
        if len(scores.leads) > 1:
            skill = tuple(skill_by_lead(scores, level) for level in scores.levels)
        else:
            skill = (skill_by_level(scores),)
        drawn = _draw(config, evidence, scores)
        return cls(scores, comparison(scores), all_scores(scores), skill, drawn[:1], drawn[1:])


@dataclass(frozen=True)
class FieldSection:
    """All of one field."""

    name: str
    title: str
    tasks: tuple[TaskSection, ...]
    training: Picture

    @classmethod
    def of(cls, config: Config, evidence: Evidence) -> FieldSection:
        """Make all tables and figures of one field."""
        kind, metrics = config.data.levels.type, evidence.metrics
        all_tasks = units.in_order(metrics["task"], units.TASKS)
        scores = [Scores.of(metrics, evidence.spec, task, kind) for task in all_tasks]
        return cls(
            evidence.spec.name,
            units.title(evidence.spec),
            tuple(TaskSection.of(config, evidence, one) for one in scores),
            training_curves(evidence.spec.name, evidence.training),
        )

    @property
    def scores(self) -> list[Scores]:
        """Scores of all tasks."""
        return [task.scores for task in self.tasks]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [
            *(p for task in self.tasks for p in (*task.skill, *task.maps, *task.more_maps)),
            self.training,
        ]


def _draw(config: Config, evidence: Evidence, scores: Scores) -> tuple[Picture, ...]:
    """Maps of the task's case: the longest lead time at the middle level first."""
    if scores.task not in evidence.maps["task"].to_numpy():
        return ()
    levels, leads = scores.levels, scores.leads[::-1]
    middle = levels[len(levels) // 2]
    wanted = [(middle, lead) for lead in leads] + [(level, leads[0]) for level in levels if level != middle]
    simulated = config.source.kind == "simulated"
    pictures = []
    for level, lead in wanted[:MAPS_A_TASK]:
        case = maps.Case.of(evidence.maps, scores, level, lead)
        if case is not None:
            pictures.append(maps.draw(case, scores, level, lead, simulated))
    return tuple(pictures)


@dataclass(frozen=True)
class Page:
    """Everything the template shows."""

    config: Config
    setup: Table
    glance: Table
    sections: list[FieldSection]
    verification: Table
    normalisation: Table
    training: Table
    stages: Table | None
    versions: Table
    artefacts: Table
    commit: str
    version: str
    resolved: str


def render(page: Page) -> str:
    """Return the page as HTML that needs nothing else; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("atmorep.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    simulated = SIMULATED if page.config.source.kind == "simulated" else ""
    template = environment.get_template("template.html")
    return template.render(page=page, simulated=simulated, metrics=units.METRICS)
