"""The file of ``atmorep site``: where the wind comes from, the sites, and the turbine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from atmorep.config.base import Section

Title = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^[^\n\r\t]+$")]


class _Wind(Section):
    eastward: str = "10u"
    """ERA5 short name of the eastward component."""
    northward: str = "10v"
    """ERA5 short name of the northward component."""
    level: int = 0
    """Level of both components where they have levels; 0 at the surface."""
    level_type: Literal["model", "pressure"] = "model"
    """What ``level`` counts: ECMWF model levels, or hPa."""
    height: float = Field(default=10.0, gt=0, le=1000)
    """Height of this wind over ground in metres."""


class WindFiles(_Wind):
    """Wind as files have it: an analysis, or what a command that uses a model has written."""

    kind: Literal["files"]
    """Taken from files as it is."""
    files: tuple[Path, ...] = Field(min_length=1)
    """GRIB files, NetCDF files or Zarr stores with both components; months and components may lie apart."""


class WindModel(_Wind):
    """Wind that trained models predict from files."""

    kind: Literal["model"]
    """Predicted by a model."""
    models: tuple[Path, ...] = Field(min_length=1, max_length=2)
    """Folder of a trained model, or the YAML file of the experiment that trains it; two where each predicts
    one component, as downscaling does."""
    use: Literal["forecast", "interpolate", "fill", "correct", "downscale"]
    """What the model is used for, as on the command line."""
    inputs: tuple[Path, ...] = Field(min_length=1)
    """GRIB files, NetCDF files or Zarr stores with all fields of the model."""
    every_hours: int | None = Field(default=None, gt=0, le=24)
    """States of the input that are shown to the model: those at every so many hours from 00 UTC on; default
    all. ``use: interpolate`` predicts the hours between, by a model whose tokens hold one time step."""
    hours: int | None = Field(default=None, gt=0)
    """How far ahead; ``use: forecast`` only."""
    members: int | None = Field(default=None, gt=0)
    """Members of the ensemble; default all."""

    @model_validator(mode="after")
    def _complete(self) -> WindModel:
        if (self.use == "forecast") != (self.hours is not None):
            raise ValueError("hours goes with use = forecast, and only with it")
        return self


class Site(Section):
    """One place that is looked at."""

    latitude: float = Field(ge=-90, le=90)
    """Degrees north."""
    longitude: float = Field(ge=-180, le=360)
    """Degrees east."""
    shear: float = Field(default=0.143, ge=0, le=1)
    """Exponent of the power law that takes the wind to the height of the hub: about 0.11 over open sea, 0.143
    over level land, 0.2 and more over forest or towns."""


class Turbine(Section):
    """A wind turbine, by what its maker's data sheet says."""

    name: Title
    """How it is called."""
    hub_height: float = Field(gt=0, le=400)
    """Height of the hub over ground in metres."""
    speeds: tuple[float, ...] = Field(min_length=2)
    """Wind speeds in m s-1 at which ``power`` is given, increasing, from cut-in to cut-out; outside there is
    no power."""
    power: tuple[float, ...] = Field(min_length=2)
    """Power in kW at each of ``speeds``, linear in between; the largest is the rated power."""

    @model_validator(mode="after")
    def _curve(self) -> Turbine:
        if len(self.power) != len(self.speeds):
            raise ValueError(
                f"power has {len(self.power)} values for the {len(self.speeds)} of speeds; give as many"
            )
        if list(self.speeds) != sorted({*self.speeds}) or self.speeds[0] < 0:
            raise ValueError("speeds must increase from 0 m s-1 or more")
        if min(self.power) < 0 or max(self.power) == 0:
            raise ValueError("power must not be negative, nor zero throughout")
        return self

    @property
    def rated(self) -> float:
        """Rated power in kW."""
        return max(self.power)


class Rose(Section):
    """How a wind rose is divided."""

    sectors: int = Field(default=12, ge=4, le=36)
    """Directions, the first about north."""
    speeds: tuple[float, ...] = (0.0, 4.0, 8.0, 12.0, 16.0)
    """Lower bounds of the classes of wind speed at the hub in m s-1, from 0, increasing; the last is open."""

    @model_validator(mode="after")
    def _increasing(self) -> Rose:
        if not self.speeds or self.speeds[0] != 0 or list(self.speeds) != sorted({*self.speeds}):
            raise ValueError("speeds must begin with 0 and increase")
        return self


class SiteStudy(Section):
    """Wind and power at sites of a wind farm."""

    title: Title
    """Heading of the page."""
    output: Path
    """Folder of ``sites.nc``, ``sites.csv`` and ``sites.html``."""
    wind: Annotated[WindFiles | WindModel, Field(discriminator="kind")]
    """Where the wind comes from."""
    sites: dict[Title, Site] = Field(min_length=1, max_length=12)
    """The sites, by name."""
    turbine: Turbine
    """The turbine."""
    rose: Rose = Rose()
    """The wind roses."""
    bounds: float = Field(default=0.8, gt=0, lt=1)
    """Share of the members between the ensemble's bounds."""
    block_days: int = Field(default=2, ge=1)
    """Days on end that are drawn together for the intervals of the period: longer than weather lasts."""
