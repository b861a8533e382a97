"""The commands that use a trained model on a user's own files."""

from __future__ import annotations

from collections.abc import Sequence

import atmorep
from atmorep.errors import ConfigError
from atmorep.inference.described import writer
from atmorep.inference.elsewhere import Elsewhere
from atmorep.inference.finetuned import FineTuned
from atmorep.inference.opened import open_inputs
from atmorep.inference.pretrained import Pretrained


def forecast(
    bundle: str,
    inputs: Sequence[str],
    output: str,
    hours: int,
    members: int | None = None,
    start: str | None = None,
) -> None:
    """Write a forecast; see :meth:`atmorep.inference.pretrained.Pretrained.forecast`.

    Args:
        bundle: folder of a trained model.
        inputs: GRIB files, NetCDF files or Zarr stores.
        output: NetCDF file or Zarr store to be.
        hours: how far ahead.
        members: of the ensemble.
        start: initial time.

    Raises:
        AtmoRepError: if something is refused; nothing is written then.
    """
    write = writer(output)
    write(pretrained(bundle).forecast(open_inputs(inputs), hours, members=members, start=start))


def counterfactual(
    bundle: str,
    inputs: Sequence[str],
    output: str,
    hours: int,
    members: int | None = None,
    start: str | None = None,
    year: int | None = None,
    day: int | None = None,
    hour: int | None = None,
    latitude: float | None = None,
    longitude: float | None = None,
) -> None:
    """Write a forecast under other token information.

    Arguments and errors are those of :func:`forecast` and of :class:`atmorep.inference.elsewhere.Elsewhere`.
    """
    write, elsewhere = writer(output), Elsewhere(year, day, hour, latitude, longitude)
    model, datasets = pretrained(bundle), open_inputs(inputs)
    write(model.counterfactual(datasets, hours, elsewhere, members=members, start=start))


def interpolate(bundle: str, inputs: Sequence[str], output: str, members: int | None = None) -> None:
    """Write the input with the times between filled; arguments and errors are those of :func:`forecast`."""
    write = writer(output)
    write(pretrained(bundle).interpolate(open_inputs(inputs), members=members))


def fill(bundle: str, inputs: Sequence[str], output: str, members: int | None = None) -> None:
    """Write the input with missing values filled; arguments and errors are those of :func:`forecast`."""
    write = writer(output)
    write(pretrained(bundle).fill(open_inputs(inputs), members=members))


def correct(bundle: str, inputs: Sequence[str], output: str, members: int | None = None) -> None:
    """Write the input predicted anew; arguments and errors are those of :func:`forecast`."""
    write = writer(output)
    write(pretrained(bundle).correct(open_inputs(inputs), members=members))


def downscale(bundle: str, inputs: Sequence[str], output: str, members: int | None = None) -> None:
    """Write the target of a downstream task; arguments and errors are those of :func:`forecast`."""
    write = writer(output)
    write(finetuned(bundle).downscale(open_inputs(inputs), members=members))


def precipitation(bundle: str, inputs: Sequence[str], output: str, members: int | None = None) -> None:
    """Write corrected precipitation; arguments and errors are those of :func:`forecast`."""
    write = writer(output)
    write(finetuned(bundle).precipitation(open_inputs(inputs), members=members))


def attention(
    bundle: str,
    inputs: Sequence[str],
    output: str,
    field: str,
    time: str,
    latitude: float,
    longitude: float,
) -> None:
    """Write what tokens attend to; see :meth:`atmorep.inference.pretrained.Pretrained.attention`."""
    write = writer(output)
    write(pretrained(bundle).attention(open_inputs(inputs), field, time, latitude, longitude))


def embed(
    bundle: str,
    inputs: Sequence[str],
    output: str,
    field: str,
    time: str,
    latitude: float,
    longitude: float,
) -> None:
    """Write the tokens around a place; see :meth:`atmorep.inference.pretrained.Pretrained.embed`."""
    write = writer(output)
    write(pretrained(bundle).embed(open_inputs(inputs), field, time, latitude, longitude))


def pretrained(bundle: str) -> Pretrained:
    """Load a bundle of fields.

    Raises:
        ConfigError: if it is of a downstream task.
    """
    model = atmorep.load(bundle)
    if not isinstance(model, Pretrained):
        raise ConfigError(
            f"{bundle}: is of the downstream task {model.task}, which predicts {model.scale.field} of a "
            "target; use 'atmorep downscale' or 'atmorep precipitation', or name a bundle of fields"
        )
    return model


def finetuned(bundle: str) -> FineTuned:
    """Load a bundle of a downstream task.

    Raises:
        ConfigError: if it is of fields.
    """
    model = atmorep.load(bundle)
    if not isinstance(model, FineTuned):
        raise ConfigError(f"{bundle}: is of no downstream task; name a bundle that 'atmorep finetune' wrote")
    return model
