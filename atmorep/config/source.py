"""Where the ERA5 fields come from: ``source:`` in the configuration, one class a kind."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator

from atmorep.config.base import Section, below_folder


class FilesSource(Section):
    """GRIB, NetCDF or Zarr that is on disk already."""

    kind: Literal["files"]
    """On disk already."""
    folder: Path
    """Folder that holds the data; the one key to change when it moves."""
    pattern: str
    """Path below ``folder``; may use ``*`` and the placeholders ``{field} {level} {year} {month}``
    (month with two digits)."""
    record_missing: bool = False
    """Record hours the files lack as missing instead of refusing them; they are never sampled."""

    @field_validator("pattern")
    @classmethod
    def _relative(cls, pattern: str) -> str:
        return below_folder(pattern, field="t", level=1, year=2000, month="01")


class SimulatedSource(Section):
    """A simulated atmosphere (primitive equations with simple physics), written as ERA5-like GRIB."""

    kind: Literal["simulated"]
    """Made here."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial perturbation."""
    truncation: Literal[21, 31, 42] = 31
    """Triangular spectral truncation of the dynamical core."""
    spin_up_days: int = Field(default=20, ge=1, le=200)
    """Days integrated before the first configured day."""
    record_missing: Literal[False] = False
    """A simulation lacks no hour."""


class CdsSource(Section):
    """The Copernicus Climate Data Store; the key comes from the environment or ~/.cdsapirc only."""

    kind: Literal["cds"]
    """Fetched from the Climate Data Store."""
    url: str | None = None
    """Address of the API; default: the client's own configuration."""
    retries: int = Field(default=5, ge=0, le=50)
    """Attempts after a failure that can pass (HTTP 429 and 5xx, a broken download)."""
    backoff_seconds: float = Field(default=10.0, ge=0, le=600)
    """Wait before the first retry in seconds; doubles with each further one."""
    timeout_hours: float = Field(default=48.0, gt=0)
    """Give up on a request that stays queued longer than this many hours."""
    expver: Literal["final", "any"] = "final"
    """``final`` accepts ERA5 (experiment version 1) only; ``any`` takes preliminary ERA5T (5) too,
    but never both in one file."""
    record_missing: bool = False
    """Record hours the archive lacks as missing instead of refusing them."""


Source = Annotated[FilesSource | SimulatedSource | CdsSource, Field(discriminator="kind")]
