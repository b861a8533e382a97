"""Targets of downstream tasks, and static fields: where the files are, what they hold, when and where."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from atmorep.config.base import Section, below_folder


class Box(Section):
    """A part of the globe; edges included."""

    north: float = Field(ge=-90, le=90)
    """Northernmost latitude in degrees."""
    south: float = Field(ge=-90, le=90)
    """Southernmost latitude in degrees."""
    west: float = Field(ge=-180, lt=360)
    """Westernmost longitude in degrees."""
    east: float = Field(gt=-180, lt=540)
    """Easternmost longitude in degrees; may pass 360."""

    @model_validator(mode="after")
    def _ordered(self) -> Box:
        if self.south >= self.north or self.west >= self.east or self.east - self.west > 360:
            raise ValueError("south must be below north, and west below east by 360 degrees at most")
        return self


class FilesTarget(Section):
    """Files that are on disk already; their form is told by what they hold, not by this section."""

    kind: Literal["files"]
    """On disk already."""
    folder: Path
    """Folder that holds the files."""
    pattern: str
    """Path below ``folder``; may use ``*`` and ``{year} {month} {day}`` (two digits; ``{year}`` four). GRIB,
    NetCDF, Zarr, RADOLAN or RADKLIM binaries; as they are, or packed by bzip2, gzip or tar."""

    @field_validator("pattern")
    @classmethod
    def _relative(cls, pattern: str) -> str:
        return below_folder(pattern, year="2000", month="01", day="01")


class DwdTarget(Section):
    """Open data of Deutscher Wetterdienst, by HTTP."""

    kind: Literal["dwd"]
    """Fetched from Deutscher Wetterdienst."""
    product: Literal["cosmo_rea6", "radklim_rw", "radklim_yw"]
    """``cosmo_rea6``: hourly two-dimensional fields of the regional reanalysis, a bz2-compressed GRIB file a
    parameter and month. ``radklim_rw``, ``radklim_yw``: radar climatology, hourly and 5-minute sums."""
    parameter: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_]+$")
    """COSMO-REA6 only: folder of the parameter, such as ``T_2M``; ``constant`` for the constant fields."""
    form: Literal["binary", "netcdf"] = "binary"
    """RADKLIM only: which of the two forms on offer is fetched."""
    url: str = Field(default="https://opendata.dwd.de", pattern=r"^https?://[^\s@]+$")
    """Address of the server; TLS, but for one on this machine."""
    retries: int = Field(default=5, ge=0, le=50)
    """Attempts after a failure that can pass (HTTP 429 and 5xx, a broken download)."""
    backoff_seconds: float = Field(default=10.0, ge=0, le=600)
    """Wait before the first retry in seconds; doubles with each further one."""
    timeout_seconds: float = Field(default=60.0, gt=0)
    """Longest silence of the server in seconds before an attempt counts as failed."""

    @model_validator(mode="after")
    def _complete(self) -> DwdTarget:
        if (self.product == "cosmo_rea6") != (self.parameter is not None):
            raise ValueError("parameter goes with product = cosmo_rea6, and only with it")
        return self


class SimulatedTarget(Section):
    """Made from the simulated atmosphere (``source.kind: simulated``), with detail that it lacks."""

    kind: Literal["simulated"]
    """Made here."""
    product: Literal["temperature", "radar", "relief"]
    """``temperature``: 2 m temperature on a rotated-pole grid, as GRIB. ``radar``: hourly rain on a
    polar-stereographic grid, as NetCDF. ``relief``: height of the surface on the former grid; static."""
    seed: int = Field(default=0, ge=0)
    """Seed of relief and noise; targets of one seed lie over one relief."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Fields of the simulation that it is made from, the upper-air ones of the lowest level."""
        made_from = {"temperature": ("t", "u", "v"), "radar": ("tp", "u", "v"), "relief": ()}
        return made_from[self.product]


TargetSource = Annotated[FilesTarget | DwdTarget | SimulatedTarget, Field(discriminator="kind")]


class TargetTime(Section):
    """What a value of a target stands for in time."""

    kind: Literal["instant", "sum", "mean"] = "instant"
    """``instant``: the state at its time; ``sum`` or ``mean`` over an interval. Sums and means are brought to
    the hours of ``window_hours`` that end at the times of ``data``."""
    interval_minutes: int = Field(default=60, ge=1)
    """Minutes that a value of the files stands for; of sums and means."""
    label: Literal["end", "start"] = "end"
    """Which end of its interval a value's time is; of sums and means. Bounds in the files take precedence."""
    offset_minutes: int = Field(default=0, ge=-59, le=59)
    """Minutes by which the files' intervals or states end before those of ``data``, accepted as they are and
    stated with the target: 10 for RADKLIM RW, whose hours end at minute 50."""
    window_hours: int = Field(default=1, ge=1, le=24)
    """Hours that a value of the target store stands for; of sums and means."""


class Gridded(Section):
    """A two-dimensional product on a grid of its own."""

    source: TargetSource
    """Where the files come from."""
    variable: str
    """Name of the variable in the files: NetCDF or Zarr variable, GRIB ``shortName`` or ``cfVarName``; for
    RADOLAN and RADKLIM binaries the product, such as ``RW``."""
    units: str
    """Unit of the values in the files. What the files say must agree or be convertible without doubt."""
    method: Literal["conservative", "bilinear", "nearest"] = "conservative"
    """How values come to the evaluation grid: means over area, or interpolation between centres."""


class Static(Gridded):
    """A field that does not change, such as orography; brought to the grid of each task's target."""

    units: str
    """Unit that the field is given in. What the files say must agree or be convertible without doubt; a
    geopotential in ``m`` becomes a height, divided by 9.80665 m s-2."""


class Target(Gridded):
    """What a downstream task predicts."""

    field: str
    """The physical quantity as an ERA5 short name: it gives name, unit, transform and floor."""
    time: TargetTime = TargetTime()
    """What a value stands for in time."""
    vector: Literal["none", "u", "v"] = "none"
    """``u`` or ``v``: a wind component along the axes of the files' grid, to be turned to the geographic
    axes; this says which of the two the target is."""
    partner: str | None = None
    """Name of the other wind component in the files, where ``vector`` is not ``none``."""
    partner_source: TargetSource | None = None
    """Where the files of ``partner`` come from, where not in the files of ``source``."""
    refine: int = Field(default=1, ge=1, le=32)
    """Cells of the evaluation grid along each side of a cell of ``data.grid``."""
    region: Box | None = None
    """Points of ``data.grid`` whose cells make the evaluation grid; all where absent."""
    min_coverage: float = Field(default=0.5, gt=0, le=1)
    """Share of a cell's area that must have values; a cell with less is missing, never zero."""

    @model_validator(mode="after")
    def _pair(self) -> Target:
        if (self.vector == "none") != (self.partner is None):
            raise ValueError("vector and partner go together: name the other wind component, or neither")
        return self
