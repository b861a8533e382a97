"""Requests to the Copernicus Climate Data Store, as large as the archive likes them.

One request is one span with all fields and levels of one type. Model levels and accumulated fields
come from the complete archive on tape (``reanalysis-era5-complete``, MARS terms), pressure levels and
analysed surface fields from disk (``reanalysis-era5-pressure-levels``,
``reanalysis-era5-single-levels``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep.config import identity
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.timeaxis import Hours

_FORECAST_CYCLE_HOURS = 12
_FORECAST_START_HOUR = 6


@dataclass(frozen=True)
class Request:
    """What is asked of the archive.

    Attributes:
        dataset: name of the data set.
        keys: the request in the data set's own terms.
    """

    dataset: str
    keys: dict[str, Any]

    @property
    def identity(self) -> str:
        """Ten hex digits that identify the request."""
        return identity(self.dataset, self.keys)


@dataclass(frozen=True)
class Forecast:
    """The forecasts accumulated fields are taken from: a block of start dates, start times and steps.

    ERA5 starts one at 06 and one at 18 UTC; the one that started last before a valid time has
    reached it at step 1 to 12, so that hours 00 to 06 come from the day before.
    """

    dates: tuple[dt.date, ...]
    times: tuple[int, ...]
    steps: tuple[int, ...]

    @classmethod
    def reaching(cls, hours: Hours) -> Forecast:
        """The smallest block that holds each of ``hours``."""
        valid: NDArray[np.int64] = hours.astype("datetime64[h]").astype(np.int64)
        steps = (valid - _FORECAST_START_HOUR - 1) % _FORECAST_CYCLE_HOURS + 1
        starts = valid - steps
        days = np.unique(starts // 24).astype("datetime64[D]")
        return cls(tuple(days.tolist()), _sorted(starts % 24), _sorted(steps))

    @property
    def hours(self) -> Hours:
        """All valid times of the block."""
        dates = np.array(self.dates, "datetime64[h]").reshape(-1, 1, 1)
        times = np.array(self.times, "timedelta64[h]").reshape(-1, 1)
        hours: Hours = (dates + times + np.array(self.steps, "timedelta64[h]")).ravel()
        return hours


def _sorted(numbers: NDArray[np.int64]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.unique(numbers))


def build(group: str, members: Sequence[tuple[str, int]], hours: Hours, grid: Grid, expver: str) -> Request:
    """Return the request for ``members``' fields times their levels at ``hours`` of one month.

    Args:
        group: ``model_an``, ``pressure``, ``surface_an`` or ``surface_fc``.
        members: (field, level) pairs.
        hours: valid times, datetime64[h].
        grid: the grid to deliver.
        expver: ``final`` asks the complete archive for ERA5 proper.
    """
    if group == "pressure":
        levels = {"pressure_level": [str(v) for v in levels_of(members)]}
        return Request("reanalysis-era5-pressure-levels", _disk_keys(members, hours, grid) | levels)
    if group == "surface_an":
        return Request("reanalysis-era5-single-levels", _disk_keys(members, hours, grid))
    keys: dict[str, Any] = {"class": "ea", "stream": "oper"}
    if expver == "final":
        keys["expver"] = "1"
    if group == "surface_fc":
        forecast = Forecast.reaching(hours)
        keys |= {"type": "fc", "levtype": "sfc", "step": _slashes(forecast.steps)}
        dates, times = forecast.dates, forecast.times
    else:
        keys |= {"type": "an", "levtype": "ml", "levelist": _slashes(levels_of(members))}
        dates, times = _dates_and_times(hours)
    return Request("reanalysis-era5-complete", keys | _mars_keys(members, dates, times, grid))


def _mars_keys(
    members: Sequence[tuple[str, int]], dates: Sequence[dt.date], times: Sequence[int], grid: Grid
) -> dict[str, Any]:
    return {
        "param": _slashes(known_field(name).param_id for name in fields_of(members)),
        "date": f"{dates[0]}/to/{dates[-1]}",
        "time": _slashes(f"{hour:02d}:00:00" for hour in times),
        "grid": _slashes(f"{degrees:.10g}" for degrees in [grid.resolution] * 2),
        "area": _slashes(f"{degrees:.10g}" for degrees in _area(grid)),
        "format": "grib",
    }


def _disk_keys(members: Sequence[tuple[str, int]], hours: Hours, grid: Grid) -> dict[str, Any]:
    dates, times = _dates_and_times(hours)
    return {
        "product_type": ["reanalysis"],
        "variable": [known_field(name).long_name for name in fields_of(members)],
        "year": [f"{dates[0]:%Y}"],
        "month": [f"{dates[0]:%m}"],
        "day": [f"{day:%d}" for day in dates],
        "time": [f"{hour:02d}:00" for hour in times],
        "grid": [grid.resolution] * 2,
        "area": list(_area(grid)),
        "data_format": "grib",
        "download_format": "unarchived",
    }


def fields_of(members: Iterable[tuple[str, int]]) -> list[str]:
    """Return the fields of (field, level) pairs, each once."""
    return list(dict.fromkeys(field for field, _ in members))


def levels_of(members: Iterable[tuple[str, int]]) -> list[int]:
    """Return the levels of (field, level) pairs, each once, increasing."""
    return sorted({level for _, level in members})


def _dates_and_times(hours: Hours) -> tuple[tuple[dt.date, ...], tuple[int, ...]]:
    days = np.unique(hours.astype("datetime64[D]"))
    return tuple(days.tolist()), _sorted(hours.astype("datetime64[h]").astype(np.int64) % 24)


def _area(grid: Grid) -> tuple[float, float, float, float]:
    """North, west, south, east in degrees; a ring starts where the archive starts it, near 0 E."""
    west = grid.west % grid.resolution if grid.periodic else grid.west
    east = west + (grid.shape[1] - 1) * grid.resolution
    shift = 360 if east > 360 else 0
    north, west, south, east = grid.north, west - shift, grid.latitude[-1], east - shift
    return round(north, 6), round(west, 6), round(float(south), 6), round(east, 6)


def _slashes(values: Iterable[object]) -> str:
    return "/".join(str(value) for value in values)
