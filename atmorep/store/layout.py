"""The store's arrays: one sharded Zarr v3 array a field, with CF coordinates, created empty."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from atmorep import __version__
from atmorep.artefacts import read_json, write_json
from atmorep.config import Config
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import STORE_LAYOUT, Paths
from atmorep.store.shards import codecs
from atmorep.timeaxis import TimeAxis

INNER_HOURS, INNER_ROWS, INNER_COLUMNS = 12, 18, 36
"""Largest extent of an inner chunk in time steps, rows and columns: about a third of a neighbourhood
each way, so that few bytes are decoded in vain."""

_TIME_CHUNK = 65_536
"""Times a chunk of the time coordinate; 44 years of hours make six."""

_VERTICAL = {
    "surface": {"long_name": "single level", "units": "1", "axis": "Z"},
    "model": {
        "long_name": "ECMWF hybrid level number (of 137)",
        "units": "1",
        "positive": "down",
        "axis": "Z",
    },
    "pressure": {
        "standard_name": "air_pressure",
        "long_name": "pressure",
        "units": "hPa",
        "positive": "down",
        "axis": "Z",
    },
}


def vertical(field: str) -> str:
    """Name of the vertical dimension of ``field``."""
    return "surface" if known_field(field).surface else "level"


def vertical_attributes(config: Config, field: str) -> dict[str, str]:
    """CF attributes of the vertical coordinate of ``field``."""
    return _VERTICAL["surface" if known_field(field).surface else config.data.levels.type]


def chunk_shape(config: Config, field: str) -> tuple[int, int, int, int]:
    """Inner chunk of the array of ``field``: what one read decodes at least."""
    per_day = TimeAxis.of(config.data).per_day
    rows, columns = Grid.from_config(config.data.grid).shape
    hours = INNER_HOURS if per_day % INNER_HOURS == 0 else per_day
    levels = len(config.store_levels(field))
    return hours, levels, min(rows, INNER_ROWS), min(columns, INNER_COLUMNS)


def shard_shape(config: Config, field: str) -> tuple[int, int, int, int]:
    """Shard of the array of ``field``: a day, all levels, the grid padded to whole inner chunks."""
    per_day = TimeAxis.of(config.data).per_day
    _, levels, row, column = chunk_shape(config, field)
    rows, columns = Grid.from_config(config.data.grid).shape
    return per_day, levels, -(-rows // row) * row, -(-columns // column) * column


def shard_path(config: Config, field: str, day: int) -> Path:
    """File of the shard of the ``day``-th day (from 0) of the store's time axis."""
    return Paths(config).store / field / "c" / str(day) / "0" / "0" / "0"


def create(config: Config, field: str) -> None:
    """Create the empty array of ``field``, or extend it to the configured period.

    What is there stays: repeating it changes nothing, a longer period only grows the time axis (of
    all fields, so that the store opens as one data set). Jobs for several fields may run at once.

    Every conversion begins with it: as a job of its own, a longer period would run it again, and
    with it all that was converted below it.
    """
    paths = Paths(config)
    with _exclusive(paths.store_folder / "layout.lock"):
        if _fits(paths, config, field):
            return
        # Not through consolidated metadata: it would hide what is created here.
        root = zarr.open_group(
            paths.store, mode="a", zarr_format=3, use_consolidated=False, attributes=_root_attributes(config)
        )
        _create_array(root, config, field)
        _extend(root, config)
        with warnings.catch_warnings():  # zarr-python 3 warns that v3 does not specify it yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(paths.store)
        write_json(paths.layout(field), _describe(config, field))


def _fits(paths: Paths, config: Config, field: str) -> bool:
    """True if the array of ``field`` is there, complete and long enough."""
    described, array = paths.layout(field), paths.store / field / "zarr.json"
    if not (described.exists() and array.exists()):
        return False
    return bool(read_json(described)["shape"][0] >= TimeAxis.of(config.data).size)


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Hold ``lock``; the kernel frees it when the process ends, however it ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _create_array(root: zarr.Group, config: Config, field: str) -> None:
    """Create the array of ``field`` and its coordinates where they are not there yet."""
    grid, name, levels = Grid.from_config(config.data.grid), vertical(field), config.store_levels(field)
    _coordinate(root, name, np.asarray(levels, np.int32), vertical_attributes(config, field))
    for axis, values, direction, letter in (
        ("latitude", grid.latitude, "north", "Y"),
        ("longitude", grid.longitude, "east", "X"),
    ):
        attributes = {"standard_name": axis, "units": f"degrees_{direction}", "axis": letter}
        _coordinate(root, axis, values, attributes)
    if field not in root:
        root.create_array(
            field,
            shape=(0, len(levels), *grid.shape),
            dtype="float32",
            chunks=chunk_shape(config, field),
            shards=shard_shape(config, field),
            compressors=codecs(),
            fill_value=np.nan,
            dimension_names=("time", name, "latitude", "longitude"),
            attributes=_attributes(field),
        )


def _coordinate(root: zarr.Group, name: str, values: NDArray[Any], attributes: dict[str, str]) -> None:
    if name not in root:
        root.create_array(name, data=values, dimension_names=(name,), attributes=attributes)


def _extend(root: zarr.Group, config: Config) -> None:
    """Give the time coordinate, then every field, the longest time axis asked for so far."""
    axis = TimeAxis.of(config.data)
    if "time" not in root:
        root.create_array(
            "time",
            shape=(0,),
            dtype="int32",
            chunks=(_TIME_CHUNK,),
            dimension_names=("time",),
            attributes=_time_attributes(axis),
        )
    time = root["time"]
    size = max(axis.size, time.shape[0])
    if time.shape[0] < size:
        time.resize((size,))
    # Rewritten even if the size fits: a crash may have come between resizing and writing.
    time[:] = np.arange(size, dtype=np.int32) * axis.step
    for name, array in root.arrays():
        if name != "time" and array.metadata.dimension_names[0] == "time" and array.shape[0] < size:
            array.resize((size, *array.shape[1:]))


def _time_attributes(axis: TimeAxis) -> dict[str, str]:
    origin = str(axis.origin.astype("datetime64[s]")).replace("T", " ")
    return {
        "standard_name": "time",
        "units": f"hours since {origin}",
        "calendar": "proleptic_gregorian",
        "axis": "T",
    }


def _attributes(field: str) -> dict[str, Any]:
    spec = known_field(field)
    attributes: dict[str, Any] = {
        "standard_name": spec.standard_name,
        "long_name": spec.long_name.replace("_", " "),
        "units": spec.units,
        "paramId": spec.param_id,
        "short_name": spec.name,
    }
    if spec.accumulated:
        attributes["cell_methods"] = "time: sum (interval: 1 hour comment: over the hour that ends at time)"
    return attributes


def _root_attributes(config: Config) -> dict[str, Any]:
    simulated = config.source.kind == "simulated"
    return {
        "Conventions": "CF-1.11",
        "title": "Simulated atmosphere in the form of ERA5 (not ERA5)" if simulated else "ERA5 fields",
        "source": config.source.kind,
        "atmorep_layout": STORE_LAYOUT,
    }


def _describe(config: Config, field: str) -> dict[str, Any]:
    axis, grid = TimeAxis.of(config.data), Grid.from_config(config.data.grid)
    return {
        "field": field,
        "levels": list(config.store_levels(field)),
        "shape": [axis.size, len(config.store_levels(field)), *grid.shape],
        "chunk": list(chunk_shape(config, field)),
        "shard": list(shard_shape(config, field)),
        "origin": str(axis.origin),
        "time_step": axis.step,
        "code_version": __version__,
    }
