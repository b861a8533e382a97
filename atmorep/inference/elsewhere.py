"""Counterfactuals: the same states, said to be those of another time or place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import ConfigError
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window


@dataclass(frozen=True)
class Elsewhere:
    """Where and when states are said to be; None is where and when they are.

    Attributes:
        year: of the initial time.
        day: of the year, from 1.
        hour: of the day, UTC.
        latitude: of the domain's middle, degrees north.
        longitude: of the domain's middle, degrees east.
    """

    year: int | None = None
    day: int | None = None
    hour: int | None = None
    latitude: float | None = None
    longitude: float | None = None

    def __str__(self) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items() if value is not None)

    def readers(
        self, config: Config, own: Mapping[str, NeighbourhoodReader], initial: np.datetime64
    ) -> dict[str, NeighbourhoodReader]:
        """Return readers of the same states with the token information of elsewhere.

        Args:
            config: of the model.
            own: readers by field.
            initial: initial time, which becomes that of :attr:`year`, :attr:`day` and :attr:`hour`.

        Raises:
            ConfigError: if nothing is said to be otherwise, or there is no such time or place.
        """
        if not str(self):
            raise ConfigError("say what is otherwise: year, day, hour, latitude or longitude")
        grid = next(iter(own.values())).reader.grid
        middle = (grid.latitude[[0, -1]].mean(), grid.longitude[[0, -1]].mean())
        north = 0.0 if self.latitude is None else self.latitude - float(middle[0])
        east = 0.0 if self.longitude is None else self.longitude - float(middle[1])
        if grid.north + north > 90 or grid.latitude[-1] + north < -90:
            raise ConfigError(f"latitude = {self.latitude:g}: the domain would reach beyond a pole")
        later = self._time(initial) - initial
        return {name: _Reader(config, reader, later, (north, east)) for name, reader in own.items()}

    def _time(self, initial: np.datetime64) -> np.datetime64:
        own: dt.datetime = initial.astype("datetime64[s]").item()
        year = own.year if self.year is None else self.year
        day = own.timetuple().tm_yday if self.day is None else self.day
        hour = own.hour if self.hour is None else self.hour
        try:
            moved = dt.datetime.strptime(f"{year:04d} {day:03d} {hour:02d}", "%Y %j %H")
        except ValueError as error:
            raise ConfigError(f"year {year}, day {day}, hour {hour}: is no time ({error})") from None
        return np.datetime64(moved, "h")


class _Reader(NeighbourhoodReader):
    """Reads as another does, but for when and where tokens are said to be."""

    def __init__(
        self,
        config: Config,
        own: NeighbourhoodReader,
        later: np.timedelta64,
        moved: tuple[float, float],
    ) -> None:
        super().__init__(config, own.field, own.reader, own.normalisation)
        self._later, self._moved = later, moved

    def _points(
        self, windows: Sequence[Window]
    ) -> tuple[NDArray[np.datetime64], NDArray[np.floating], NDArray[np.floating]]:
        times, latitude, longitude = super()._points(windows)
        return times + self._later, latitude + self._moved[0], longitude + self._moved[1]
