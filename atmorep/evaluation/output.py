"""What evaluation keeps: predictions, maps of one case a task, and the statistics per initial time.

What a file is of is a :class:`Subject`, a field or the target of a downstream task.

All files follow the CF conventions and open in xarray; times are encoded as whole hours.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import xarray as xr
import zarr
from numpy.typing import NDArray

from atmorep import __version__
from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.evaluation.scoring import Piece
from atmorep.evaluation.tasks import Task
from atmorep.fields import field as known_field
from atmorep.paths import Paths
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Hours

ENCODING: dict[str, dict[str, Any]] = {
    "init_time": {"units": "hours since 1900-01-01", "calendar": "proleptic_gregorian", "dtype": "int32"},
    "lead_time": {"units": "hours", "dtype": "int32"},
}

CHUNK_BYTES = 16 * 2**20
"""Size of a chunk of predictions before compression, where the domain allows it."""

ATTRIBUTES = {
    "init_time": {"standard_name": "forecast_reference_time", "long_name": "initial time"},
    "lead_time": {"standard_name": "forecast_period", "long_name": "time after the initial time"},
    "number": {"standard_name": "realization", "long_name": "ensemble member", "units": "1"},
    "region": {"long_name": "region"},
    "model": {"long_name": "model"},
    "task": {"long_name": "task"},
}


@dataclass(frozen=True)
class Subject:
    """What the files of an evaluation are of.

    Attributes:
        config: the experiment.
        field: ERA5 short name; gives name and unit.
        model: bundle that predicts it.
    """

    config: Config
    field: str
    model: Path

    def describe(self, dataset: xr.Dataset, title: str) -> xr.Dataset:
        """Give ``dataset`` global attributes, and its coordinates theirs (space: as in the store)."""
        known = {**_coordinates(Paths(self.config).store), **ATTRIBUTES}
        vertical = known.get("level") if not known_field(self.field).surface else known.get("surface")
        for name, coordinate in dataset.coords.items():
            found = (vertical if name == "level" else known.get(str(name))) or {}
            coordinate.attrs = {**coordinate.attrs, **found}
        simulated = " (simulated atmosphere, not ERA5)" if self.config.source.kind == "simulated" else ""
        return dataset.assign_attrs(
            Conventions="CF-1.11",
            title=f"{title} of {known_field(self.field).long_name.replace('_', ' ')}{simulated}",
            source=f"AtmoRep {__version__}, {self.model}",
        )

    def physical(self, what: str = "") -> dict[str, str]:
        """Attributes of values of the field, or of ``what`` of it."""
        spec = known_field(self.field)
        name = spec.long_name.replace("_", " ")
        if what:
            return {"long_name": f"{what} of {name}", "units": spec.units}
        return {"long_name": name, "standard_name": spec.standard_name, "units": spec.units}


def _coordinates(store: Path) -> dict[str, dict[str, Any]]:
    """Attributes of the coordinates of a store, by name.

    Raises:
        IntegrityError: if they cannot be read.
    """
    try:
        with xr.open_zarr(store) as dataset:
            return {str(name): variable.attrs for name, variable in dataset.coords.items()}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise IntegrityError(
            f"{store}: cannot be read ({error}); find out with 'atmorep verify {store.parent}'"
        ) from None


def space(reader: FieldReader) -> dict[str, Any]:
    """Levels, latitudes and longitudes of a field."""
    grid = reader.grid
    return {"level": list(reader.levels), "latitude": grid.latitude, "longitude": grid.longitude}


def time(initial: Hours, lead_hours: Sequence[int]) -> dict[str, Any]:
    """Initial times and lead times."""
    leads = np.array(lead_hours).astype("timedelta64[h]").astype("timedelta64[ns]")
    return {"init_time": initial.astype("datetime64[ns]"), "lead_time": leads}


def chunk_shape(shape: tuple[int, ...], piece: tuple[int, int]) -> tuple[int, ...]:
    """Return the chunk of predictions of ``shape``, initial times first, rows and columns last.

    Args:
        shape: of all predictions.
        piece: rows and columns of a piece.
    """
    together = CHUNK_BYTES // (4 * math.prod(shape[1:]))
    return (min(together, shape[0]), *shape[1:]) if together else (1, *shape[1:-2], *piece)


class Predictions:
    """All members of one task as a Zarr store, written piece by piece, whole chunks at a time.

    Dimensions: init_time, lead_time, number, level (where there is one), latitude, longitude. A chunk holds
    as many initial times of the whole domain as fit into ``CHUNK_BYTES``, or one piece where not a single
    one does (:func:`chunk_shape`).

    Attributes:
        array: the Zarr array; without what is held until :meth:`flush`.
    """

    def __init__(
        self,
        subject: Subject,
        title: str,
        coordinates: Mapping[str, Any],
        piece: tuple[int, int],
        path: Path,
    ) -> None:
        """Create the store ``path``.

        Args:
            subject: what is predicted.
            title: of the file, before the field's name.
            coordinates: of the dimensions, in their order.
            piece: rows and columns of a piece.
            path: folder to be.
        """
        shape = tuple(len(values) for values in coordinates.values())
        chunk = chunk_shape(shape, piece)
        empty = da.full(shape, np.nan, np.float32, chunks=chunk)
        variable = (tuple(coordinates), empty, subject.physical())
        dataset = xr.Dataset({subject.field: variable}, coordinates)
        encoding = {**ENCODING, subject.field: {"chunks": chunk, "_FillValue": np.float32(np.nan)}}
        with warnings.catch_warnings():  # zarr-python 3 warns that v3 does not specify consolidation yet
            warnings.simplefilter("ignore")
            described = subject.describe(dataset, title)
            described.to_zarr(path, compute=False, encoding=encoding, zarr_format=3, consolidated=True)
        self.array: Any = zarr.open_array(path / subject.field, mode="r+")
        self._shape = shape
        self._chunk: NDArray[np.float32] = np.empty(chunk, np.float32)
        self._corner: tuple[int, int, int] | None = None

    def write(self, initial: int, rows: slice, columns: slice, members: NDArray[np.floating]) -> None:
        """Add one piece; pieces come in the order of the chunks.

        Args:
            initial: number of the initial time.
            rows: of the domain.
            columns: of the domain.
            members: (lead time, member, level where there is one, row, column).
        """
        starts = (initial, rows.start, columns.start)
        sizes = (self._chunk.shape[0], *self._chunk.shape[-2:])
        time, row, column = (start - start % size for start, size in zip(starts, sizes, strict=True))
        if self._corner != (time, row, column):
            self.flush()
            self._corner = (time, row, column)
        place = slice(rows.start - row, rows.stop - row), slice(columns.start - column, columns.stop - column)
        self._chunk[initial - time, ..., *place] = members

    def add(self, piece: Piece) -> None:
        """Add the model's part of a piece, as :meth:`write` does."""
        members = piece.predictions["atmorep"].swapaxes(0, 1)  # lead, member, level, row, column
        surface = self._chunk.ndim == members.ndim
        tile = piece.tile
        self.write(piece.initial, tile.rows, tile.columns, members[:, :, 0] if surface else members)

    def flush(self) -> None:
        """Write what is held."""
        if self._corner is None:
            return
        time, row, column = self._corner
        height, width = self._shape[-2:]
        held = self._chunk[: self._shape[0] - time, ..., : height - row, : width - column]
        times, rows, columns = held.shape[0], *held.shape[-2:]
        place = (slice(row, row + rows), slice(column, column + columns))
        self.array[time : time + times, ..., *place] = held
        self._corner = None


def predictions(
    subject: Subject,
    reader: FieldReader,
    task: Task,
    initial: Hours,
    tails: int,
    tile: tuple[int, int],
    path: Path,
) -> Predictions:
    """Return the store of the predictions of one task of a field.

    Args:
        subject: the field.
        reader: the truth.
        task: the task.
        initial: its initial times.
        tails: members.
        tile: rows and columns of a piece.
        path: folder to be.
    """
    coordinates = {**time(initial, task.lead_hours), "number": np.arange(tails), **space(reader)}
    if known_field(subject.field).surface:
        del coordinates["level"]
    return Predictions(subject, f"Predictions ({task.name})", coordinates, tile, path)


def typical(means: Iterable[xr.Dataset]) -> int:
    """Number of the initial time of median RMSE, each field, lead and level measured by its own mean."""
    errors = [of_field["squared_error"].sel(model="atmorep", region="domain") for of_field in means]
    relative = [(error / error.mean("init_time")).mean(("lead_time", "level")).fillna(1) for error in errors]
    order = np.argsort(np.mean([values.to_numpy() for values in relative], axis=0), kind="stable")
    return int(order[(order.size - 1) // 2])


class Case:
    """Maps of one initial time of a task (lead_time, level, latitude, longitude), filled piece by piece.

    Where a lead time is scored on several steps, the one at the initial time plus the lead is shown. The
    baseline is the first of the task's.
    """

    _NAMES: ClassVar = {
        "target": "target",
        "prediction": "ensemble mean of the prediction",
        "spread": "ensemble standard deviation of the prediction",
        "baseline": "baseline",
    }

    def __init__(self, subject: Subject, reader: FieldReader, task: Task) -> None:
        self._subject, self._task, self._space = subject, task, space(reader)
        hours = reader.axis.step
        self._steps = [task.steps.index(task.initial_step + lead // hours) for lead in task.lead_hours]
        shape = (len(task.leads), *(len(values) for values in self._space.values()))
        self._maps = {name: np.full(shape, np.nan, np.float32) for name in self._NAMES}
        self._hidden = np.zeros(shape, np.int8)

    def add(self, piece: Piece) -> None:
        """Add one piece."""
        place, steps, maps = (..., piece.tile.rows, piece.tile.columns), self._steps, self._maps
        members = piece.predictions["atmorep"][:, steps]
        maps["target"][place] = piece.target[steps]
        maps["prediction"][place] = members.mean(axis=0)
        maps["spread"][place] = members.std(axis=0, ddof=1)
        maps["baseline"][place] = piece.predictions[self._task.baselines[0]][0, steps]
        self._hidden[place] = piece.hidden[steps]

    def dataset(self, initial: np.datetime64) -> xr.Dataset:
        """Return the maps of the initial time ``initial``."""
        dims = ("lead_time", *self._space)
        variables = {k: (dims, v, self._subject.physical(self._NAMES[k])) for k, v in self._maps.items()}
        flags = {"long_name": "1 where hidden from the model", "units": "1"}
        when = time(np.asarray(initial), self._task.lead_hours)
        coordinates = {**when, **self._space, "baseline_model": self._task.baselines[0]}
        return xr.Dataset({**variables, "hidden": (dims, self._hidden, flags)}, coordinates)


def write_maps(subject: Subject, cases: dict[str, xr.Dataset], path: Path) -> None:
    """Write the cases of all tasks as one NetCDF file (task, lead_time, level, latitude, longitude)."""
    lazy = [maps.chunk({"lead_time": 1, "level": 1}) for maps in cases.values()]
    dataset = _join(lazy, list(cases), ["init_time", "baseline_model"])
    dataset["baseline_model"].attrs["long_name"] = "model shown as baseline"
    packed: dict[str, dict[str, Any]] = {
        str(name): {"zlib": True, "complevel": 1} for name in dataset.data_vars
    }
    packed["hidden"] |= {"dtype": "int8", "_FillValue": np.int8(-1)}
    write(subject.describe(dataset, "One case of median error a task"), path, packed)


def write_calibration(subject: Subject, found: Mapping[str, xr.Dataset], path: Path) -> None:
    """Write how large errors are by spread, of the tasks whose predictions are kept, as one NetCDF file."""
    kept = {task: dataset for task, dataset in found.items() if dataset.data_vars}
    dataset = _join(list(kept.values()), list(kept), []) if kept else xr.Dataset()
    names = {
        "spread_error": ("share of the area and time by spread and error of the ensemble's mean", "1"),
        "scale": ("unit of spread and error", known_field(subject.field).units),
        "spread": ("standard deviation of the ensemble, middle of the class, in units of scale", "1"),
        "error": ("size of the error of the ensemble's mean, middle of the class, in units of scale", "1"),
    }
    for name, (long_name, units) in names.items() if kept else ():
        dataset[name].attrs = {"long_name": long_name, "units": units}
    write(subject.describe(dataset, "Errors by spread"), path, {})


def write_statistics(
    subject: Subject, means: dict[str, xr.Dataset], described: Mapping[str, tuple[str, int]], path: Path
) -> None:
    """Write the statistics of all tasks as one NetCDF file; NaN where a task lacks an initial time.

    Args:
        subject: what is predicted.
        means: of each task.
        described: what each statistic is, and the power of the field's unit that it is in.
        path: file to be.
    """
    dataset = _join(list(means.values()), list(means), [])
    units = known_field(subject.field).units
    powers = {0: "1", 1: units, 2: f"({units})**2"}
    for name, (long_name, power) in described.items():
        dataset[name].attrs = {"long_name": f"area mean of the {long_name}", "units": powers[power]}
    dataset["weight"].attrs = {"long_name": "sum of the area weights of the scored points", "units": "1"}
    write(subject.describe(dataset, "Scores per initial time"), path, {})


def _join(datasets: list[xr.Dataset], tasks: list[str], differing: list[str]) -> xr.Dataset:
    """Join tasks along a new dimension, and so the ``differing`` coordinates; axes are united."""
    joined = xr.concat(datasets, "task", join="outer", coords=differing, compat="override", data_vars="all")
    return joined.assign_coords(task=tasks)


def write(dataset: xr.Dataset, path: Path, packed: dict[str, dict[str, Any]]) -> None:
    """Write a NetCDF file; ``packed`` is the encoding of its variables."""
    times = {name: encoding for name, encoding in ENCODING.items() if name in dataset.coords}
    dataset.to_netcdf(path, engine="netcdf4", encoding={**times, **packed})
