"""A user's files as xarray datasets: GRIB, NetCDF or Zarr, whichever they are."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import xarray as xr

from atmorep.errors import DataError
from atmorep.fields import FIELDS
from atmorep.sources import grib
from atmorep.sources.gridded import open_gridded

_LEVELS = {
    "model": ("model_level", {"units": "1"}),
    "pressure": ("pressure_level", {"units": "hPa"}),
}


def open_inputs(paths: Sequence[str | Path]) -> list[xr.Dataset]:
    """Open files and Zarr stores; values are read when they are wanted.

    GRIB files are put together: one dataset for each field, on levels of one kind and one grid. Fields that
    AtmoRep does not know are left out.

    Raises:
        DataError: if one is not there, is none of these, or is broken.
    """
    files = [Path(path) for path in paths]
    for path in files:
        if not path.exists():
            raise DataError(f"{path}: there is no such file or store; correct its name")
    messages = [path for path in files if _is_grib(path)]
    return [*_grib(messages), *(open_gridded(path) for path in files if path not in messages)]


def _is_grib(path: Path) -> bool:
    if path.is_dir():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GRIB"


def _grib(paths: Sequence[Path]) -> list[xr.Dataset]:
    known = [message for path in paths for message in grib.scan(path) if message.field in FIELDS]
    ordered = sorted(known, key=_kind)
    return [_dataset(list(messages), paths) for _, messages in groupby(ordered, key=_kind)]


def _kind(message: grib.Message) -> tuple[str, str, str]:
    return message.field, message.level_type, message.grid_section


def _dataset(messages: list[grib.Message], paths: Sequence[Path]) -> xr.Dataset:
    """The messages of one field, NaN where a level lacks a time."""
    first = messages[0]
    if FIELDS[first.field].accumulated:
        for message in messages:
            grib.verify_hourly(message)
    grid, places = grib.grid_of(first), {(m.valid_time, m.level): m for m in messages}
    if len(places) < len(messages):
        raise DataError(f"{first}: or another of its field is there twice; give each time and level once")
    times, levels = (np.unique([place[n] for place in places]) for n in (0, 1))
    empty = da.full(grid.shape, np.nan, dtype=np.float64, chunks=grid.shape)

    def values(time: np.datetime64, level: int) -> da.Array:
        message = places.get((time, level))
        if message is None:
            return empty
        return da.from_delayed(dask.delayed(grib.values_of)(message, grid), grid.shape, np.float64)

    array = da.stack([da.stack([values(time, int(level)) for level in levels]) for time in times])
    coordinates: dict[str, Any] = {
        "time": times.astype("datetime64[ns]"),
        "latitude": grid.latitude,
        "longitude": grid.longitude,
    }
    dims, attributes = ["time", "latitude", "longitude"], {"units": FIELDS[first.field].units}
    if first.level_type in _LEVELS:
        name, described = _LEVELS[first.level_type]
        coordinates[name] = xr.DataArray(levels, dims=name, attrs=described)
        dims.insert(1, name)
    else:
        array = array[:, 0]
    found = xr.Dataset({first.field: (dims, array, attributes)}, coordinates)
    found.encoding["source"] = ", ".join(map(str, paths))
    return found
