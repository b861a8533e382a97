"""The stage ``baselines``: fit what a downstream task is compared with, keep it and load it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from atmorep import integrity
from atmorep.artefacts import read_json, write_json
from atmorep.config import Config
from atmorep.downstream.baselines import Baseline, Interpolated, LapseRate, QuantileMapping, Regression
from atmorep.downstream.fits import SHARES, Fit
from atmorep.downstream.inputs import Inputs, Values
from atmorep.downstream.statics import read_static
from atmorep.errors import ConfigError, IntegrityError
from atmorep.fields import field as known_field
from atmorep.paths import Paths

SUMMARY = "fitted.json"
"""What was fitted in short, for the report."""


def fit(config: Config, task: str) -> None:
    """Fit the baselines of ``task``; writes the folder ``Paths(config).baseline(task)`` at once.

    Raises:
        ConfigError: if there is no such task, or a baseline lacks what it needs.
        DataError: if training days hold too few values.
        IntegrityError: if a store or static field is not there.
    """
    inputs = Inputs(config, task)
    fits, summary = Fit.of(inputs), {}
    remedy = f"rerun 'atmorep baselines --task {task}'"
    statics = (Paths(config).static(name, inputs.task.target) for name in inputs.task.statics)
    with integrity.recorded(Paths(config).baseline(task), remedy, filter(Path.exists, statics)) as folder:
        folder.mkdir()
        for name in inputs.task.baselines:
            began = time.monotonic()
            summary[name] = _fit(fits, name, folder)
            print(f"{task} {name}: {time.monotonic() - began:.1f} s", flush=True)
        write_json(folder / SUMMARY, summary)


def _fit(fits: Fit, name: str, folder: Path) -> dict[str, Any]:
    """Fit one baseline and write what it is; returns what there is to be said of it."""
    if name == "lapse_rate":
        fitted = fits.lapse_rate(above(fits.inputs))
        units = known_field(fits.inputs.target.field).units
        return {"rate": fitted.rate, "offset": fitted.offset, "units": f"{units} m**-1"}
    if name == "regression":
        regression = fits.regression()
        names = list(fits.inputs.names)
        _write(folder / "regression.nc", {"coefficients": regression.coefficients}, {"regressor": names})
        means = regression.coefficients.mean(axis=(1, 2))
        return {"coefficients": dict(zip(names, map(float, means), strict=True))}
    if name == "quantile_mapping":
        mapping = fits.quantile_mapping()
        _write(folder / "quantile_mapping.nc", vars(mapping), {"share": SHARES})
        shown = {share: int(np.argmin(np.abs(SHARES - share))) for share in (0.5, 0.9, 0.99)}
        pairs = {"guess": mapping.guess, "target": mapping.target}
        said = {f"{k}@{s:g}": float(q[n].mean()) for k, q in pairs.items() for s, n in shown.items()}
        return {"quantiles": said}
    if name == "unet":
        from atmorep.downstream.unet import fit_unet  # Lightning takes longer to import than all the rest

        return fit_unet(fits.inputs.config, fits.inputs.name, folder)
    return {}


def _write(path: Path, variables: dict[str, Values], axis: dict[str, Any]) -> None:
    ((name, values),) = axis.items()
    dims = (name, "row", "column")
    packed = {key: {"zlib": True, "complevel": 1} for key in variables}
    dataset = xr.Dataset({key: (dims, array) for key, array in variables.items()}, {name: values})
    dataset.to_netcdf(path, engine="netcdf4", encoding=packed)


def load(inputs: Inputs) -> dict[str, Baseline]:
    """Load the baselines of a task by name: ``raw`` of an accumulated target first, then those configured.

    Raises:
        IntegrityError: if they are not there, or are damaged.
    """
    folder = Paths(inputs.config).baseline(inputs.name)
    if (folder / integrity.NAME).exists():
        integrity.check(folder / integrity.NAME)
    summary = read_json(folder / SUMMARY)
    found: dict[str, Baseline] = {}
    target, guess = (known_field(name) for name in (inputs.target.field, inputs.task.guess.field))
    if target.accumulated and target.units == guess.units:
        found["raw"] = Interpolated("nearest")
    try:
        return found | {name: _load(inputs, name, folder, summary) for name in inputs.task.baselines}
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"{folder}: cannot be read ({error}); delete it and run 'atmorep baselines --task {inputs.name}'"
        ) from None


def _load(inputs: Inputs, name: str, folder: Path, summary: dict[str, Any]) -> Baseline:
    if name == "bilinear":
        return Interpolated("bilinear")
    if name == "bicubic":
        return Interpolated("bicubic")
    if name == "lapse_rate":
        return LapseRate(summary[name]["rate"], summary[name]["offset"], above(inputs))
    if name == "unet":
        from atmorep.downstream.unet import Trained

        return Trained.load(inputs.config, inputs.name, folder)
    with xr.open_dataset(folder / f"{name}.nc") as file:
        arrays = {str(key): values.to_numpy() for key, values in file.data_vars.items()}
    if name == "regression":
        return Regression(**arrays)
    return QuantileMapping(**arrays)


def above(inputs: Inputs) -> Values:
    """Height in m of the cells over that of the interpolated points (row, column); zero where not known.

    The height is the first static field of the task whose unit is m. That of a point is the mean over its
    cells, and is interpolated as the guess is; points outside the region are taken to be as high as the
    nearest within.
    """
    name = inputs.config.height(inputs.task)
    if name is None:
        raise ConfigError(f"finetune.{inputs.name}.statics: none has units m, so that no height is known")
    path = Paths(inputs.config).static(name, inputs.task.target)
    height = read_static(path, inputs.target.grid)
    refine = inputs.target.refine
    rows, columns = (n // refine for n in height.shape)
    with np.errstate(invalid="ignore"):
        points = np.nanmean(height.reshape(rows, refine, columns, refine), axis=(1, 3))
    return np.nan_to_num(height - inputs.between.alone(points))
