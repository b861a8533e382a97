"""The zero-shot tasks: which tokens are hidden, which steps are scored, at which lead time.

A task is one small object; to add one, write a function and list it in ``TASKS``, and its name in
``config/evaluation.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from atmorep.config import Config
from atmorep.config.evaluation import asked
from atmorep.masking import Mask, Masked, Span, Spatial, Strategy
from atmorep.sampling.tokens import Size


@dataclass(frozen=True)
class Task:
    """One way to ask the model for something it cannot see.

    Attributes:
        name: as in ``metrics.csv``.
        initial_step: step of the neighbourhood that is the initial time.
        leads: lead times in hours, increasing, with the steps that are scored at each; negative ones go back.
        strategy: selects the tokens that are hidden; only their points are scored.
        baselines: what the model is compared with; the first is the reference shown in the maps.
        saved: True where a lead is one state of the whole domain, so that predictions are kept.
        together: True where all fields of a neighbourhood lack the same places.
    """

    name: str
    initial_step: int
    leads: tuple[tuple[int, tuple[int, ...]], ...]
    strategy: Strategy
    baselines: tuple[str, ...]
    saved: bool
    together: bool = False

    @property
    def lead_hours(self) -> tuple[int, ...]:
        """Lead times in hours."""
        return tuple(hours for hours, _ in self.leads)

    @property
    def steps(self) -> tuple[int, ...]:
        """All scored steps, by lead time."""
        return tuple(step for _, steps in self.leads for step in steps)


def to_points(mask: Mask, size: Size) -> Mask:
    """Spread a mask of tokens (level, time, latitude, longitude) over grid points.

    Returns:
        (step, level, row, column), the axes of the fields.
    """
    for axis, points in enumerate(size, start=1):
        mask = mask.repeat(points, axis=axis)
    return mask.swapaxes(0, 1)


def reconstruction(config: Config, field: str) -> Task:
    """Random tokens hidden, a share of ``evaluation.mask_ratio`` on each level.

    All hidden points of a neighbourhood are scored together, at lead time 0; the initial time is the
    middle step.
    """
    ratio, times = config.evaluation.mask_ratio, config.network.neighbourhood.time
    scored = ((0, tuple(range(times))),)
    names = ("linear", "persistence", "climatology")
    return Task("reconstruction", times // 2, scored, Masked(ratio, ratio), names, saved=False)


def forecast(config: Config, field: str) -> Task:
    """The last tokens hidden, as many as cover the longest of ``evaluation.lead_hours``.

    The initial time is the last visible step, right before the first hidden token.
    """
    token, step = config.token_size(field).time, config.data.time_step
    steps = config.network.neighbourhood.time
    leads = sorted(set(config.evaluation.lead_hours))
    first = steps + -leads[-1] // (token * step) * token
    scored = tuple((hours, (first - 1 + hours // step,)) for hours in leads)
    hidden = Span(first, steps, steps)
    return Task("forecast", first - 1, scored, hidden, ("persistence", "climatology"), saved=True)


def temporal_interpolation(config: Config, field: str) -> Task:
    """The middle token step hidden.

    Each of its steps is scored; lead times count from the last visible step before the gap, which is the
    initial time.
    """
    token, step = config.token_size(field).time, config.data.time_step
    first = config.tokens(field).time // 2 * token
    scored = tuple((k * step, (first - 1 + k,)) for k in range(1, token + 1))
    names = ("linear", "persistence", "climatology")
    hidden = Span(first, first + token, config.network.neighbourhood.time)
    return Task("temporal_interpolation", first - 1, scored, hidden, names, saved=True)


def hindcast(config: Config, field: str) -> Task:
    """The first tokens hidden, as many as cover the longest of ``evaluation.lead_hours``, back in time.

    The initial time is the first visible step, right behind the last hidden token; lead times are negative.
    """
    token, step = config.token_size(field).time, config.data.time_step
    steps = config.network.neighbourhood.time
    leads = sorted(set(config.evaluation.lead_hours), reverse=True)
    stop = -(-leads[0] // (token * step)) * token
    scored = tuple((-hours, (stop - hours // step,)) for hours in leads)
    return Task("hindcast", stop, scored, Span(0, stop, steps), ("persistence", "climatology"), saved=True)


def spatial(config: Config, field: str) -> Task:
    """A patch hidden at all times and levels and in all fields, as where no data are.

    It lies anywhere, and is ``evaluation.gap_ratio`` of the places. All hidden points are scored together,
    at lead time 0; the initial time is the middle step.
    """
    ratio, (times, *extent) = config.evaluation.gap_ratio, config.network.neighbourhood.shape
    scored = ((0, tuple(range(times))),)
    hidden = Spatial(ratio, ratio, 1, (extent[0], extent[1]))
    names = ("harmonic", "climatology")
    return Task("spatial", times // 2, scored, hidden, names, saved=False, together=True)


def rolled_out(config: Config, name: str) -> Task:
    """The forecasts of the fine-tuned task ``name``, whose predictions are fed back.

    Scored are those of ``evaluation.lead_hours`` that one prediction reaches, and the end of each prediction.
    Steps go on behind the neighbourhood, whose last ``hours`` are hidden.
    """
    task, step = config.forecast_tasks[name], config.data.time_step
    steps = config.network.neighbourhood.time
    first = steps - task.hours // step
    within = {hours for hours in config.evaluation.lead_hours if hours <= task.hours}
    leads = sorted(within | set(range(task.hours, task.longest + 1, task.hours)))
    scored = tuple((hours, (first - 1 + hours // step,)) for hours in leads)
    baselines = ("persistence", "climatology", "damped_persistence")
    return Task(name, first - 1, scored, Span(first, steps, steps), baselines, saved=True)


TASKS: tuple[Callable[[Config, str], Task], ...] = (
    reconstruction,
    forecast,
    temporal_interpolation,
    hindcast,
    spatial,
)
"""The tasks, by the names they have in ``evaluation.tasks``."""


def tasks(config: Config, field: str) -> list[Task]:
    """Return those of ``evaluation.tasks`` that the neighbourhood of ``field`` is long enough for."""
    names = asked(config, field)
    return [make(config, field) for make in TASKS if make.__name__ in names]
