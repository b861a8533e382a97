"""Downstream tasks: what the pretrained model is fine-tuned for."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from atmorep.config.base import Name, Section
from atmorep.config.loss import Loss
from atmorep.config.network import LEAST_ROTARY
from atmorep.config.target import Box
from atmorep.config.training import Training

Core = Literal["frozen", "decoder", "full", "scratch"]


class Guess(Section):
    """A field that the head's output is added to, interpolated bilinearly to the target's cells."""

    field: str
    """ERA5 short name, one of ``fields``."""
    level: int | None = None
    """Level of an upper-air field."""
    regression: Literal["cells"] | None = None
    """``cells``: departures are from a linear regression of the target on the guess and the hour of the day,
    fitted for each cell on training days. For a fixed region, whose cells it knows apart from the start."""


class Head(Section):
    """The tail network: a transformer over the tokens of a time step, then layers on the target's cells."""

    embed_dim: int = Field(default=256, ge=8)
    """Width of the transformer."""
    heads: int = Field(default=8, ge=1)
    """Attention heads a block."""
    blocks: int = Field(default=2, ge=0)
    """Blocks of the transformer."""
    channels: int = Field(default=32, ge=1)
    """Features a cell of the target's grid."""
    layers: int = Field(default=2, ge=1)
    """Convolutions of 3 x 3 cells."""
    tails: int = Field(default=16, ge=2)
    """Members of the ensemble."""

    @model_validator(mode="after")
    def _divides(self) -> Head:
        if self.embed_dim % (2 * self.heads) or self.embed_dim // self.heads < LEAST_ROTARY:
            raise ValueError(
                f"embed_dim = {self.embed_dim} must give each of heads = {self.heads} as many features, an "
                f"even number of {LEAST_ROTARY} or more"
            )
        return self


class Point(Section):
    """A place of which the series is kept, as a station's."""

    latitude: float = Field(ge=-90, le=90)
    """Degrees north."""
    longitude: float = Field(ge=-180, lt=360)
    """Degrees east."""


class TargetScores(Section):
    """What of a task is scored beside what all tasks are scored on."""

    every_hours: int | None = Field(default=None, ge=1)
    """Hours between the times that are scored, which is cheap for a small region; as in ``evaluation`` where
    absent."""
    thresholds: tuple[float, ...] = ()
    """In the unit of the target's field: events of exceeding them are scored (frequency bias, POD, FAR, CSI,
    ETS, FSS)."""
    scales: tuple[int, ...] = (1,)
    """Sides of the squares in cells that the fractions skill score is computed on."""
    points: dict[Name, Point] = Field(default={})
    """Places whose series are kept and drawn, by name."""


Baseline = Literal["bilinear", "bicubic", "lapse_rate", "regression", "quantile_mapping", "unet"]
"""What a task is compared with.

``bilinear`` and ``bicubic`` interpolate the guess; ``lapse_rate`` corrects it for the height of the cell,
the first of ``statics`` in m; ``regression`` is linear in the fields around, cell by cell;
``quantile_mapping`` gives the guess the target's distribution; ``unet`` is trained with as many operations as
the task."""


class TargetTask(Section):
    """A target predicted from the fields at the same time: downscaling, correction."""

    kind: Literal["target"]
    """Predicts a target."""
    target: str
    """Name of the target, one of ``targets``."""
    fields: tuple[str, ...] = ()
    """Fields whose decoder tokens the head reads; all with tokens like the first field's where empty."""
    guess: Guess
    """What the prediction starts from, and what the baselines interpolate."""
    statics: tuple[str, ...] = ()
    """Static fields the head is given, of ``statics``."""
    core: Core = "frozen"
    """What of the pretrained model is trained: nothing, its decoders, all of it, or all from ``scratch``,
    without its weights."""
    steps: Literal["middle", "all"] = "middle"
    """Time steps that are predicted: those of the middle token, which sees both sides, or all."""
    head: Head = Head()
    """The tail network."""
    loss: Loss = Loss(mse_ensemble=0, statistical=0, crps_empirical=1)
    """What is minimised, on the cells that have a target."""
    censored: bool = False
    """Members below the floor of the field count as the floor: for rain, most of which is none."""
    holdout: Box | None = None
    """Cells that training never sees and that are scored as a region of their own."""
    training: Training | None = None
    """Optimisation; where absent, as ``training``."""
    baselines: tuple[Baseline, ...] = ("bilinear", "bicubic", "regression")
    """What the task is compared with, fitted on the same training days."""
    scores: TargetScores = TargetScores()
    """What is scored besides."""


class ForecastTask(Section):
    """Forecasts: the last time steps are hidden in every sample; predictions fed back reach further."""

    kind: Literal["forecast"]
    """Predicts the fields themselves."""
    hours: int = Field(ge=1)
    """Hours that are hidden, and by which a roll-out steps on; whole tokens of all fields."""
    rollout_hours: int | None = Field(default=None, ge=1)
    """Longest lead time in hours, a multiple of ``hours``, reached by feeding predictions back; ``hours``
    where absent."""
    core: Literal["decoder", "full"] = "full"
    """What of the pretrained model is trained: its decoders and tails, or all of it."""
    training: Training | None = None
    """Optimisation; where absent, as ``training``."""

    @property
    def longest(self) -> int:
        """Longest lead time in hours."""
        return self.rollout_hours or self.hours


Task = Annotated[TargetTask | ForecastTask, Field(discriminator="kind")]
