"""Tables and figures of one task, of a field or of a target."""

from __future__ import annotations

from dataclasses import dataclass

from atmorep.config import Config
from atmorep.report import maps
from atmorep.report.evidence import Evidence, ForecastEvidence, TaskEvidence
from atmorep.report.figures import Picture, error_by_time, skill_by_lead, skill_by_level
from atmorep.report.skill import Scores, Table, all_scores, comparison

Shown = Evidence | ForecastEvidence | TaskEvidence
"""What holds the statistics and maps of a task."""


@dataclass(frozen=True)
class TaskSection:
    """Tables and figures of one task of a field, or of a downstream task."""

    scores: Scores
    comparison: Table
    more_tables: tuple[Table, ...]
    skill: tuple[Picture, ...]
    times: Picture
    maps: tuple[Picture, ...]
    more_maps: tuple[Picture, ...]

    @classmethod
    def of(cls, config: Config, evidence: Shown, scores: Scores) -> TaskSection:
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


def _draw(config: Config, evidence: Shown, scores: Scores) -> tuple[Picture, ...]:
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
