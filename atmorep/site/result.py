"""The result of a study as a dataset by the CF conventions, and as a table."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from atmorep import __version__
from atmorep.config.site import SiteStudy
from atmorep.site import energy

_ATTRIBUTES: dict[str, dict[str, Any]] = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "height": {"standard_name": "height", "units": "m", "positive": "up", "long_name": "height of the hub"},
    "shear": {"units": "1", "long_name": "exponent of the power law to the height of the hub"},
    "number": {"standard_name": "realization", "units": "1", "long_name": "ensemble member"},
    "time": {"standard_name": "time", "axis": "T"},
    "sector": {"units": "degree", "long_name": "middle of a sector the wind blows from"},
    "speed_class": {"units": "m s-1", "long_name": "lower bound of a class of wind speed"},
    "bound": {"long_name": "end of an interval"},
    "wind_speed": {"standard_name": "wind_speed", "units": "m s-1"},
    "wind_from_direction": {"standard_name": "wind_from_direction", "units": "degree"},
    "power": {"units": "kW", "long_name": "power of one turbine"},
    "capacity_factor": {"units": "1", "long_name": "mean power over rated power"},
    "capacity_factor_bounds": {"units": "1", "long_name": "the same, between these bounds of the ensemble"},
    "capacity_factor_interval": {"units": "1", "long_name": "the same, 95 % interval of the period"},
    "behind_best": {"units": "1", "long_name": "capacity factor below that of the best site"},
    "behind_best_interval": {"units": "1", "long_name": "the same, 95 % interval of the period"},
    "rose": {"units": "1", "long_name": "share of all hours and members by direction and wind speed"},
}

_HOURLY = ("site", "number", "time")


def result(study: SiteStudy, wind: xr.Dataset) -> xr.Dataset:
    """Return wind and power at the hub, capacity factors and wind roses.

    Args:
        study: the study.
        wind: of :func:`atmorep.site.wind.wind_at_sites`.
    """
    eastward, northward = (wind[name].to_numpy() for name in ("eastward", "northward"))
    shear = np.array([site.shear for site in study.sites.values()])
    speed = energy.to_hub(np.hypot(eastward, northward), study.wind.height, study.turbine, shear)
    blown, power = energy.direction(eastward, northward), energy.power(speed, study.turbine)
    days = wind["time"].to_numpy().astype("datetime64[D]").astype(np.int64)
    found = energy.capacity(power / study.turbine.rated, days, study.bounds, study.block_days)
    roses = [energy.rose(blown[..., n], speed[..., n], study.rose) for n in range(len(shear))]
    hourly = {"wind_speed": speed, "wind_from_direction": blown, "power": power}
    variables: dict[str, Any] = {
        **{name: (_HOURLY, values.transpose(2, 0, 1).astype(np.float32)) for name, values in hourly.items()},
        "capacity_factor": ("site", found.mean),
        "capacity_factor_bounds": (("bound", "site"), np.stack([found.lower, found.upper])),
        "capacity_factor_interval": (("bound", "site"), found.period),
        "behind_best": ("site", found.behind),
        "behind_best_interval": (("bound", "site"), found.behind_interval),
        "rose": (("site", "sector", "speed_class"), np.stack(roses)),
    }
    return _described(xr.Dataset(variables, _coordinates(study, wind, shear)), study, wind)


def _coordinates(study: SiteStudy, wind: xr.Dataset, shear: Any) -> dict[str, Any]:
    sites = study.sites.values()
    return {
        "site": list(study.sites),
        "latitude": ("site", [site.latitude for site in sites]),
        "longitude": ("site", [site.longitude for site in sites]),
        "shear": ("site", shear),
        "height": study.turbine.hub_height,
        "number": np.arange(wind.sizes["number"]),
        "time": wind["time"].to_numpy(),
        "sector": np.arange(study.rose.sectors) * 360 / study.rose.sectors,
        "speed_class": list(study.rose.speeds),
        "bound": ["lower", "upper"],
    }


def _described(found: xr.Dataset, study: SiteStudy, wind: xr.Dataset) -> xr.Dataset:
    for name in found.variables:
        found[name].attrs = dict(_ATTRIBUTES.get(str(name), {}))
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return found.assign_attrs(
        Conventions="CF-1.11",
        title=study.title,
        turbine=study.turbine.name,
        history=f"{now} atmorep site, AtmoRep {__version__}",
        **wind.attrs,
    )


def table(found: xr.Dataset) -> pd.DataFrame:
    """Return one row a site: place, mean wind speed, capacity factor, its bounds and intervals."""
    bounds = {
        f"{short}_{end}": found[name].sel(bound=end).to_numpy()
        for short, name in (
            ("member", "capacity_factor_bounds"),
            ("period", "capacity_factor_interval"),
            ("behind_best", "behind_best_interval"),
        )
        for end in ("lower", "upper")
    }
    return pd.DataFrame(
        {
            "site": found["site"].to_numpy(),
            "latitude": found["latitude"].to_numpy(),
            "longitude": found["longitude"].to_numpy(),
            "hours": found.sizes["time"],
            "members": found.sizes["number"],
            "wind_speed": found["wind_speed"].mean(("number", "time"), dtype=np.float64).to_numpy(),
            "capacity_factor": found["capacity_factor"].to_numpy(),
            "behind_best": found["behind_best"].to_numpy(),
            **bounds,
        }
    )
