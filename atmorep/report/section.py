"""Tables and figures of one task, of a field or of a target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from atmorep.config import Config
from atmorep.report import calibration, maps
from atmorep.report.evidence import Evidence, ForecastEvidence, TaskEvidence
from atmorep.report.figures import Picture, error_by_time, skill_by_lead, skill_by_level
from atmorep.report.skill import Scores, Table, all_scores, comparison

Shown = Evidence | ForecastEvidence | TaskEvidence
"""What holds the statistics and maps of a task."""


MOST_FRAMES = 9
"""Lead times whose maps are drawn."""


@dataclass(frozen=True)
class Frame:
    """Maps of one lead time, which is named."""

    label: str
    picture: Picture


@dataclass(frozen=True)
class TaskSection:
    """Tables and figures of one task of a field, or of a downstream task."""

    scores: Scores
    comparison: Table
    more_tables: tuple[Table, ...]
    skill: tuple[Picture, ...]
    times: Picture
    maps: tuple[Frame, ...]
    more_maps: tuple[Picture, ...]
    whole: tuple[Picture, ...]

    @property
    def pictures(self) -> list[Picture]:
        """All figures."""
        frames = (frame.picture for frame in self.maps)
        return [*self.skill, self.times, *frames, *self.more_maps, *self.whole]

    @classmethod
    def of(cls, config: Config, evidence: Shown, scores: Scores) -> TaskSection:
        """Make all of one task."""
        levels = scores.levels
        middle = levels[len(levels) // 2]
        others = [level for level in levels if level != middle]
        if len(scores.leads) > 1:
            skill = tuple(skill_by_lead(scores, level) for level in (middle, *others))
        else:
            skill = (skill_by_level(scores),)
        times = error_by_time(scores, evidence.statistics, middle, scores.longest)
        simulated = config.source.kind == "simulated"
        frames = _draw(simulated, evidence, scores, middle, _some(scores.leads))
        ends = [level for level in dict.fromkeys((levels[0], levels[-1])) if level != middle]
        more = [_draw(simulated, evidence, scores, level, [scores.longest]) for level in ends]
        whole = (
            () if isinstance(evidence, TaskEvidence) else calibration.pictures(scores, evidence.calibration)
        )
        return cls(
            scores,
            comparison(scores),
            (comparison(scores, "crps"), all_scores(scores)),
            skill,
            times,
            frames,
            tuple(frame.picture for drawn in more for frame in drawn),
            whole,
        )


def _some(leads: list[float]) -> list[float]:
    """At most ``MOST_FRAMES`` of the lead times, from the initial time away."""
    places = np.unique(np.linspace(0, len(leads) - 1, MOST_FRAMES).round().astype(int))
    return sorted((leads[place] for place in places), key=abs)


def _draw(
    simulated: bool, evidence: Shown, scores: Scores, level: int, leads: list[float]
) -> tuple[Frame, ...]:
    """Maps of the task's case at one level, in the same colours at all lead times."""
    if scores.task not in evidence.maps["task"].to_numpy():
        return ()
    found = {lead: maps.Case.of(evidence.maps, scores, level, lead) for lead in leads}
    cases = {lead: case for lead, case in found.items() if case is not None}
    if not cases:
        return ()
    palette = maps.Palette.of(cases.values())
    return tuple(
        Frame(scores.lead(lead), maps.draw(case, palette, scores, level, lead, simulated))
        for lead, case in cases.items()
    )
