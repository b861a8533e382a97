"""A trained downstream task in a user's hands: its target predicted from any ERA5-like dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.downstream import bundle
from atmorep.downstream.batches import PatchReader
from atmorep.downstream.bundle import TaskBundle
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.errors import ConfigError, DataError
from atmorep.grids import Grid
from atmorep.inference import described
from atmorep.inference.dataset import Given, given
from atmorep.inference.progress import Progress
from atmorep.inference.request import Datasets, chosen_members, origin, several


@dataclass(frozen=True)
class FineTuned(TaskBundle):
    """A trained downstream task, and what it is used for.

    What datasets may be is said at :class:`~atmorep.inference.pretrained.Pretrained`; here they lie on the
    model's grid and hold the neighbourhoods around the target's region.

    Attributes:
        folder: the bundle.
    """

    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Load the bundle ``folder``.

        Raises:
            IntegrityError: as :func:`atmorep.downstream.bundle.load` does.
        """
        return cls(**vars(bundle.load(folder)), folder=Path(folder))

    def downscale(self, datasets: Datasets, *, members: int | None = None) -> xr.Dataset:
        """Predict the target on its fine grid, at all times that the input has a neighbourhood around.

        Args:
            datasets: of the model's fields.
            members: of the ensemble; default all.

        Returns:
            The target's field, with dimensions time, number, latitude, longitude.

        Raises:
            ConfigError: if the target is precipitation, or there are not so many members.
            DataError: if the input is not as the model needs it.
            SourceError: if it lacks a field or a level.
        """
        if self.scale.field == "tp":
            raise ConfigError(f"{self.folder}: predicts precipitation; use 'atmorep precipitation'")
        return self._predict(datasets, members, "Downscaling")

    def precipitation(self, datasets: Datasets, *, members: int | None = None) -> xr.Dataset:
        """Predict precipitation as the target knows it; otherwise as :meth:`downscale`."""
        if self.scale.field != "tp":
            raise ConfigError(f"{self.folder}: predicts {self.scale.field}; use 'atmorep downscale'")
        return self._predict(datasets, members, "Precipitation")

    def _predict(self, datasets: Datasets, members: int | None, what: str) -> xr.Dataset:
        count = chosen_members(members, self.config.target_task(self.task).head.tails)
        own = given(several(datasets), self.config, self.fields, Grid.from_config(self.config.data.grid))
        predictor = DownstreamPredictor.of(self, own.readers)
        starts = self._starts(predictor.reader, own)
        values, times = list[NDArray[np.float32]](), list[int]()
        with Progress(what, len(starts)) as progress:
            for start in starts:
                values.append(predictor.predict([start])[0, :count])
                times += range(start + predictor.steps.start, start + predictor.steps.stop)
                progress.add(1)
        states = np.concatenate(values, axis=1)[:, None]  # a level of its own
        when = described.valid_times(own.axis.at(np.array(times)))
        variable = described.variable(
            self.config, self.scale.field, states, when, predictor.grid, **self._interval()
        )
        said = [origin(datasets), *own.remarks.said]
        return described.dataset([variable], self.config, self.folder, what, said)

    def _starts(self, reader: PatchReader, own: Given) -> list[int]:
        """First steps of neighbourhoods, so that each time is predicted once where it can be.

        Raises:
            DataError: if there is none, or the input is too small.
        """
        _verify_covered(reader, own)
        whole, steps = self.config.network.neighbourhood.time, reader.steps
        there, guessed = own.available(), reader.guessed()
        found, free = [], 0
        for start in range(own.axis.size - whole + 1):
            wanted = slice(start + steps.start, start + steps.stop)
            if wanted.start >= free and there[start : start + whole].all() and guessed[wanted].all():
                found.append(start)
                free = wanted.stop
        if not found:
            raise DataError(
                f"the input has no {whole} steps of {own.axis.step} h on end, as many as the model sees at "
                "once, in which no time of a field is missing; add times, or 'atmorep interpolate' them first"
            )
        return found

    def _interval(self) -> dict[str, str]:
        time = self.config.targets[self.config.target_task(self.task).target].time
        if time.kind == "instant":
            return {"cell_methods": "time: point"}
        return {"cell_methods": f"time: {time.kind} (interval: {time.window_hours} hour)"}


def _verify_covered(reader: PatchReader, own: Given) -> None:
    """Refuse an input that is smaller than the neighbourhoods around the region."""
    neighbourhoods = next(iter(reader.readers.values()))
    extent, grid = neighbourhoods.extent, neighbourhoods.reader.grid
    windows = [patch.window for patch, _, _ in reader.patches.tiles(0)]
    states = next(iter(own.readers.values()))
    if all(states.covers(w.row, extent.latitude, w.column, extent.longitude) for w in windows):
        return
    rows, columns = [w.row for w in windows], [w.column for w in windows]
    south = grid.north - grid.resolution * (max(rows) + extent.latitude - 1)
    east = grid.west + grid.resolution * (max(columns) + extent.longitude - 1)
    north, west = grid.north - grid.resolution * min(rows), grid.west + grid.resolution * min(columns)
    raise DataError(
        f"the input, {own.grid.latitude[-1]:g} to {own.grid.north:g} N and {own.grid.west:g} to "
        f"{own.grid.longitude[-1]:g} E, does not hold the neighbourhoods of the target's region; give at "
        f"least {south:g} to {north:g} N and {west:g} to {east:g} E"
    )
