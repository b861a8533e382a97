"""The page: one section a field, rendered by the template beside this module."""

from __future__ import annotations

from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from atmorep.config import Config
from atmorep.report import units
from atmorep.report.evidence import Evidence
from atmorep.report.figures import Picture, training_curves
from atmorep.report.scorecard import Scorecard
from atmorep.report.section import TaskSection
from atmorep.report.skill import Scores, Table
from atmorep.report.summary import SIMULATED
from atmorep.report.tasks import DownstreamSection


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
        rolled = [
            (each, Scores.of(each.metrics, evidence.spec, each.name, kind)) for each in evidence.forecasts
        ]
        return cls(
            evidence.spec.name,
            units.title(evidence.spec),
            (
                *(TaskSection.of(config, evidence, one) for one in scores),
                *(TaskSection.of(config, forecast, one) for forecast, one in rolled),
            ),
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
            *(p for task in self.tasks for p in task.pictures),
            *self.trainings,
        ]


@dataclass(frozen=True)
class Page:
    """Everything the template shows."""

    config: Config
    lede: str
    setup: Table
    glance: tuple[Table, ...]
    scorecards: list[tuple[Scorecard, ...]]
    more_scorecards: list[tuple[Scorecard, ...]]
    sections: list[FieldSection]
    tasks: list[DownstreamSection]
    comparison: Table
    normalisation: Table
    training: Table
    stages: Table | None
    versions: Table
    artefacts: Table
    commit: str
    version: str
    resolved: str


def template_of(package: str) -> Template:
    """Return the ``template.html`` of ``package``; it escapes all text and refuses what is not defined."""
    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html")


def render(page: Page) -> str:
    """Return the page as HTML that needs nothing else; all text is escaped."""
    simulated = SIMULATED if page.config.source.kind == "simulated" else ""
    template = template_of("atmorep.report")
    return template.render(
        page=page,
        simulated=simulated,
        minus=units.MINUS,
        metrics={**units.METRICS, **units.TASK_METRICS},
    )
