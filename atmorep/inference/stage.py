"""The commands ``attention`` and ``embed``: look inside the model of an experiment at one time and place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import __version__
from atmorep.artefacts import written_aside
from atmorep.config import Config
from atmorep.errors import ConfigError, DataError
from atmorep.inference import inside
from atmorep.inference.labels import of_sample
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window
from atmorep.store.layout import vertical_attributes

_WRITERS: dict[str, Callable[[xr.DataTree, Path], Any]] = {
    ".nc": lambda tree, path: tree.to_netcdf(path, engine="netcdf4"),
    ".zarr": lambda tree, path: tree.to_zarr(path, zarr_format=3, consolidated=False),
}


def attention(config: Config, field: str, time: str, latitude: str, longitude: str, output: str) -> None:
    """Write what the tokens of ``field`` at a time and place attend to, all levels, blocks and heads.

    The neighbourhood around is seen whole. Groups of the file are as of
    :func:`atmorep.inference.inside.attention`.

    Args:
        config: of the experiment.
        field: ERA5 short name.
        time: ISO 8601, UTC.
        latitude: degrees north.
        longitude: degrees east.
        output: NetCDF file (``.nc``) or Zarr store (``.zarr``) to be.

    Raises:
        ConfigError: if an option is refused.
        DataError: if the store lacks values there.
        IntegrityError: if the model or the store is not there.
    """
    write, predictor = _writer(output), _open(config, field)
    window, token = _around(predictor.neighbourhoods[field], time, latitude, longitude)
    queries = [(level, *token) for level in range(len(predictor.levels))]
    found = inside.attention(predictor, [window], _nothing_hidden(predictor), queries)
    groups = {name: _described(config, dataset) for name, dataset in found.items()}
    write(_tree(config, field, "Attention of tokens", groups), Path(output))


def embed(config: Config, field: str, time: str, latitude: str, longitude: str, output: str) -> None:
    """Write the tokens of ``field`` around a time and place, as they are embedded and after each block.

    Arguments and errors are those of :func:`attention`.
    """
    write, predictor = _writer(output), _open(config, field)
    window, _ = _around(predictor.neighbourhoods[field], time, latitude, longitude)
    found = inside.embeddings(predictor, [window], _nothing_hidden(predictor))
    write(_tree(config, field, "Embedded tokens", {"/": _described(config, found)}), Path(output))


def _open(config: Config, field: str) -> Predictor:
    return Predictor.load(config, field, Paths(config).scored(field))


def _nothing_hidden(predictor: Predictor) -> dict[str, NDArray[np.bool_]]:
    return {name: np.zeros((1, *reader.tokens), bool) for name, reader in predictor.neighbourhoods.items()}


def _around(
    reader: NeighbourhoodReader, time: str, latitude: str, longitude: str
) -> tuple[Window, tuple[int, int, int]]:
    """The neighbourhood in whose middle a point is, as far as the domain allows, and its token there."""
    point = (_step(reader, time), *_place(reader, latitude, longitude))
    stored = (reader.reader.axis.size, *reader.reader.grid.shape)
    first = [
        min(max(0, at - extent // 2), size - extent)
        for at, extent, size in zip(point, reader.extent.shape, stored, strict=True)
    ]
    if reader.reader.grid.periodic:
        first[2] = (point[2] - reader.extent.longitude // 2) % stored[2]
    window = Window(*first)
    if not reader.reader.available()[window.start : window.start + reader.extent.time].all():
        raise DataError(
            f"{reader.field}: the store lacks an hour of the {reader.extent.time} steps around {time}; "
            "choose a time in the middle of one of data.periods, or convert what is missing"
        )
    step, row, column = (
        (at - start) % size // token
        for at, start, size, token in zip(point, first, stored, reader.token_size, strict=True)
    )
    return window, (step, row, column)


def _step(reader: NeighbourhoodReader, time: str) -> int:
    axis = reader.reader.axis
    try:
        return int(axis.index(np.datetime64(time)))
    except ValueError as error:
        last = axis.at(np.int64(axis.size - 1))
        raise ConfigError(
            f"--time {time}: is none of the store's, {axis.origin} to {last} every {axis.step} h ({error})"
        ) from None


def _place(reader: NeighbourhoodReader, latitude: str, longitude: str) -> tuple[int, int]:
    grid = reader.reader.grid
    try:
        row = round((grid.north - float(latitude)) / grid.resolution)
        column = round((float(longitude) - grid.west) / grid.resolution)
    except ValueError as error:
        raise ConfigError(f"--latitude {latitude} --longitude {longitude}: give degrees ({error})") from None
    column = column % round(360 / grid.resolution)
    if not (0 <= row < grid.shape[0] and column < grid.shape[1]):
        (south, north), (west, east) = grid.latitude[[-1, 0]], grid.longitude[[0, -1]]
        raise ConfigError(
            f"--latitude {latitude} --longitude {longitude}: is outside of the grid, {south:g} to {north:g} "
            f"N and {west:g} to {east:g} E"
        )
    return row, column


def _writer(output: str) -> Callable[[xr.DataTree, Path], None]:
    suffix = Path(output).suffix
    if suffix not in _WRITERS:
        raise ConfigError(f"--output {output}: its name must end in one of {', '.join(_WRITERS)}")

    def write(tree: xr.DataTree, path: Path) -> None:
        with written_aside(path) as aside:
            _WRITERS[suffix](tree, aside)

    return write


def _described(config: Config, dataset: xr.Dataset) -> xr.Dataset:
    """Return one neighbourhood of ``dataset`` with attributes of its levels."""
    own = of_sample(dataset, 0)
    own["level"].attrs = vertical_attributes(config, own.attrs.get("attended", own.attrs["field"]))
    return own


def _tree(config: Config, field: str, title: str, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The groups of a file; what they are of is said at its root."""
    tree = xr.DataTree.from_dict(dict(groups))
    simulated = " (simulated atmosphere, not ERA5)" if config.source.kind == "simulated" else ""
    tree.attrs |= {
        "Conventions": "CF-1.11",
        "title": f"{title} of {field}{simulated}",
        "source": f"AtmoRep {__version__}, {Paths(config).scored(field)}",
    }
    return tree
