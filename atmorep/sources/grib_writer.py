"""Writing GRIB as the ERA5 archive delivers it, through ecCodes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

import pyproj  # noqa: F401  (both bundle libproj; loaded after eccodes it crashes at exit)

import eccodes  # isort: skip
import numpy as np
from numpy.typing import ArrayLike, NDArray

from atmorep.artefacts import written_aside
from atmorep.errors import DataError
from atmorep.fields import Field
from atmorep.fields import field as known_field
from atmorep.grids import Grid

Keys = Mapping[str, int | float | str]
LevelType = Literal["model", "pressure", "surface"]

BITS_PER_VALUE = 16
"""What ERA5 is packed with."""

_TYPE_OF_LEVEL = {"model": "hybrid", "pressure": "isobaricInhPa"}
_ERA5 = {"class": "ea", "type": "an", "stream": "oper", "expver": "0001"}


class MessageWriter:
    """Writes one GRIB file, message by message; use it as a context manager.

    The file is written aside and renamed into place when the context ends without an error.

    Attributes:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        """Prepare writing ``path``."""
        self.path = path
        self._templates: dict[Hashable, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            aside = stack.enter_context(written_aside(self.path))
            self._file: BinaryIO = stack.enter_context(aside.open("wb"))
            stack.callback(self._release)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def _release(self) -> None:
        while self._templates:
            eccodes.codes_release(self._templates.popitem()[1])

    def _append(
        self, key: Hashable, template: Callable[[], int], keys: Keys, values: NDArray[np.float64], where: str
    ) -> None:
        """Append a message: the template of ``key``, made where there is none yet, with ``keys`` set.

        Raises:
            DataError: if a value is not finite (ecCodes would pack it as garbage, silently).
        """
        if not np.isfinite(values).all():
            raise DataError(f"{where}: a value to write is not finite; correct what computed it")
        if key not in self._templates:
            self._templates[key] = template()
        handle = self._templates[key]
        _set(handle, keys)
        # A constant field leaves 0 behind, and ecCodes' default for the next one would be 24.
        _set(handle, {"bitsPerValue": BITS_PER_VALUE})
        eccodes.codes_set_values(handle, values.ravel())
        self._file.write(eccodes.codes_get_message(handle))


class GribWriter(MessageWriter):
    """Writes one GRIB file with ERA5's keys."""

    def __init__(
        self,
        path: Path,
        grid: Grid,
        edition: Literal[1, 2] = 1,
        hybrid: NDArray[np.float64] | None = None,
    ) -> None:
        """Prepare writing.

        Args:
            path: file to write.
            grid: grid of all fields.
            edition: GRIB edition; ERA5 on regular grids comes as edition 1.
            hybrid: coefficients a (Pa) of all half levels, then b, for the headers of model
                levels (GRIB key ``pv``); left out if None. Edition 1 has room for 255 only, so
                that ERA5's 137 levels come as edition 2.
        """
        super().__init__(path)
        self._grid, self._edition, self._hybrid = grid, edition, hybrid

    def write(
        self, field: str, level_type: LevelType, level: int, valid_time: np.datetime64, values: ArrayLike
    ) -> None:
        """Append one message.

        An accumulated field is written as ERA5 does: a forecast from the last 06 or 18 UTC before
        its valid time, accumulated over the last hour of its step.

        Args:
            field: ERA5 short name.
            level_type: ``surface`` for single-level fields (then ``level`` is 0).
            level: number of the model level, or hPa.
            valid_time: full hour; end of the window for accumulated fields.
            values: (rows, columns) in the field's unit, north to south and west to east.

        Raises:
            DataError: if a value is not finite (ecCodes would pack it as garbage, silently).
            ValueError: if ``values`` do not have the grid's shape.
        """
        packed = np.ascontiguousarray(values, np.float64)
        where = f"{self.path} ({field}, {level_type} level {level}, {valid_time})"
        if packed.shape != self._grid.shape:
            raise ValueError(f"{where}: values of shape {packed.shape} are not on {self._grid}")
        spec = known_field(field)

        def template() -> int:
            return self._template(spec, level_type, level)

        self._append((field, level_type, level), template, _times(spec, valid_time), packed, where)

    def _template(self, field: Field, level_type: LevelType, level: int) -> int:
        sample = "sfc" if level_type == "surface" else "pl"
        keys = self._headers(field) | self._geometry() | {"paramId": field.param_id}
        handle = new_message(f"regular_ll_{sample}_grib{self._edition}", keys)
        if level_type != "surface":
            _set(handle, {"typeOfLevel": _TYPE_OF_LEVEL[level_type], "level": level})
        if level_type == "model" and self._hybrid is not None:
            _set(handle, {"PVPresent": 1})
            eccodes.codes_set_array(handle, "pv", self._hybrid)
        return handle

    def _headers(self, field: Field) -> dict[str, int | str]:
        keys: dict[str, int | str] = {"centre": "ecmf", "generatingProcessIdentifier": 145}
        if self._edition == 1:
            keys["table2Version"] = 128
        keys |= {"setLocalDefinition": 1, "localDefinitionNumber": 1, **_ERA5}
        if field.accumulated:
            keys["type"] = "fc"
            if self._edition == 1:
                keys["timeRangeIndicator"] = 4
            else:
                keys |= {"productDefinitionTemplateNumber": 8, "typeOfStatisticalProcessing": 1}
        return keys

    def _geometry(self) -> dict[str, int | float]:
        """GRIB 2 wants longitudes from 0 to 360; ERA5's GRIB 1 has signed ones, west before east."""
        (rows, columns), step = self._grid.shape, self._grid.resolution
        west, east = self._grid.longitude[[0, -1]]
        if self._edition == 2:
            west, east = west % 360, east % 360
        elif east >= 360:
            west, east = west - 360, east - 360
        return {
            "Ni": columns,
            "Nj": rows,
            "latitudeOfFirstGridPointInDegrees": float(self._grid.latitude[0]),
            "longitudeOfFirstGridPointInDegrees": float(west),
            "latitudeOfLastGridPointInDegrees": float(self._grid.latitude[-1]),
            "longitudeOfLastGridPointInDegrees": float(east),
            "iDirectionIncrementInDegrees": step,
            "jDirectionIncrementInDegrees": step,
            "jScansPositively": 0,
        }


def new_message(sample: str, keys: Keys) -> int:
    """Return the handle of a message: one of ecCodes' samples with ``keys`` set, in their order."""
    handle: int = eccodes.codes_grib_new_from_samples(sample)
    _set(handle, keys)
    return handle


def dated(time: np.datetime64) -> dict[str, int | str]:
    """Return the keys of a state at ``time``, a full hour."""
    moment = time.astype("datetime64[h]").item()
    return {"dataDate": int(f"{moment:%Y%m%d}"), "dataTime": moment.hour * 100}


def _times(field: Field, valid_time: np.datetime64) -> dict[str, int | str]:
    """Date, time and step; forecasts of ERA5 start at 06 and 18 UTC and have steps 1 to 12 here."""
    time = valid_time.astype("datetime64[h]")
    step = (int(time.astype(np.int64)) - 7) % 12 + 1 if field.accumulated else 0
    keys = dated(time - np.timedelta64(step, "h"))
    return keys | ({"stepRange": f"{step - 1}-{step}"} if step else {})


def _set(handle: int, keys: Keys) -> None:
    for key, value in keys.items():
        eccodes.codes_set(handle, key, value)
