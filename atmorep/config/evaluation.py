"""What a model is scored on, and what of the scores does not go with the fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from atmorep.config.base import Name, Section
from atmorep.config.target import Box
from atmorep.errors import ConfigError

if TYPE_CHECKING:
    from atmorep.config import Config

ZeroShot = Literal["reconstruction", "forecast", "temporal_interpolation", "hindcast", "spatial"]
"""What pretrained models can be scored on, as in ``metrics.csv``."""

FEWEST: dict[ZeroShot, int] = {
    "reconstruction": 1,
    "forecast": 2,
    "temporal_interpolation": 3,
    "hindcast": 2,
    "spatial": 1,
}
"""Fewest token steps that each makes sense with: a forecast needs a visible one before, a hindcast one
behind, an interpolation one on either side."""

DOMAIN = "domain"
"""Name of the whole domain among the regions."""

BANDS = {"northern": (20, 90), "tropics": (-20, 20), "southern": (-90, -20)}
"""Latitudes in degrees of the regions of every global domain: those of ECMWF's headline scores."""


class Evaluation(Section):
    """What the held-out period is scored on."""

    tasks: tuple[ZeroShot, ...] = ("reconstruction", "forecast", "temporal_interpolation")
    """What the pretrained model is asked for without further training: to restore random tokens, to
    forecast, to fill a gap in time; ``hindcast`` is what came before, ``spatial`` a gap in space."""
    every_hours: int = Field(default=24, ge=1)
    """Hours between two initial times."""
    lead_hours: tuple[int, ...] = (3, 6)
    """Lead times of the zero-shot forecast in hours, and of the hindcast, back in time; a fine-tuned forecast
    is scored on those that it predicts at once, and at the end of each step of its roll-out."""
    mask_ratio: float = Field(default=0.5, gt=0, lt=1)
    """Share of tokens hidden in masked reconstruction."""
    gap_ratio: float = Field(default=0.25, gt=0, lt=1)
    """Share of places hidden in ``spatial``, as one patch at all times and levels."""
    regions: dict[Name, Box] = Field(default={})
    """Parts of the domain that fields are scored on too, by name; a global domain always is on ``northern``
    (20 to 90 degrees north), ``tropics`` and ``southern``."""
    thresholds: dict[str, tuple[float, ...]] = Field(default={})
    """By field, in its unit: events of exceeding them are scored of forecasts and of gaps in time that are
    filled (reliability, Brier score, CSI and the like)."""
    bootstrap_samples: int = Field(default=1000, ge=100)
    """Resamples of the block bootstrap over initial times."""
    bootstrap_block_days: float = Field(default=5.0, gt=0)
    """Length of a block in days; longer than the weather's memory."""
    seed: int = Field(default=0, ge=0)
    """Seed of evaluation masks and of the bootstrap."""
    batch_size: int = Field(default=16, ge=1)
    """Neighbourhoods predicted at a time."""


def asked(config: Config, field: str) -> list[ZeroShot]:
    """Return what a field is scored on: those of ``evaluation.tasks`` that its token steps allow."""
    settings, steps = config.evaluation, config.tokens(field).time
    without = () if settings.lead_hours else ("forecast", "hindcast")
    return [task for task in settings.tasks if steps >= FEWEST[task] and task not in without]


def check_evaluation(config: Config) -> None:
    """Refuse lead times, regions and thresholds that the fields and their grid do not have.

    Raises:
        ValueError: naming key, value and remedy.
    """
    step = config.data.time_step
    if config.evaluation.every_hours % step:
        raise ValueError(
            f"evaluation.every_hours: {config.evaluation.every_hours} h must be a multiple of "
            f"data.time_step = {step} h"
        )
    _check_leads(config, step)
    for name in config.fields:
        if not asked(config, name):
            raise ValueError(
                f"evaluation.tasks = {list(config.evaluation.tasks)}: none can be asked of {name}, which has "
                f"{config.tokens(name).time} token steps; add reconstruction, or lead_hours"
            )
    _check_regions(config)
    for name in config.evaluation.thresholds:
        if name not in config.fields:
            raise ValueError(
                f"evaluation.thresholds.{name}: is not declared; name one of the fields {list(config.fields)}"
            )


def _check_leads(config: Config, step: int) -> None:
    for name in config.fields:
        token = config.token_size(name).time * step
        longest = (config.network.neighbourhood.time - config.token_size(name).time) * step
        for lead in config.evaluation.lead_hours:
            if lead % step or not 0 < lead <= longest:
                raise ValueError(
                    f"evaluation.lead_hours: {lead} h must be a positive multiple of "
                    f"data.time_step = {step} h, at most {longest} h so that field {name} "
                    f"keeps a visible token of {token} h"
                )


def _check_regions(config: Config) -> None:
    from atmorep.grids import Grid

    grid = Grid.from_config(config.data.grid)
    for name, box in config.evaluation.regions.items():
        key = f"evaluation.regions.{name}"
        if name == DOMAIN or name in BANDS:
            raise ValueError(f"{key}: is a region of every domain or global domain; give yours another name")
        try:
            grid.part(box)
        except ConfigError as error:
            raise ValueError(f"{key}: {error}") from None
