"""Stage ``report``: collect the scores of all fields and write one self-contained page."""

from __future__ import annotations

import yaml

from atmorep import __version__
from atmorep.artefacts import write_text, written_aside
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.report import provenance
from atmorep.report.evidence import METRIC_COLUMNS, Evidence, collect
from atmorep.report.page import FieldSection, Page, render
from atmorep.report.skill import glance
from atmorep.report.summary import lede, normalisation, setup


def report(config: Config) -> None:
    """Write the scores of all fields, the figures and the report.

    ``Paths.metrics`` is the concatenation of the fields' metrics, in SI units; ``Paths.figures`` holds
    the figures of the page as files; ``Paths.report`` is the page. Each appears at once.

    Raises:
        IntegrityError: if an artefact of a field is missing or unreadable, naming the stage to run.
    """
    paths = Paths(config)
    evidence = [collect(config, name) for name in config.fields]
    write_text(paths.metrics, concatenated(config))
    sections = [FieldSection.of(config, field) for field in evidence]
    with written_aside(paths.figures) as folder:
        folder.mkdir()
        for picture in (p for section in sections for p in section.pictures):
            (folder / picture.name).write_bytes(picture.data)
    write_text(paths.report, render(_page(config, evidence, sections)))


def concatenated(config: Config) -> str:
    """The fields' metrics.csv one after the other, under one header, byte for byte."""
    paths = Paths(config)
    lines = [METRIC_COLUMNS]
    for name in config.fields:
        lines += (paths.evaluation(name) / "metrics.csv").read_text().splitlines()[1:]
    return "\n".join(lines) + "\n"


def _page(config: Config, evidence: list[Evidence], sections: list[FieldSection]) -> Page:
    paths = Paths(config)
    files = [paths.metrics, *(path for field in evidence for path in field.files)]
    return Page(
        config=config,
        lede=lede(config),
        setup=setup(config, evidence),
        glance=glance([scores for section in sections for scores in section.scores]),
        sections=sections,
        verification=provenance.verification(evidence),
        normalisation=normalisation(evidence),
        training=provenance.training_cost(evidence),
        stages=provenance.stage_cost(paths.results / "benchmarks", evidence),
        versions=provenance.versions(),
        artefacts=provenance.artefacts(files),
        commit=provenance.commit(),
        version=__version__,
        resolved=yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    )
