"""A trained model and the input it is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.bundle import Bundle
from atmorep.errors import ConfigError, DataError
from atmorep.grids import Grid
from atmorep.inference import described
from atmorep.inference.blend import Cover
from atmorep.inference.dataset import Given, given, named
from atmorep.inference.placed import offset
from atmorep.inference.predictor import verify_normalised
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.store.normalisation import Normalisation
from atmorep.timeaxis import TimeAxis

Datasets = xr.Dataset | Sequence[xr.Dataset]
"""One dataset opened by xarray, or several among which fields, levels and times are shared out."""


def several(datasets: Datasets) -> list[xr.Dataset]:
    """Return the datasets as a list."""
    return [datasets] if isinstance(datasets, xr.Dataset) else list(datasets)


def chosen_members(members: int | None, tails: int) -> int:
    """Return how many members are wanted; all where it is not said.

    Raises:
        ConfigError: if there are not so many.
    """
    if members is not None and not 1 <= members <= tails:
        raise ConfigError(f"members = {members}: the model has 1 to {tails}")
    return members or tails


def step_at(axis: TimeAxis, key: str, time: str) -> int:
    """Return the step of ``axis`` at a time that the user gave as ``key``, ISO 8601, UTC.

    Raises:
        ConfigError: if it is no time of the axis.
    """
    try:
        return int(axis.index(np.datetime64(time)))
    except ValueError as error:
        last = axis.at(np.int64(axis.size - 1))
        raise ConfigError(
            f"{key} = {time}: is none of the input's times, {axis.origin} to {last} every {axis.step} h "
            f"({error})"
        ) from None


def origin(datasets: Datasets) -> str:
    """Names of the files that datasets were opened from, as far as they are known."""
    return ", ".join(dict.fromkeys(named(dataset) for dataset in several(datasets)))


@dataclass(frozen=True)
class Request:
    """A trained model of fields, and an input.

    Attributes:
        trained: the model.
        folder: its bundle.
        given: the input.
        members: of the ensemble, the first tails.
        origin: names of the input.
    """

    trained: Bundle
    folder: Path
    given: Given
    members: int
    origin: str

    @classmethod
    def of(cls, trained: Bundle, folder: Path, datasets: Datasets, members: int | None) -> Request:
        """Read the headers of ``datasets``.

        Raises:
            AtmoRepError: if one is not as the model needs it, or it has not so many members.
        """
        verify_normalised(trained, folder)
        count = chosen_members(members, trained.config.network.tails)
        own = given(several(datasets), trained.config, trained.fields)
        _verify_large(own.grid, trained)
        return cls(trained, folder, own, count, origin(datasets))

    @cached_property
    def readers(self) -> dict[str, NeighbourhoodReader]:
        """Readers of the input's neighbourhoods, by field of the model."""
        return {
            name: NeighbourhoodReader(self.trained.config, name, reader, self._normalisation(name))
            for name, reader in self.given.readers.items()
        }

    @cached_property
    def cover(self) -> Cover:
        """Neighbourhoods that cover the domain."""
        extent = self.trained.config.network.neighbourhood
        return Cover.of(self.given.grid, extent.latitude, extent.longitude)

    @property
    def batch_size(self) -> int:
        """Neighbourhoods that the network is given at a time."""
        return self.trained.config.evaluation.batch_size

    @property
    def beat(self) -> int:
        """Fewest time steps that are whole tokens of all fields."""
        return self.trained.config.beat(*self.trained.fields)

    def states(self, name: str) -> NDArray[np.float32]:
        """Return all states of a field (level, time, row, column)."""
        height, width = self.given.grid.shape
        return self.given.readers[name].read(0, self.given.axis.size, 0, height, 0, width).swapaxes(0, 1)

    def result(
        self, states: Mapping[str, NDArray[np.float32]], when: described.When, what: str
    ) -> xr.Dataset:
        """Describe members (M, level, time, row, column) of each predicted field."""
        config, grid = self.trained.config, self.given.grid
        fields = [described.variable(config, name, values, when, grid) for name, values in states.items()]
        said = [self.origin, *self.given.remarks.said]
        return described.dataset(fields, config, self.folder, what, said)

    def _normalisation(self, name: str) -> Normalisation:
        """That of the model, at the points of the input where it has one for each."""
        whole, model = self.trained.normalisation[name], Grid.from_config(self.trained.config.data.grid)
        if whole.mean.shape[2:] == (1, 1):
            return whole
        grid, at = self.given.grid, offset(self.given.grid, model)
        if at is None or not _inside(grid, model, at):
            raise DataError(
                f"{name} is normalised at each point of the model's grid, {_said(model)}; the input, "
                f"{_said(grid)}, has others: cut it to these points, or regrid it"
            )
        rows = at[0] + np.arange(grid.shape[0])
        columns = (at[1] + np.arange(grid.shape[1])) % model.shape[1]
        return Normalisation(*(part[:, :, rows][..., columns] for part in (whole.mean, whole.std)))


def _inside(grid: Grid, model: Grid, at: tuple[int, int]) -> bool:
    rows = 0 <= at[0] <= at[0] + grid.shape[0] <= model.shape[0]
    return rows and (model.periodic or at[1] + grid.shape[1] <= model.shape[1])


def _verify_large(grid: Grid, trained: Bundle) -> None:
    extent = trained.config.network.neighbourhood
    if grid.shape[0] < extent.latitude or grid.shape[1] < extent.longitude:
        raise DataError(
            f"the input has {grid.shape[0]} x {grid.shape[1]} points, less than the neighbourhood of "
            f"{extent.latitude} x {extent.longitude} that the model sees at once; give a larger domain, "
            f"{(extent.latitude - 1) * grid.resolution:g} x {(extent.longitude - 1) * grid.resolution:g} "
            "degrees or more"
        )


def _said(grid: Grid) -> str:
    return (
        f"{grid.latitude[-1]:g} to {grid.north:g} N and {grid.west:g} to {grid.longitude[-1]:g} E every "
        f"{grid.resolution:g} degrees"
    )
