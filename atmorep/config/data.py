"""What is taken from the source: grid, time step, levels and periods."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Literal

from pydantic import Field, field_validator, model_validator

from atmorep.config.base import Section


class GridConfig(Section):
    """A regular latitude–longitude grid, rows north to south, columns west to east."""

    north: float = Field(default=90.0, ge=-90, le=90)
    """Latitude of the first row in degrees."""
    south: float = Field(default=-90.0, ge=-90, le=90)
    """Latitude of the last row in degrees."""
    west: float = Field(default=0.0, ge=-180, lt=360)
    """Longitude of the first column in degrees."""
    east: float = Field(default=359.75, gt=-180, lt=540)
    """Longitude of the last column in degrees; may pass 360 for a domain across Greenwich."""
    resolution: float = Field(default=0.25, gt=0, le=30)
    """Spacing of rows and of columns in degrees."""

    @model_validator(mode="after")
    def _fits(self) -> GridConfig:
        for high, low, names in (
            (self.north, self.south, "north - south"),
            (self.east, self.west, "east - west"),
        ):
            steps = (high - low) / self.resolution
            if steps < 1 or abs(steps - round(steps)) > 1e-6:
                raise ValueError(
                    f"{names} = {high - low} must be a positive multiple of resolution = {self.resolution}"
                )
        if self.east - self.west + self.resolution > 360 + 1e-6:
            raise ValueError(f"east - west = {self.east - self.west} covers some columns twice")
        return self


class Levels(Section):
    """The vertical coordinate of the upper-air fields."""

    type: Literal["model", "pressure"] = "model"
    """``model``: ECMWF hybrid levels (1–137); ``pressure``: hPa."""
    values: tuple[int, ...] = (96, 105, 114, 123, 137)
    """Level numbers, or pressures in hPa."""

    @model_validator(mode="after")
    def _sane(self) -> Levels:
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"values = {list(self.values)} must be distinct and not empty")
        top = 137 if self.type == "model" else 1100
        for level in self.values:
            if not 1 <= level <= top:
                raise ValueError(f"there is no {self.type} level {level}; use 1 to {top}")
        return self


class Period(Section):
    """Whole days, both ends included."""

    start: dt.date
    """First day (YYYY-MM-DD)."""
    end: dt.date
    """Last day (YYYY-MM-DD)."""

    @model_validator(mode="after")
    def _ordered(self) -> Period:
        if self.end < self.start:
            raise ValueError(f"end = {self.end} is before start = {self.start}")
        return self

    @property
    def hours(self) -> int:
        """Length in hours."""
        return ((self.end - self.start).days + 1) * 24


class Periods(Section):
    """Disjoint periods for training, validation and test."""

    train: tuple[Period, ...]
    """Days the weights and the normalisation are computed from."""
    validation: tuple[Period, ...]
    """Days the validation loss is computed on."""
    test: tuple[Period, ...]
    """Days the scores are computed on."""

    @model_validator(mode="after")
    def _disjoint(self) -> Periods:
        named = sorted(
            ((p.start, p.end, name) for name in ("train", "validation", "test") for p in getattr(self, name)),
        )
        for (start, end, name), (start2, end2, name2) in itertools.pairwise(named):
            if start2 <= end:
                raise ValueError(
                    f"{name} ({start} to {end}) and {name2} ({start2} to {end2}) overlap; "
                    "periods must be disjoint"
                )
        for name in ("train", "validation", "test"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty; give at least one period")
        return self


class Data(Section):
    """The data set taken from the source and kept in the store."""

    grid: GridConfig = GridConfig()
    """Horizontal grid; the source must deliver exactly this one."""
    time_step: int = Field(default=1, ge=1, le=24)
    """Hours between two states; a divisor of 24."""
    levels: Levels = Levels()
    """Levels of the upper-air fields."""
    periods: Periods
    """Training, validation and test days."""

    @field_validator("time_step")
    @classmethod
    def _divides_day(cls, hours: int) -> int:
        if 24 % hours:
            raise ValueError(f"{hours} hours do not divide a day; use 1, 2, 3, 4, 6, 8, 12 or 24")
        return hours
