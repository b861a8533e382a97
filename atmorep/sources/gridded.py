"""Fields in NetCDF or Zarr: names, units, coordinates and packing as ERA5 has had them over the years."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.errors import DataError, SourceError
from atmorep.fields import Field
from atmorep.grids import Grid
from atmorep.sources.units import conversion
from atmorep.timeaxis import Hours

_TIME = ("valid_time", "time")
_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon")
_LEVEL = {
    "model": ("model_level", "hybrid", "level"),
    "pressure": ("pressure_level", "isobaricInhPa", "plev", "level"),
}
_PRESSURE_UNITS = {"hPa": 1.0, "millibars": 1.0, "mbar": 1.0, "mb": 1.0, "Pa": 0.01}

_TOLERANCE = 2e-3
"""Degrees by which a coordinate may be off: old files have three decimals."""


def open_gridded(path: Path) -> xr.Dataset:
    """Open a NetCDF file or a Zarr store (a name in .zarr), nothing of its fields being read yet.

    Raises:
        DataError: if it cannot be opened.
    """
    try:
        engine = "zarr" if path.suffix == ".zarr" else "netcdf4"
        return xr.open_dataset(path, engine=engine, cache=False)
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from None


class GriddedField:
    """One field in one dataset: that of a NetCDF file, a Zarr store, or what else xarray holds."""

    def __init__(self, dataset: xr.Dataset, field: Field, level_type: str, origin: str) -> None:
        """Find ``field`` on levels of ``level_type`` in ``dataset``, which comes from ``origin``.

        Raises:
            SourceError: if it lacks the field.
            DataError: if it has units that cannot be converted.
        """
        self.field, self.level_type = field, level_type
        self.where = f"{origin}, field {field.name}"
        self._file = dataset
        variable = self._file[self._variable_name()]
        self.units = str(variable.attrs.get("units", ""))
        self._scale = conversion(self.units, field.units, self.where)
        self.packing = abs(float(variable.encoding.get("scale_factor") or 0)) * self._scale[0]
        self._time = self._name(variable, _TIME, "time")
        self._variable = self._one_version(variable)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _variable_name(self) -> str:
        names = (*self.field.all_names, f"var{self.field.param_id}")
        found = [name for name in names if name in self._file.data_vars] or self._by_standard_name()
        if not found:
            held = ", ".join(str(name) for name in self._file.data_vars)
            raise SourceError(f"{self.where}: no variable {' or '.join(names)}; the file holds {held}")
        number = self._file[found[0]].attrs.get("GRIB_paramId", self.field.param_id)
        if int(number) not in (self.field.param_id, *self.field.alias_param_ids):
            raise DataError(
                f"{self.where}: variable {found[0]} has paramId {number}, not {self.field.param_id}; "
                "correct source.pattern or the file"
            )
        return found[0]

    def _by_standard_name(self) -> list[str]:
        """Variables of the field's CF standard name that have levels where the field does.

        Raises:
            DataError: if there are several.
        """
        vertical = {name for names in _LEVEL.values() for name in names}
        found = [
            str(name)
            for name, variable in self._file.data_vars.items()
            if self.field.standard_name in (variable.attrs.get("standard_name"), name)
            and self.field.surface == vertical.isdisjoint(map(str, variable.coords))
        ]
        if len(found) > 1:
            raise DataError(
                f"{self.where}: {' and '.join(found)} are {self.field.standard_name}; name one of them "
                f"{self.field.name}"
            )
        return found

    def _name(self, variable: Any, names: tuple[str, ...], what: str) -> str:
        for name in names:
            if name in variable.dims and name in variable.coords:
                return name
        raise DataError(
            f"{self.where}: has no {what} dimension {' or '.join(names)} with a coordinate, but "
            f"{', '.join(str(d) for d in variable.dims)}; bring it to ERA5's form"
        )

    def _one_version(self, variable: Any) -> Any:
        """Merge the dimension ``expver`` of old files: final data (1), else preliminary (5)."""
        if "expver" not in variable.dims:
            return variable
        final, *others = (
            variable.isel(expver=i, drop=True) for i in np.argsort(variable["expver"].to_numpy())
        )
        for other in others:
            final = final.fillna(other)
        return final

    @cached_property
    def times(self) -> Hours:
        """Valid times (n,), in the file's order, datetime64[h].

        Raises:
            DataError: if one is not a full hour.
        """
        valid = self._file.coords.get("valid_time")  # cfgrib's time is when a forecast started
        own = valid is not None and valid.dims == (self._time,)
        stamps = self._file["valid_time" if own else self._time].to_numpy()
        if not np.issubdtype(stamps.dtype, np.datetime64):
            raise DataError(f"{self.where}: its times are no dates of the Gregorian calendar; correct them")
        hours: Hours = stamps.astype("datetime64[h]")
        odd = np.flatnonzero(hours.astype(stamps.dtype) != stamps)
        if odd.size:
            raise DataError(f"{self.where}: {stamps[odd[0]]} is no full hour; correct the time coordinate")
        return hours

    def versions(self, indices: NDArray[np.int64]) -> set[str]:
        """Experiment versions of the times at ``indices``, where the file says them."""
        if "expver" not in self._file.variables:
            return set()
        expver = self._file["expver"]
        if expver.ndim == 0:
            return {str(expver.item())}
        if expver.dims == (self._time,):
            return {str(v) for v in expver.to_numpy()[indices]}
        return self._versions_by_value(indices)

    def _versions_by_value(self, indices: NDArray[np.int64]) -> set[str]:
        """Versions of old files, where a dimension ``expver`` holds NaN for all but one."""
        variable = self._file[self._variable_name()]
        others = [d for d in variable.dims if d not in ("expver", self._time)]
        corner = variable.isel(dict.fromkeys(others, 0)).isel({self._time: indices})
        held = corner.notnull().any(self._time)
        return {str(v) for v in variable["expver"].to_numpy()[held.to_numpy()]}

    def at_level(self, level: int, *, named_by_path: bool) -> Any:
        """Return the variable at one level, with dimensions time, latitude and longitude only.

        Args:
            level: number, hPa, or 0 at the surface.
            named_by_path: the file's name says the level, so that a coordinate is not needed.

        Raises:
            SourceError: if the file lacks the level.
            DataError: if it has a further dimension.
        """
        return self._ordered(self._variable if self.field.surface else self._select(level, named_by_path))

    def at_levels(self, indices: Sequence[int]) -> Any:
        """Return the variable at the levels with the ``indices`` of :attr:`levels`.

        Returns:
            Dimensions time, level (where the variable has it), latitude and longitude.

        Raises:
            DataError: if it has a further dimension.
        """
        name = None if self.field.surface else self._level_name()
        if name is None or not self._variable[name].ndim:
            return self._ordered(self._variable)
        return self._ordered(self._variable.isel({name: list(indices)}), name)

    def _ordered(self, chosen: Any, *vertical: str) -> Any:
        space = [self._name(chosen, n, w) for n, w in ((_LATITUDE, "latitude"), (_LONGITUDE, "longitude"))]
        extra = [d for d in chosen.dims if d not in (self._time, *vertical, *space)]
        long = [f"{d} ({chosen.sizes[d]})" for d in extra if chosen.sizes[d] > 1]
        if long:
            raise DataError(
                f"{self.where}: has the dimension {', '.join(long)} besides time and space; select one"
            )
        return chosen.squeeze(extra, drop=True).transpose(self._time, *vertical, *space)

    def _select(self, level: int, named_by_path: bool) -> Any:
        name = self._level_name()
        if name is None and named_by_path:
            return self._variable
        values = self.levels
        index = np.flatnonzero(np.abs(values - level) < 1e-3)
        if index.size != 1:
            held = ", ".join(f"{v:g}" for v in values)
            raise SourceError(
                f"{self.where}: lacks {self.level_type} level {level}; it holds {held}: correct "
                "data.levels.values"
            )
        return self._variable.isel({name: int(index[0])}) if self._variable[name].ndim else self._variable

    @cached_property
    def levels(self) -> NDArray[np.float64]:
        """Levels (n,), numbers or hPa, in the order of the variable; [0] at the surface.

        Raises:
            SourceError: if it has no coordinate of them.
        """
        if self.field.surface:
            return np.zeros(1)
        name = self._level_name()
        if name is None:
            raise SourceError(
                f"{self.where}: has no coordinate of {self.level_type} levels "
                f"({' or '.join(_LEVEL[self.level_type])}); correct data.levels.type or the file"
            )
        coordinate = self._variable[name]
        units = str(coordinate.attrs.get("units", "hPa"))
        factor = _PRESSURE_UNITS.get(units, 1.0) if self.level_type == "pressure" else 1.0
        return np.atleast_1d(coordinate.to_numpy().astype(np.float64)) * factor

    def _level_name(self) -> str | None:
        names = _LEVEL[self.level_type]
        return next((n for n in names if n in self._variable.coords and self._is_level(n)), None)

    def _is_level(self, name: str) -> bool:
        """Tell pressure from model levels where both may be called ``level``."""
        pressure = str(self._variable[name].attrs.get("units", "")) in _PRESSURE_UNITS
        return name != "level" or pressure == (self.level_type == "pressure")

    def order(self, variable: Any, grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows and columns of ``variable`` that make up ``grid``.

        Raises:
            DataError: if it is on another grid.
        """
        latitude, longitude = (variable[d].to_numpy().astype(np.float64) for d in variable.dims[1:])
        rows = np.abs(latitude[None] - grid.latitude[:, None])
        columns = np.abs((longitude[None] - grid.longitude[:, None] + 180) % 360 - 180)
        fits = (latitude.size, longitude.size) == grid.shape
        if not fits or max(rows.min(1).max(), columns.min(1).max()) > _TOLERANCE:
            raise DataError(
                f"{self.where}: its grid of {latitude.size} x {longitude.size} points from {latitude[0]:g}N "
                f"{longitude[0]:g}E to {latitude[-1]:g}N {longitude[-1]:g}E is not data.grid "
                f"({grid.shape[0]} x {grid.shape[1]} from {grid.north:g}N {grid.west:g}E by "
                f"{grid.resolution:g}); correct data.grid or the file"
            )
        return rows.argmin(1), columns.argmin(1)

    def read(
        self, variable: Any, indices: Sequence[int], order: tuple[NDArray[np.int64], NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Return values of ``variable`` in the field's unit; NaN where there are none.

        Args:
            variable: from :meth:`at_level` or :meth:`at_levels`.
            indices: of the times wanted.
            order: rows and columns, as from :meth:`order`.

        Returns:
            (times, rows, columns), or (times, levels, rows, columns).

        Raises:
            DataError: if they cannot be decoded.
        """
        try:
            values = variable.isel({self._time: list(indices)}).to_numpy().astype(np.float64)
        except (OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.where}, {self.times[indices[0]]}:00 to {self.times[indices[-1]]}:00: cannot be "
                f"decoded ({error}); fetch the file again"
            ) from None
        factor, offset = self._scale
        rows, columns = order
        converted: NDArray[np.float32] = (values[..., rows, :][..., columns] * factor + offset).astype(
            np.float32
        )
        return converted
