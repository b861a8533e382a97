"""The page: one section a field, rendered by the template beside this module."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from atmorep.config import Config
from atmorep.report import maps, units
from atmorep.report.evidence import Evidence
from atmorep.report.figures import Picture, error_by_time, skill_by_lead, skill_by_level, training_curves
from atmorep.report.skill import Scores, Table, all_scores, comparison
from atmorep.report.summary import SIMULATED


@dataclass(frozen=True)
class TaskSection:
    """Tables and figures of one field and task."""

    scores: Scores
    comparison: Table
    more_tables: tuple[Table, ...]
    skill: tuple[Picture, ...]
    times: Picture
    maps: tuple[Picture, ...]
    more_maps: tuple[Picture, ...]

    @classmethod
    def of(cls, config: Config, evidence: Evidence, scores: Scores) -> TaskSection:
        """Make all of one task."""
        middle = scores.levels[len(scores.levels) // 2]
        others = [level for level in scores.levels if level != middle]
        if len(scores.leads) > 1:
            skill = tuple(skill_by_lead(scores, level) for level in (middle, *others))
        else:
            skill = (skill_by_level(scores),)
        times = error_by_time(scores, evidence.statistics, middle, scores.leads[-1])
        drawn = _draw(config, evidence, scores)
        tables = (comparison(scores, "crps"), all_scores(scores))
        return cls(scores, comparison(scores), tables, skill, times, drawn[:1], drawn[1:])


@dataclass(frozen=True)
class FieldSection:
    """All of one field."""

    name: str
    title: str
    tasks: tuple[TaskSection, ...]
    trainings: tuple[Picture, ...]

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
            tuple(training_curves(one.title, one.log) for one in evidence.trainings),
        )

    @property
    def scores(self) -> list[Scores]:
        """Scores of all tasks."""
        return [task.scores for task in self.tasks]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        return [
            *(p for task in self.tasks for p in (*task.skill, task.times, *task.maps, *task.more_maps)),
            *self.trainings,
        ]


def _draw(config: Config, evidence: Evidence, scores: Scores) -> tuple[Picture, ...]:
    """Maps of the task's case, at most four.

    The longest lead time at the middle level comes first, then the shortest one, then the top and the
    bottom level.
    """
    if scores.task not in evidence.maps["task"].to_numpy():
        return ()
    levels, first, last = scores.levels, scores.leads[0], scores.leads[-1]
    middle = levels[len(levels) // 2]
    wanted = dict.fromkeys([(middle, last), (middle, first), (levels[0], last), (levels[-1], last)])
    simulated = config.source.kind == "simulated"
    pictures = []
    for level, lead in wanted:
        case = maps.Case.of(evidence.maps, scores, level, lead)
        if case is not None:
            pictures.append(maps.draw(case, scores, level, lead, simulated))
    return tuple(pictures)


@dataclass(frozen=True)
class Page:
    """Everything the template shows."""

    config: Config
    lede: str
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
