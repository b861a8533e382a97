"""What training minimises."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from atmorep.config.base import Section


class Loss(Section):
    """Weights of the loss terms, and of the points they are averaged over."""

    mse_ensemble: float = Field(default=1.0, ge=0)
    """Weight of the squared error of each member, averaged over members; a term of weight 0 is left out."""
    statistical: float = Field(default=1.0, ge=0)
    """Weight of the published statistical loss |1 - G(y)|^2 with its sqrt(sigma) penalty."""
    crps_gaussian: float = Field(default=0.0, ge=0)
    """Weight of the closed-form CRPS of the Gaussian with the ensemble's mean and standard deviation."""
    crps_fair: float = Field(default=0.0, ge=0)
    """Weight of the fair kernel CRPS of the ensemble, for members that are random draws."""
    crps_empirical: float = Field(default=0.0, ge=0)
    """Weight of the empirical kernel CRPS of the ensemble: the tails become quantiles."""
    points: Literal["equal", "area"] = "equal"
    """How grid points count: all alike, or by the area they stand for within their neighbourhood.
    Neighbourhoods are drawn by area, so that with ``area`` every place on the sphere counts alike."""

    @property
    def terms(self) -> dict[str, float]:
        """Weights of the terms that have one."""
        return {name: w for name, w in self.model_dump(exclude={"points"}).items() if w}

    @model_validator(mode="after")
    def _any(self) -> Loss:
        if not self.terms:
            raise ValueError("all weights are zero; give at least one term a weight")
        return self
