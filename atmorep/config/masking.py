"""The training task: which tokens are hidden, and how."""

from __future__ import annotations

from pydantic import Field, ValidationError, model_validator

from atmorep.config.base import Section


class FieldMasking(Section):
    """Where one field is hidden otherwise than ``masking`` says."""

    ratio_min: float | None = Field(default=None, ge=0, le=1)
    """In place of ``masking.ratio_min``."""
    ratio_max: float | None = Field(default=None, gt=0, le=1)
    """In place of ``masking.ratio_max``."""
    masked: float | None = Field(default=None, ge=0, le=1)
    """In place of ``masking.masked``."""
    noised: float | None = Field(default=None, ge=0, le=1)
    """In place of ``masking.noised``."""
    coarsened: float | None = Field(default=None, ge=0, le=1)
    """In place of ``masking.coarsened``."""


class Masking(Section):
    """The training task: which tokens are hidden and how (spatio-temporal BERT)."""

    ratio_min: float = Field(default=0.0, ge=0, le=1)
    """Smallest share of tokens, or of places, hidden; the share is drawn uniformly per sample."""
    ratio_max: float = Field(default=0.9, gt=0, le=1)
    """Largest share of tokens, or of places, hidden."""
    masked: float = Field(default=0.9, ge=0, le=1)
    """Of the random tokens hidden, the share that is blanked."""
    noised: float = Field(default=0.05, ge=0, le=1)
    """Of the random tokens hidden, the share that is noised."""
    coarsened: float = Field(default=0.05, ge=0, le=1)
    """Of the random tokens hidden, the share that is coarsened; what remains is left as it is."""
    noise_std: float = Field(default=1.0, gt=0)
    """Standard deviation of the noise in normalised units."""
    coarsening: int = Field(default=3, ge=2)
    """Grid points averaged per direction where a token is coarsened."""
    forecast: float = Field(default=0.0, ge=0, le=1)
    """Share of samples that lack the last time steps, in all fields, instead of random tokens."""
    forecast_hours: int | None = Field(default=None, ge=1)
    """Longest forecast drawn in hours, whole tokens being hidden; default half of the neighbourhood."""
    forecast_hours_min: int | None = Field(default=None, ge=1)
    """Shortest forecast drawn in hours, whole tokens being hidden; default one token step."""
    temporal_interpolation: float = Field(default=0.0, ge=0, le=1)
    """Share of samples that lack an inner token step, in all fields, instead of random tokens."""
    spatial: float = Field(default=0.0, ge=0, le=1)
    """Share of samples that lack whole places, at all times and levels, instead of random tokens."""
    patches: int = Field(default=1, ge=1)
    """Contiguous patches the missing places of a spatial sample form; many are places here and there."""
    synchronised: bool = False
    """Hide the same tokens, level by level, of all fields that are trained together. They are drawn among
    tokens of the coarsest size in each direction; a finer one is hidden with the one its centre is in."""

    @model_validator(mode="after")
    def _shares(self) -> Masking:
        if self.ratio_min > self.ratio_max:
            raise ValueError(f"ratio_min = {self.ratio_min} exceeds ratio_max = {self.ratio_max}")
        if self.masked + self.noised + self.coarsened > 1 + 1e-9:
            raise ValueError("masked + noised + coarsened must not exceed 1; the rest stays as it is")
        shortest, longest = self.forecast_hours_min, self.forecast_hours
        if shortest and longest and shortest > longest:
            raise ValueError(f"forecast_hours_min = {shortest} exceeds forecast_hours = {longest}")
        if self.forecast + self.temporal_interpolation + self.spatial > 1 + 1e-9:
            raise ValueError(
                "forecast + temporal_interpolation + spatial must not exceed 1; the rest are random tokens"
            )
        return self

    def of(self, name: str, field: FieldMasking | None) -> Masking:
        """Return what holds for the field ``name``.

        Raises:
            ValueError: if what it replaces does not go with what it leaves.
        """
        if field is None:
            return self
        try:
            return Masking.model_validate({**self.model_dump(), **field.model_dump(exclude_none=True)})
        except ValidationError as error:
            reasons = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
            raise ValueError(f"fields.{name}.masking: with masking, {reasons}") from None
