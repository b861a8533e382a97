"""One field, level and span out of NetCDF files or Zarr stores, as a small NetCDF file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import groupby
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from numpy.typing import NDArray

from atmorep.artefacts import written_aside
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.sources.check import level_type
from atmorep.sources.gridded import GriddedField, open_gridded
from atmorep.sources.raw import verify_hours
from atmorep.timeaxis import Span

EPOCH = "hours since 1970-01-01 00:00:00"
"""Unit of the times in raw NetCDF files."""

_BLOCK_BYTES = 2**26
"""Size of what is read at a time."""

Place = tuple[np.datetime64, int, int]


class Selection(AbstractContextManager["Selection", None]):
    """The hours of one field, level and span in some files; the headers are checked when it is made."""

    def __init__(
        self,
        config: Config,
        paths: Sequence[Path],
        field: str,
        level: int,
        span: Span,
        *,
        level_named_by_path: bool,
    ) -> None:
        """Find the hours.

        Raises:
            DataError: naming the file, if field, level, grid, unit or hours are not as configured.
        """
        self._field, self._level, self._span = known_field(field), level, span
        self._grid = Grid.from_config(config.data.grid)
        self._hours, self._record_missing = span.hours(config.data.time_step), config.source.record_missing
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        self._where = f"{paths[0]}{more} ({field}, level {level}, {span})"
        self._files = [
            GriddedField(open_gridded(path), self._field, level_type(config, field), str(path))
            for path in paths
        ]
        self._variables = [f.at_level(level, named_by_path=level_named_by_path) for f in self._files]
        self._orders = [f.order(v, self._grid) for f, v in zip(self._files, self._variables, strict=True)]
        self._places = self._find()
        self._verify_versions()
        self._verify_hours([time for time, _, _ in self._places])

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all files."""
        for file in self._files:
            file.close()

    def _find(self) -> list[Place]:
        """Return (time, file, index) of each wanted hour, ordered by time."""
        return sorted(
            (file.times[index], number, int(index))
            for number, file in enumerate(self._files)
            for index in np.flatnonzero(np.isin(file.times, self._hours))
        )

    def _verify_hours(self, times: Sequence[np.datetime64]) -> None:
        verify_hours(np.array(times, "datetime64[h]"), self._hours, self._where, self._record_missing)

    def _verify_versions(self) -> None:
        versions = set[str]()
        for number, places in groupby(sorted(self._places, key=lambda p: p[1]), key=lambda p: p[1]):
            versions |= self._files[number].versions(np.array([index for _, _, index in places]))
        if len(versions) > 1:
            raise DataError(
                f"{self._where}: mixes experiment versions {', '.join(sorted(versions))} (ERA5 and "
                "preliminary ERA5T); fetch it again once ERA5 is final, or end the period before the "
                "first preliminary day"
            )

    def write(self, target: Path) -> None:
        """Write the hours, ordered, to a NetCDF file of dimensions time, latitude and longitude.

        Raises:
            DataError: naming file, field and hour, if values are missing or not finite.
        """
        with written_aside(target) as aside, netCDF4.Dataset(aside, "w") as file:
            variable = self._create(file)
            times = list[np.datetime64]()
            for time, values in self._states():
                variable[len(times)] = values
                times.append(time)
            file["time"][:] = np.array(times, "datetime64[h]").astype(np.int64)
            self._verify_hours(times)

    def _create(self, file: Any) -> Any:
        """Define dimensions, coordinates and the variable, which is returned."""
        file.setncatts({"Conventions": "CF-1.11", "level": self._level, "span": str(self._span)})
        file.packing_step = max(f.packing for f in self._files)
        file.createDimension("time", None)
        time = file.createVariable("time", "i8", ("time",), chunksizes=(1024,))
        time.setncatts({"standard_name": "time", "units": EPOCH, "calendar": "proleptic_gregorian"})
        for name, direction, values in (
            ("latitude", "north", self._grid.latitude),
            ("longitude", "east", self._grid.longitude),
        ):
            file.createDimension(name, values.size)
            coordinate = file.createVariable(name, "f8", (name,))
            coordinate.setncatts({"standard_name": name, "units": f"degrees_{direction}"})
            coordinate[:] = values
        dimensions = ("time", "latitude", "longitude")
        variable = file.createVariable(self._field.name, "f4", dimensions, chunksizes=(1, *self._grid.shape))
        variable.setncatts({"units": self._field.units, "standard_name": self._field.standard_name})
        return variable

    def _states(self) -> Iterator[tuple[np.datetime64, NDArray[np.float32]]]:
        """Yield time and values (rows, columns); hours without any value count as absent."""
        for places in self._blocks():
            number, indices = places[0][1], [index for _, _, index in places]
            file, variable, order = self._files[number], self._variables[number], self._orders[number]
            for (time, _, _), values in zip(places, file.read(variable, indices, order), strict=True):
                finite = np.isfinite(values)
                if finite.all():
                    yield time, values
                elif finite.any() or not self._record_missing:
                    raise DataError(self._not_finite(file, time, finite))

    def _blocks(self) -> Iterator[list[Place]]:
        """Yield runs of places of one file each, small enough to be read at once."""
        size = max(1, _BLOCK_BYTES // (8 * self._grid.shape[0] * self._grid.shape[1]))
        for _, group in groupby(self._places, key=lambda place: place[1]):
            places = list(group)
            for start in range(0, len(places), size):
                yield places[start : start + size]

    def _not_finite(self, file: GriddedField, time: np.datetime64, finite: NDArray[np.bool_]) -> str:
        remedy = "" if finite.any() else ", or set source.record_missing: true"
        return (
            f"{file.where}, level {self._level}, {time}:00: {finite.size - finite.sum()} of {finite.size} "
            f"values are missing or not finite; fetch the file again{remedy}"
        )
