"""Forecasts of a whole domain: rolled out step by step, its neighbourhoods being blended in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import ConfigError, DataError
from atmorep.inference import described
from atmorep.inference.blend import Blend, Cover
from atmorep.inference.progress import Progress
from atmorep.inference.request import Request, step_at
from atmorep.inference.rollout import Rollout, States, moved_on
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window

Report = Callable[[int], None]
"""Told how many neighbourhoods were predicted."""


@dataclass(frozen=True)
class Plan:
    """Which steps a forecast starts from, and how often the model predicts.

    Attributes:
        initial: step of the initial time on the input's axis.
        wanted: steps of the forecast.
        steps: that are predicted at a time, whole tokens of all fields.
        seen: steps that the first prediction starts from.
    """

    initial: int
    wanted: int
    steps: int
    seen: int

    @classmethod
    def of(cls, request: Request, hours: int, start: str | None) -> Plan:
        """Plan a forecast of ``hours`` from ``start``, by default the last time that all fields have.

        As much is predicted at a time as training has hidden of the end at most, or, where it never has, as
        the longest of ``evaluation.lead_hours`` takes.

        Raises:
            ConfigError: if ``hours`` or ``start`` is refused, or what is to be fed back is not predicted.
            DataError: if a state before the forecast is missing.
        """
        config, step = request.trained.config, request.given.axis.step
        if hours <= 0 or hours % step:
            raise ConfigError(
                f"hours = {hours}: must be a positive multiple of {step} h, the model's time step"
            )
        whole, beat = config.network.neighbourhood.time, request.beat
        if whole < 2 * beat:
            raise ConfigError(
                f"{request.folder}: a neighbourhood of one token step leaves nothing to start from"
            )
        longest = min(hours, _longest(config))
        beats = min(-(-longest // (beat * step)), whole // beat - 1)
        plan = cls(_initial(request, start), hours // step, beats * beat, whole - beats * beat)
        plan.verify(request)
        return plan

    @property
    def times(self) -> int:
        """How often the model predicts."""
        return -(-self.wanted // self.steps)

    @property
    def first(self) -> int:
        """First step of the first window."""
        return self.initial + 1 - self.seen

    def verify(self, request: Request) -> None:
        """Refuse what cannot be fed back, and an input that lacks a state.

        Raises:
            ConfigError, DataError: naming what and the remedy.
        """
        lost = set(request.trained.fields) - set(request.trained.model.predicted)
        if self.times > 1 and lost:
            raise ConfigError(
                f"the model does not predict {', '.join(sorted(lost))}, so that it cannot be fed back; ask "
                f"for {self.steps * request.given.axis.step} hours at most"
            )
        there, axis = request.given.available(), request.given.axis
        needed = np.arange(self.first, self.initial + 1)
        missing = [step for step in needed if step < 0 or not there[step]]
        if missing:
            raise DataError(
                f"the input lacks {axis.at(np.int64(missing[0]))}:00 UTC of a field; a forecast from "
                f"{axis.at(np.int64(self.initial))}:00 needs the {len(needed)} states every {axis.step} h "
                f"from {axis.at(np.int64(self.first))}:00 on: add them, or 'atmorep interpolate' them first"
            )
        for name, reader in request.given.readers.items():
            height, width = request.given.grid.shape
            values = reader.read(self.first, self.seen, 0, height, 0, width)
            _verify_finite(name, values, self.first, request)


def _longest(config: Config) -> int:
    """Hours that are predicted at a time at most, before they are rounded up to whole tokens."""
    half = config.network.neighbourhood.time * config.data.time_step // 2
    if config.masking.forecast:
        return config.masking.forecast_hours or half
    return max(config.evaluation.lead_hours, default=half)


def _initial(request: Request, start: str | None) -> int:
    axis, there = request.given.axis, request.given.available()
    if start is None:
        if not there.any():
            raise DataError("there is no time at which the input has all fields; give them at the same times")
        return int(np.flatnonzero(there)[-1])
    return step_at(axis, "start", start)


def _verify_finite(name: str, values: NDArray[np.float32], first: int, request: Request) -> None:
    lacking = np.isnan(values)
    if lacking.any():
        step, level, *_ = np.argwhere(lacking)[0]
        levels, axis = request.given.readers[name].levels, request.given.axis
        raise DataError(
            f"{name}, level {levels[level]}, {axis.at(np.int64(first + step))}:00: "
            f"{lacking[step, level].sum()} values are missing (NaN); 'atmorep fill' them first"
        )


def forecast(
    request: Request,
    plan: Plan,
    readers: Mapping[str, NeighbourhoodReader],
    what: str,
) -> xr.Dataset:
    """Return the forecast that is planned.

    Args:
        request: model and input.
        plan: of the forecast.
        readers: of the input, by field of the model.
        what: of what kind the forecast is.
    """
    rollout = Rollout(request.trained.model, readers, request.members, plan.steps, request.batch_size)
    parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in rollout.fields}
    with Progress(what, plan.times * len(request.cover.tiles)) as progress:
        for states in ahead(rollout, request.cover, plan.first, plan.times, progress.add):
            for name, values in states.items():
                parts[name].append(values)
    found = {name: np.concatenate(own, axis=2)[:, :, : plan.wanted] for name, own in parts.items()}
    axis = request.given.axis
    leads = [step * axis.step for step in range(1, plan.wanted + 1)]
    return request.result(found, described.forecast_times(axis.at(np.int64(plan.initial)), leads), what)


def ahead(rollout: Rollout, cover: Cover, start: int, count: int, report: Report) -> Iterator[States]:
    """Predict ``count`` times on over a domain, member by member.

    After each time the neighbourhoods' predictions are blended, and the next ones see the blended state: what
    crosses the sides of a neighbourhood goes on into the next one. Memory: a window of the domain, of all
    members after the first time.

    Args:
        rollout: predicts neighbourhoods.
        cover: neighbourhoods that overlap.
        start: first step of the neighbourhoods in time, whose last ``rollout.steps`` are not looked at.
        count: how often.
        report: told of the progress.

    Yields:
        Members (M, level, steps, row, column) of each predicted field.
    """
    before, domain = rollout.extent[0] - rollout.steps, (0, cover.rows.size, 0, cover.columns.size)
    seen: States = {}
    for name, reader in rollout.neighbourhoods.items():
        seen[name] = reader.reader.read(start, before, *domain).swapaxes(0, 1)[None]
    for number in range(count):
        predicted = _step(rollout, cover, start + number * rollout.steps, seen, report)
        yield predicted
        if number + 1 < count:
            seen = {name: moved_on(seen[name][None], own[None])[0] for name, own in predicted.items()}


def _step(rollout: Rollout, cover: Cover, start: int, seen: States, report: Report) -> States:
    """Predict (M, L, steps, row, column) of the domain from what is seen (1 | M, L, before, row, column)."""
    blends = {
        name: Blend(cover, (rollout.tails, seen[name].shape[1], rollout.steps)) for name in rollout.fields
    }
    members = len(next(iter(seen.values())))
    for tiles in cover.batches(max(1, rollout.batch_size // members)):
        cut = {name: np.stack([cover.cut(values, tile) for tile in tiles]) for name, values in seen.items()}
        found = rollout.step([Window(start, tile.row, tile.column) for tile in tiles], cut)
        for name, values in found.items():
            for tile, own in zip(tiles, values, strict=True):
                blends[name].add(tile, own)
        report(len(tiles))
    return {name: blend.values for name, blend in blends.items()}
