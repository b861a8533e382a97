"""Stage ``report``: collect the scores of all fields and tasks and write one self-contained page."""

from __future__ import annotations

import yaml

from atmorep import __version__, integrity
from atmorep.artefacts import write_text, written_aside
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.report import provenance
from atmorep.report.evidence import METRIC_COLUMNS, Evidence, TaskEvidence, collect, collect_task
from atmorep.report.page import FieldSection, Page, render
from atmorep.report.scorecard import scorecards
from atmorep.report.skill import glance
from atmorep.report.summary import lede, normalisation, setup
from atmorep.report.tasks import DownstreamSection


def report(config: Config) -> None:
    """Write the scores of all fields and downstream tasks, the figures and the report.

    ``Paths.metrics`` is the concatenation of their metrics, in SI units; ``Paths.figures`` holds
    the figures of the page as files; ``Paths.report`` is the page. Each appears at once.

    Raises:
        IntegrityError: if an artefact is missing or unreadable, naming the stage to run.
    """
    paths = Paths(config)
    evidence = [collect(config, name) for name in config.fields]
    of_tasks = [collect_task(config, name) for name in config.target_tasks]
    write_text(paths.metrics, concatenated(config))
    listed = paths.results / integrity.NAME
    listed.unlink(missing_ok=True)
    sections = [FieldSection.of(config, field) for field in evidence]
    tasks = [DownstreamSection.of(config, task) for task in of_tasks]
    with written_aside(paths.figures) as folder:
        folder.mkdir()
        of_fields = (p for section in sections for p in section.pictures)
        for picture in (*of_fields, *(p for task in tasks for p in task.pictures)):
            (folder / picture.name).write_bytes(picture.data)
    write_text(paths.report, render(_page(config, evidence, of_tasks, sections, tasks)))
    files = [paths.metrics, paths.report, *sorted(paths.figures.iterdir())]
    sources = [path for field in evidence for path in field.files]
    sources += [path for task in of_tasks for path in task.files]
    integrity.write(
        listed,
        [integrity.entry(path, paths.results) for path in files],
        remedy="rerun 'atmorep report'",
        sources=[integrity.entry(path) for path in dict.fromkeys(sources)],
    )


def concatenated(config: Config) -> str:
    """The metrics.csv of all fields and tasks one after the other, under one header, byte for byte."""
    paths, lines = Paths(config), [METRIC_COLUMNS]
    folders = [paths.evaluation(name) for name in config.fields]
    for folder in (*folders, *(paths.task_evaluation(name) for name in config.finetune)):
        lines += (folder / "metrics.csv").read_text().splitlines()[1:]
    return "\n".join(lines) + "\n"


def _page(
    config: Config,
    evidence: list[Evidence],
    of_tasks: list[TaskEvidence],
    sections: list[FieldSection],
    tasks: list[DownstreamSection],
) -> Page:
    paths = Paths(config)
    files = [paths.metrics, *dict.fromkeys(path for field in evidence for path in field.files)]
    files += [path for task in of_tasks for path in task.files]
    of_sections = [scores for section in sections for scores in section.scores]
    trainings = [training for field in evidence for training in field.trainings]
    return Page(
        config=config,
        lede=lede(config),
        setup=setup(config, evidence),
        glance=(glance(of_sections, "Fields"), *(glance([task.task.scores], task.title) for task in tasks)),
        scorecards=scorecards(of_sections),
        more_scorecards=scorecards(of_sections, "crps"),
        sections=sections,
        tasks=tasks,
        comparison=provenance.comparison(evidence),
        normalisation=normalisation(evidence),
        training=provenance.training_cost([*trainings, *(task.training for task in of_tasks)]),
        stages=provenance.stage_cost(paths.results / "benchmarks", files),
        versions=provenance.versions(),
        artefacts=provenance.artefacts(files),
        commit=provenance.commit(),
        version=__version__,
        resolved=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
