"""What predictions on a user's input are written as: xarray datasets by the CF conventions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import __version__, manifest
from atmorep.artefacts import written_aside
from atmorep.config import Config
from atmorep.errors import ConfigError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.store.layout import cf_attributes, vertical_attributes
from atmorep.timeaxis import Hours

_EPOCH = {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian", "dtype": "int32"}

_COORDINATES: dict[str, dict[str, str]] = {
    "time": {"standard_name": "time", "long_name": "valid time", "axis": "T"},
    "init_time": {"standard_name": "forecast_reference_time", "long_name": "initial time"},
    "lead_time": {"standard_name": "forecast_period", "long_name": "time after the initial time"},
    "number": {"standard_name": "realization", "long_name": "ensemble member", "units": "1"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}

_ENCODING: dict[str, dict[str, Any]] = {
    "time": _EPOCH,
    "init_time": _EPOCH,
    "lead_time": {"units": "hours", "dtype": "int32"},
}

When = Mapping[str, NDArray[Any]]
"""Coordinates of time, in the order of the dimensions."""


def forecast_times(initial: np.datetime64, lead_hours: Sequence[int]) -> When:
    """Return the initial time and the lead times of a forecast."""
    leads = np.array(lead_hours).astype("timedelta64[h]").astype("timedelta64[ns]")
    return {"init_time": np.array([initial]).astype("datetime64[ns]"), "lead_time": leads}


def valid_times(times: Hours) -> When:
    """Return the times of states."""
    return {"time": times.astype("datetime64[ns]")}


def variable(
    config: Config, name: str, values: NDArray[np.float32], when: When, grid: Grid, **attributes: str
) -> xr.DataArray:
    """Return members of one field with all coordinates.

    Args:
        config: of the model.
        name: ERA5 short name.
        values: (M, level, time, row, column); time is the last dimension of ``when``.
        when: the times; any but the last dimension is of length one.
        grid: of rows and columns.
        attributes: to be added to the field's own.

    Returns:
        Dimensions ``when``, number, level (where the field has any), latitude and longitude.
    """
    ordered = values.transpose(2, 0, 1, 3, 4)
    ordered = ordered.reshape(*(1 for _ in list(when)[1:]), *ordered.shape)
    coordinates: dict[str, Any] = {**when, "number": np.arange(len(values))}
    if known_field(name).surface:
        ordered = ordered[..., 0, :, :]
    else:
        coordinates["level"] = list(config.model_levels(name))
    coordinates |= {"latitude": grid.latitude, "longitude": grid.longitude}
    found = xr.DataArray(
        ordered, coordinates, tuple(coordinates), name, {**cf_attributes(name), **attributes}
    )
    if "level" in coordinates:
        found["level"].attrs = vertical_attributes(config, name)
    return found


def dataset(
    fields: Sequence[xr.DataArray], config: Config, folder: Path, what: str, given: Sequence[str]
) -> xr.Dataset:
    """Put predicted fields together and say what they are and come from.

    Args:
        fields: of :func:`variable`.
        config: of the model.
        folder: its bundle.
        what: of what kind the predictions are.
        given: names of the input, then what was done to it.
    """
    each = [field.to_dataset() for field in fields]
    found = xr.merge(each, join="outer", compat="no_conflicts", combine_attrs="override")
    for name, coordinate in found.coords.items():
        coordinate.attrs |= _COORDINATES.get(str(name), {})
        coordinate.encoding = dict(_ENCODING.get(str(name), {}))
    return found.assign_attrs(provenance(config, folder, what, given))


def provenance(config: Config, folder: Path, what: str, given: Sequence[str]) -> dict[str, str]:
    """Global attributes; arguments as of :func:`dataset`."""
    simulated = (
        " by a model of a simulated atmosphere, not of ERA5" if config.source.kind == "simulated" else ""
    )
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Conventions": "CF-1.11",
        "title": f"{what}{simulated}",
        "source": f"AtmoRep {__version__}, bundle {folder.resolve().name}",
        "bundle_sha256": manifest.identity(folder),
        "history": f"{now} {what.lower()} by AtmoRep {__version__}",
        "input": given[0],
        "comment": "; ".join(given[1:]) or "the input was read as it is",
    }


def _netcdf(found: xr.Dataset | xr.DataTree, path: Path) -> None:
    if isinstance(found, xr.DataTree):
        found.to_netcdf(path, engine="netcdf4")
    else:
        packed = {str(name): {"zlib": True, "complevel": 1} for name in found.data_vars}
        found.to_netcdf(path, engine="netcdf4", encoding=packed)


_WRITERS: dict[str, Callable[[Any, Path], Any]] = {
    ".nc": _netcdf,
    ".zarr": lambda found, path: found.to_zarr(path, zarr_format=3, consolidated=False),
}


def writer(output: str) -> Callable[[xr.Dataset | xr.DataTree], None]:
    """Return what writes to ``output`` at once.

    Raises:
        ConfigError: if its name ends otherwise than in .nc or .zarr.
    """
    suffix = Path(output).suffix
    if suffix not in _WRITERS:
        raise ConfigError(f"--output {output}: its name must end in one of {', '.join(_WRITERS)}")

    def write(found: xr.Dataset | xr.DataTree) -> None:
        with written_aside(Path(output)) as aside:
            _WRITERS[suffix](found, aside)

    return write
