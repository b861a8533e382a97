"""Arrays of a store: sharded Zarr v3, one a field or target, with CF coordinates, created empty."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field as default
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.artefacts import crc32c_of, read_json
from atmorep.config import Config
from atmorep.errors import IntegrityError
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


@dataclass(frozen=True)
class ArrayLayout:
    """One array of a store, dimensions (time, level, latitude, longitude), and where its parts lie.

    Attributes:
        store: the Zarr store; its arrays have grid and time axis in common.
        name: name of the array.
        described: file that describes the array, written once the empty array is in the store.
        axis: time axis.
        grid: horizontal grid.
        levels: levels, in order.
        inner: largest extent of an inner chunk in time steps, rows and columns.
        attributes: attributes of the array.
        root_attributes: attributes of the store.
        vertical: name of the vertical dimension.
        vertical_attributes: CF attributes of the vertical coordinate.
    """

    store: Path
    name: str
    described: Path
    axis: TimeAxis
    grid: Grid
    inner: tuple[int, int, int]
    attributes: Mapping[str, Any]
    root_attributes: Mapping[str, Any]
    levels: tuple[int, ...] = (0,)
    vertical: str = "surface"
    vertical_attributes: Mapping[str, str] = default(default_factory=lambda: _VERTICAL["surface"])

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of the array."""
        return self.axis.size, len(self.levels), *self.grid.shape

    @property
    def chunk(self) -> tuple[int, int, int, int]:
        """Inner chunk: what one read decodes at least. Whole ones fill a day."""
        longest, height, width = self.inner
        steps = max(n for n in range(1, longest + 1) if self.axis.per_day % n == 0)
        rows, columns = self.grid.shape
        return steps, len(self.levels), min(rows, height), min(columns, width)

    @property
    def shard(self) -> tuple[int, int, int, int]:
        """Shard: a day, all levels, the grid padded to whole inner chunks."""
        _, levels, row, column = self.chunk
        rows, columns = self.grid.shape
        return self.axis.per_day, levels, -(-rows // row) * row, -(-columns // column) * column

    def shard_path(self, day: int) -> Path:
        """File of the shard of the ``day``-th day (from 0) of the time axis."""
        return self.store / self.name / "c" / str(day) / "0" / "0" / "0"


def field_layout(config: Config, field: str) -> ArrayLayout:
    """Layout of the array of an ERA5 field in the store."""
    paths = Paths(config)
    return ArrayLayout(
        store=paths.store,
        name=field,
        described=paths.layout(field),
        axis=TimeAxis.of(config.data),
        grid=Grid.from_config(config.data.grid),
        inner=(INNER_HOURS, INNER_ROWS, INNER_COLUMNS),
        attributes=cf_attributes(field),
        root_attributes=_root_attributes(config),
        levels=config.store_levels(field),
        vertical=vertical(field),
        vertical_attributes=vertical_attributes(config, field),
    )


def create(layout: ArrayLayout) -> None:
    """Create the empty array, or extend it to the configured period.

    What is there stays: repeating it changes nothing, a longer period only grows the time axis (of
    all arrays, so that the store opens as one data set). Jobs for several arrays may run at once.

    Every conversion begins with it: as a job of its own, a longer period would run it again, and
    with it all that was converted below it.
    """
    with _exclusive(layout.store.parent / "layout.lock"):
        if _fits(layout):
            return
        _remove_leftovers(layout.store)
        # Not through consolidated metadata: it would hide what is created here.
        root = zarr.open_group(
            layout.store,
            mode="a",
            zarr_format=3,
            use_consolidated=False,
            attributes=dict(layout.root_attributes),
        )
        _create_array(root, layout)
        _extend(root, layout.axis)
        with warnings.catch_warnings():  # zarr-python 3 warns that v3 does not specify it yet
            warnings.simplefilter("ignore")
            zarr.consolidate_metadata(layout.store)
        integrity.write(
            layout.described,
            [],
            base=layout.store,
            remedy="delete it and rerun the conversion",
            **_describe(layout),
        )


def _fits(layout: ArrayLayout) -> bool:
    """True if the array is there, complete and long enough."""
    if not (layout.described.exists() and (layout.store / layout.name / "zarr.json").exists()):
        return False
    return bool(integrity.read(layout.described)["shape"][0] >= layout.axis.size)


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Hold ``lock``; the kernel frees it when the process ends, however it ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_leftovers(store: Path) -> None:
    """Remove what Zarr wrote aside before it was killed; nobody else writes metadata or coordinates now."""
    for pattern in ("*.partial", "*/*.partial", "*/c/*.partial"):
        for path in store.glob(pattern):
            path.unlink()


def _create_array(root: zarr.Group, layout: ArrayLayout) -> None:
    """Create the array and its coordinates where they are not there yet."""
    levels = np.asarray(layout.levels, np.int32)
    _coordinate(root, layout.vertical, levels, dict(layout.vertical_attributes))
    for axis, values, direction, letter in (
        ("latitude", layout.grid.latitude, "north", "Y"),
        ("longitude", layout.grid.longitude, "east", "X"),
    ):
        attributes = {"standard_name": axis, "units": f"degrees_{direction}", "axis": letter}
        _coordinate(root, axis, values, attributes)
    if layout.name not in root:
        root.create_array(
            layout.name,
            shape=(0, *layout.shape[1:]),
            dtype="float32",
            chunks=layout.chunk,
            shards=layout.shard,
            compressors=codecs(),
            fill_value=np.nan,
            dimension_names=("time", layout.vertical, "latitude", "longitude"),
            attributes=dict(layout.attributes),
        )


def _coordinate(root: zarr.Group, name: str, values: NDArray[Any], attributes: dict[str, str]) -> None:
    if name not in root:
        root.create_array(name, data=values, dimension_names=(name,), attributes=attributes)
        return
    # Rewritten even if it is there: a process killed between the array and its values leaves zeros.
    root[name][:] = values


def _extend(root: zarr.Group, axis: TimeAxis) -> None:
    """Give the time coordinate, then every array, the longest time axis asked for so far."""
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


def cf_attributes(field: str) -> dict[str, Any]:
    """Attributes of an array of ``field``: CF, and ECMWF's number and name."""
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


def _describe(layout: ArrayLayout) -> dict[str, Any]:
    """What the manifest of an array says: metadata and coordinates as they were written."""
    names = (layout.name, "time", layout.vertical, "latitude", "longitude")
    return {
        "name": layout.name,
        "levels": list(layout.levels),
        "shape": list(layout.shape),
        "chunk": list(layout.chunk),
        "shard": list(layout.shard),
        "origin": str(layout.axis.origin),
        "time_step": layout.axis.step,
        "group": _lasting(_metadata(layout.store)),
        "arrays": {name: _lasting(_metadata(layout.store / name)) for name in names},
        "coordinates": {name: _checksum(layout.store / name) for name in names[2:]},
    }


def _metadata(folder: Path) -> dict[str, Any]:
    """Metadata of a group or array; empty where there is none to be read."""
    try:
        found: dict[str, Any] = read_json(folder / "zarr.json")
    except IntegrityError:
        return {}
    return found


def _lasting(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata without what changes: the length in time, and what a group knows of its arrays."""
    kept = {key: value for key, value in metadata.items() if key != "consolidated_metadata"}
    if "time" in kept.get("dimension_names", ()):
        kept["shape"] = kept.get("shape", [])[1:]
    return kept


def _checksum(coordinate: Path) -> str:
    """CRC-32C of the values of a coordinate; empty where they cannot be read."""
    try:
        return crc32c_of(np.ascontiguousarray(zarr.open_array(coordinate, mode="r")[:]).tobytes())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return ""


def check_layout(described: Path) -> None:
    """Compare metadata and coordinates of a store with what the manifest of one of its arrays says.

    Args:
        described: the manifest that :func:`create` has written.

    Raises:
        IntegrityError: naming what differs, and the remedy.
    """
    said = integrity.read(described)
    store = integrity.folder_of(described, said)
    if "coordinates" not in said:  # of a version before
        return
    with _exclusive(store.parent / "layout.lock"):
        wrong = _wrong(store, said)
    if wrong is not None:
        raise IntegrityError(
            f"{wrong}: is damaged or was altered; delete it and {described}, and rerun the conversion"
        )


def _wrong(store: Path, said: dict[str, Any]) -> Path | None:
    """What in a store is not as its manifest says."""
    group = _metadata(store)
    joint = (group.get("consolidated_metadata") or {}).get("metadata", {})
    for name, lasting in said["arrays"].items():
        metadata = _metadata(store / name)
        if _lasting(metadata) != lasting:
            return store / name / "zarr.json"
        if joint.get(name) != metadata:
            return store / "zarr.json"
    if _lasting(group) != said["group"]:
        return store / "zarr.json"
    for name, checksum in said["coordinates"].items():
        if _checksum(store / name) != checksum:
            return store / name
    size = _metadata(store / "time")["shape"][0]
    regular = np.arange(size, dtype=np.int32) * said["time_step"]
    fits = size >= said["shape"][0] and _checksum(store / "time") == crc32c_of(regular.tobytes())
    return None if fits else store / "time"
