"""Static fields, such as orography, brought to the evaluation grid of a target."""

from __future__ import annotations

import xarray as xr

from atmorep import __version__, integrity
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.targets.convert import delivered, open_regridder
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
    listed = paths.static_raw(static)
    files = delivered(listed)["files"]
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
    remedy = f"rerun 'atmorep static --static {static} --target {target}'"
    with integrity.recorded(paths.static(static, target), remedy, [listed]) as aside:
        file.to_netcdf(aside, engine="netcdf4")
