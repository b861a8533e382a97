"""Static fields, such as orography, on the evaluation grid of a target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import __version__
from atmorep.artefacts import read_json, written_aside
from atmorep.config import Config, TargetTask
from atmorep.errors import ConfigError, DataError, IntegrityError
from atmorep.paths import Paths
from atmorep.targets.convert import open_regridder
from atmorep.targets.product import open_product
from atmorep.targets.source import gridded
from atmorep.targets.store import evaluation_grid


def static(config: Config, static: str, target: str) -> None:
    """Write the field ``static`` on the grid of ``target`` to a NetCDF file, in its unit.

    Raises:
        DataError: if the files are not what the configuration says.
        IntegrityError: if there is no list of files.
    """
    gridded(config, static), gridded(config, target)  # refuse what is not declared
    wanted, paths, grid = config.statics[static], Paths(config), evaluation_grid(config, target)
    files = [Path(entry["path"]) for entry in read_json(paths.static_raw(static))["files"]]
    product = open_product(wanted, files)
    least = config.targets[target].min_coverage
    values = open_regridder(f"statics.{static}", product, wanted, grid, least)(product.read(0))
    file = xr.Dataset(
        {static: (("latitude", "longitude"), values, {"units": wanted.units, "regridding": wanted.method})},
        coords={
            "latitude": ("latitude", grid.latitude, {"standard_name": "latitude", "units": "degrees_north"}),
            "longitude": (
                "longitude",
                grid.longitude,
                {"standard_name": "longitude", "units": "degrees_east"},
            ),
        },
        attrs={
            "Conventions": "CF-1.11",
            "target": target,
            "source_variable": wanted.variable,
            "source_geometry": product.geometry.identity,
            "code_version": __version__,
        },
    )
    with written_aside(paths.static(static, target)) as aside:
        file.to_netcdf(aside, engine="netcdf4")


def physical_statics(config: Config, task: str) -> NDArray[np.float32]:
    """Return the static fields (S, rows, columns) of ``task`` in their units; NaN where there are none.

    Raises:
        ConfigError: if the task predicts no target.
        IntegrityError: if a file is absent or broken.
    """
    wanted = config.finetune[task]
    if not isinstance(wanted, TargetTask):
        raise ConfigError(f"finetune.{task}: only tasks of kind target have static fields")
    fields = [_read(Paths(config).static(name, wanted.target), name) for name in wanted.statics]
    shape = evaluation_grid(config, wanted.target).shape
    return np.array(fields, np.float32).reshape(-1, *shape)


def load_statics(config: Config, task: str) -> NDArray[np.float32]:
    """Return the static fields (S, rows, columns) of ``task`` with mean 0 and standard deviation 1.

    Over the cells that have values; the others are 0. A field that is the same everywhere is 0.

    Raises:
        DataError: if a field has no value at all.
        IntegrityError: if a file is absent or broken.
    """
    fields = physical_statics(config, task)
    if np.isnan(fields).all((1, 2)).any():
        raise DataError(f"finetune.{task}.statics: one has no value on the grid of the target; remove it")
    mean, std = (f(fields, axis=(1, 2), keepdims=True, dtype=np.float64) for f in (np.nanmean, np.nanstd))
    return np.nan_to_num((fields - mean) / np.where(std > 0, std, 1)).astype(np.float32)


def _read(path: Path, name: str) -> NDArray[np.float32]:
    try:
        with xr.open_dataset(path) as file:
            return file[name].to_numpy().astype(np.float32)
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(
            f"{path}: cannot be read ({error}); delete it and run 'atmorep static'"
        ) from None
