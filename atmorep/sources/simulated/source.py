"""The source ``simulated``: months of a simulated atmosphere, one after the other, as GRIB.

The workflow asks this class for groups and paths while it plans; JAX is loaded by jobs only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config, SimulatedSource
from atmorep.errors import SourceError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import Group, Target
from atmorep.timeaxis import Span, data_spans

if TYPE_CHECKING:
    from atmorep.sources.grib_writer import GribWriter
    from atmorep.sources.simulated.model import Model, Weather

    Writers = dict[tuple[str, int], GribWriter]
    Found = dict[str, NDArray[np.float32]]

HIGHEST, LOWEST = 5_000.0, 101_325.0
"""Pressures in Pa between which levels may lie: the top layer's centre, and the mean sea level's."""

_HOUR = np.timedelta64(1, "h")


class Simulated:
    """A simulated atmosphere; see :class:`atmorep.sources.Source`.

    It is an initial value problem: each span starts from the state at the end of the one before.
    """

    def __init__(self, config: Config, source: SimulatedSource) -> None:
        """Bind the configuration."""
        self._config, self._source = config, source
        self._grid = Grid.from_config(config.data.grid)
        self._spans = data_spans(config.data)

    def check(self) -> None:
        """Look whether fields and levels can be simulated.

        Any time step will do: the physics acts every hour.

        Raises:
            SourceError: naming what is lacking and the remedy.
        """
        try:
            from atmorep.sources.simulated.fields import DIAGNOSED
        except ImportError as error:
            raise SourceError(
                f"source.kind = simulated: {error}; install it with pip install 'atmorep[simulation]'"
            ) from None
        for name in self._config.fields:
            if name not in DIAGNOSED:
                raise SourceError(
                    f"fields.{name}: the simulated atmosphere has no {name}; use some of "
                    f"{', '.join(sorted(DIAGNOSED))}, or another source"
                )
        if any(not known_field(name).surface for name in self._config.fields):
            self._check_levels()

    def _check_levels(self) -> None:
        from atmorep.sources.simulated.levels import coefficients

        levels = self._config.data.levels
        for level, a, b in zip(levels.values, *coefficients(levels), strict=True):
            if not HIGHEST <= a + b * LOWEST <= LOWEST:
                raise SourceError(
                    f"data.levels.values: {levels.type} level {level} lies at {(a + b * LOWEST) / 100:.4g} "
                    f"hPa; the simulated atmosphere reaches from {HIGHEST / 100:.0f} to "
                    f"{LOWEST / 100:.0f} hPa: remove the level or use another source"
                )

    def groups(self) -> list[Group]:
        """Everything comes from one run, so that there is one group."""
        fields = self._config.fields
        members = tuple((name, level) for name in fields for level in self._config.store_levels(name))
        return [Group("all", members)]

    def previous(self, span: Span) -> Span | None:
        """The span whose final state ``span`` starts from; None if it is the first.

        Raises:
            SourceError: if the configuration has no such span.
        """
        if span not in self._spans:
            known = ", ".join(str(s) for s in self._spans)
            raise SourceError(f"span {span} is not one of the configuration's: {known}")
        index = self._spans.index(span)
        return self._spans[index - 1] if index else None

    def state_path(self, span: Span) -> Path:
        """State of the atmosphere at the end of ``span``, which its job writes beside the fields."""
        return Paths(self._config).raw_folder / "state" / f"{span}.npz"

    def fetch(self, group: Group, span: Span, target: Target) -> None:
        """Integrate over ``span`` and write the files of ``group``, and the state at the end.

        Raises:
            SourceError: if the state to start from is not there yet.
            IntegrityError: if it is broken.
            DataError: if the model's state is not finite any more.
        """
        from atmorep.sources.simulated.fields import Output
        from atmorep.sources.simulated.model import Model, save

        model = Model(self._source.truncation)
        names = tuple(dict.fromkeys(name for name, _ in group.members))
        output = Output(model.core, self._grid, self._config.data.levels, names)
        weather, hours = self._start(model, span), span.hours(1)
        with self._writers(group, target) as writers:
            for time in hours:
                if time.item().hour % self._config.data.time_step == 0:
                    self._write(output.fields(weather), time, writers)
                weather = model.advance(weather, time)
        save(self.state_path(span), weather, hours[-1] + _HOUR)

    def _start(self, model: Model, span: Span) -> Weather:
        """State at 00 UTC of the first day of ``span``; gaps between spans are integrated through."""
        from atmorep.sources.simulated.model import load

        before, start = self.previous(span), span.hours(1)[0]
        if before is None:
            weather = model.initial(self._source.seed)
            time = start - np.timedelta64(24 * self._source.spin_up_days, "h")
        else:
            path = self.state_path(before)
            if not path.exists():
                raise SourceError(f"span {span}: its start, {path}, is absent; fetch span {before} first")
            weather, time = load(path)
        while time < start:
            weather, time = model.advance(weather, time), time + _HOUR
        return weather

    @contextmanager
    def _writers(self, group: Group, target: Target) -> Iterator[Writers]:
        """Open a writer for each member: edition 1, or 2 for model levels, as the archive has it."""
        from atmorep.sources.grib_writer import GribWriter
        from atmorep.sources.simulated.levels import half_levels

        hybrid = np.concatenate(half_levels()) if self._config.data.levels.type == "model" else None
        with ExitStack() as stack:
            writers = {}
            for name, level in group.members:
                on_model_level = hybrid is not None and not known_field(name).surface
                writer = GribWriter(
                    target(name, level),
                    self._grid,
                    edition=2 if on_model_level else 1,
                    hybrid=hybrid if on_model_level else None,
                )
                writers[name, level] = stack.enter_context(writer)
            yield writers

    def _write(self, found: Found, time: np.datetime64, writers: Writers) -> None:
        for (name, level), writer in writers.items():
            surface = known_field(name).surface
            levels = self._config.store_levels(name)
            kind = "surface" if surface else self._config.data.levels.type
            writer.write(name, kind, level, time, found[name][levels.index(level)])
