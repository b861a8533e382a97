"""Reading GRIB message by message with ecCodes: headers first, values when they are wanted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "eccodes" not in sys.modules:  # both bundle libproj; loaded after eccodes, pyproj crashes at exit
    import pyproj  # noqa: F401

import eccodes  # isort: skip
import numpy as np
from numpy.typing import NDArray

from atmorep.errors import DataError
from atmorep.fields import FIELDS
from atmorep.grids import Grid

_BY_PARAM = {p: f.name for f in FIELDS.values() for p in (f.param_id, *f.alias_param_ids)}
_LEVEL_TYPES = {"hybrid": "model", "isobaricInhPa": "pressure"}
_CORNERS = (
    "latitudeOfFirstGridPointInDegrees",
    "latitudeOfLastGridPointInDegrees",
    "longitudeOfFirstGridPointInDegrees",
    "longitudeOfLastGridPointInDegrees",
)
_MISSING = -1e100
"""What ecCodes is told to give where a value is missing."""


@dataclass(frozen=True)
class Integers:
    """Where the values of a simply packed message are: value = reference + step * integer.

    Attributes:
        offset: of the 16-bit integers in the file, in bytes.
        reference: value of integer 0, in the field's unit.
    """

    offset: int
    reference: float


@dataclass(frozen=True)
class Message:
    """Header of one GRIB message.

    Attributes:
        path, number, offset, length: where it is (number counts from 1; offset, length in bytes).
        field: ERA5 short name, or ``param<paramId>`` if the field is unknown.
        level_type: ``model``, ``pressure`` or ``surface``.
        level: level number, hPa, or 0 at the surface.
        valid_time: end of the window for accumulated fields, datetime64[h].
        expver: experiment version, e.g. ``0001`` (ERA5) or ``0005`` (ERA5T).
        step: quantisation step of the packed values in the field's unit; 0 if constant.
        grid_section: checksum of the section that describes the grid.
        integers: present if the values are packed in ERA5's way (16 bits, a power of two as step,
            no bitmap), so that they can be unpacked without ecCodes.
    """

    path: Path
    number: int
    offset: int
    length: int
    field: str
    level_type: str
    level: int
    valid_time: np.datetime64
    expver: str
    step: float
    grid_section: str = ""
    integers: Integers | None = None

    def __str__(self) -> str:
        return (
            f"{self.path}, message {self.number} ({self.field}, {self.level_type} level "
            f"{self.level}, {self.valid_time}:00)"
        )


@contextmanager
def handle(data: bytes, where: str) -> Iterator[int]:
    """Give an ecCodes handle of a message, released afterwards.

    Raises:
        DataError: naming ``where``, if ``data`` is no message.
    """
    try:
        opened = eccodes.codes_new_from_message(data)
    except eccodes.CodesInternalError as error:
        raise DataError(f"{where}: is not a GRIB message ({error}); fetch the file again") from None
    try:
        yield opened
    finally:
        eccodes.codes_release(opened)


def scan(path: Path) -> list[Message]:
    """Read the headers of all messages of ``path``.

    Raises:
        DataError: naming file and message, if the file is empty, truncated or corrupted.
    """
    return [_header(opened, path, number, *place) for number, *place, opened in handles(path)]


def handles(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, offset, length and ecCodes handle of each message of ``path``; handles do not last.

    Raises:
        DataError: naming file and message, if the file is empty, truncated or corrupted.
    """
    number, size = 0, path.stat().st_size
    with path.open("rb") as file:
        for number, (offset, length) in enumerate(_frames(path, file, size), 1):
            file.seek(offset)
            with handle(file.read(length), f"{path}, message {number}") as opened:
                yield number, offset, length, opened
    if not number:
        raise DataError(f"{path}: holds no GRIB message; fetch the file again")


def _frames(path: Path, file: object, size: int) -> Iterator[tuple[int, int]]:
    """Yield (offset, length) of each message, from section 0 and the end marker."""
    import mmap

    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else _empty() as view:  # type: ignore[attr-defined]
        offset, number = view.find(b"GRIB") if size else -1, 0
        while offset >= 0:
            number += 1
            edition = view[offset + 7] if offset + 8 <= size else 0
            length = int.from_bytes(
                view[offset + 8 : offset + 16] if edition == 2 else view[offset + 4 : offset + 7], "big"
            )
            end = offset + length
            if edition not in (1, 2) or end > size or view[end - 4 : end] != b"7777":
                raise DataError(
                    f"{path}, message {number} at byte {offset}: is truncated or corrupted "
                    f"(announces {length} bytes, the file has {size - offset} left); fetch it again"
                )
            yield offset, length
            offset = view.find(b"GRIB", end)


@contextmanager
def _empty() -> Iterator[bytes]:
    yield b""


def _header(handle: int, path: Path, number: int, offset: int, length: int) -> Message:
    def get(key: str, kind: type) -> object:
        return eccodes.codes_get(handle, key, ktype=kind)

    where = f"{path}, message {number}"
    try:
        param = get("paramId", int)
        kind = _LEVEL_TYPES.get(str(get("typeOfLevel", str)), "surface")
        day, clock = int(get("validityDate", int)), int(get("validityTime", int))  # type: ignore[call-overload]
        scales = int(get("binaryScaleFactor", int)), int(get("decimalScaleFactor", int))  # type: ignore[call-overload]
        bits = int(get("bitsPerValue", int))  # type: ignore[call-overload]
        expver = str(get("expver", str)) if eccodes.codes_is_defined(handle, "expver") else ""
        level = int(get("level", int)) if kind != "surface" else 0  # type: ignore[call-overload]
        grid_section = str(get("md5GridSection", str))
        simple = bits == 16 and scales[1] == 0 and get("packingType", str) == "grid_simple"
        integers = None
        if simple and not get("bitmapPresent", int):
            start, reference = get("offsetBeforeData", int), get("referenceValue", float)
            integers = Integers(offset + int(start), float(reference))  # type: ignore[call-overload,arg-type]
    except eccodes.CodesInternalError as error:
        raise DataError(f"{where}: header cannot be read ({error}); fetch the file again") from None
    text = f"{day:08d}"
    stamp = np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}T{clock // 100:02d}", "h")
    step = 2.0 ** scales[0] * 10.0 ** -scales[1] if bits else 0.0
    name = _BY_PARAM.get(int(param), f"param{param}")  # type: ignore[call-overload]
    return Message(
        path, number, offset, length, name, kind, level, stamp, expver, step, grid_section, integers
    )


def read(message: Message) -> bytes:
    """Return the bytes of a message."""
    with message.path.open("rb") as file:
        file.seek(message.offset)
        return file.read(message.length)


def decode(message: Message, grid: Grid) -> NDArray[np.float64]:
    """Return the values (rows, columns) of a message, north to south and west to east.

    Raises:
        DataError: if it is on another grid than ``grid``, corrupted, or holds missing values.
    """
    values = values_of(message, grid)
    if not np.isfinite(values).all():
        raise DataError(f"{message}: holds missing or non-finite values; fetch the file again")
    return values


def values_of(message: Message, grid: Grid) -> NDArray[np.float64]:
    """Return what :func:`decode` does, NaN where values are missing.

    Raises:
        DataError: if it is on another grid than ``grid`` or corrupted.
    """
    with handle(read(message), str(message)) as opened:
        try:
            order = _order(opened, message, grid)
            eccodes.codes_set(opened, "missingValue", _MISSING)
            values = eccodes.codes_get_values(opened)
        except eccodes.CodesInternalError as error:
            raise DataError(f"{message}: cannot be decoded ({error}); fetch the file again") from None
    values[values == _MISSING] = np.nan
    return _oriented(values.reshape(grid.shape), order)


def grid_of(message: Message) -> Grid:
    """Return the grid that a message lies on.

    Raises:
        DataError: if it is none of equal steps in latitude and longitude, or the message is corrupted.
    """
    with handle(read(message), str(message)) as opened:
        try:
            _verify_regular(opened, message)
            shape = _shape(opened)
            first, last, west, east = (eccodes.codes_get(opened, key, ktype=float) for key in _CORNERS)
        except eccodes.CodesInternalError as error:
            raise DataError(f"{message}: cannot be decoded ({error}); fetch the file again") from None
    steps = abs(first - last) / max(shape[0] - 1, 1), (east - west) % 360 / max(shape[1] - 1, 1)
    if abs(steps[0] - steps[1]) > 1e-3:
        raise DataError(
            f"{message}: its steps of {steps[0]:g} degrees in latitude and {steps[1]:g} in longitude are not "
            "equal; interpolate it to equal ones first"
        )
    return Grid(max(first, last), west, round(steps[0], 6), shape)


def _oriented(values: NDArray[Any], order: tuple[bool, int]) -> NDArray[Any]:
    flip, roll = order
    if flip:
        values = values[::-1]
    return np.roll(values, -roll, axis=1) if roll else values


def packed(message: Message, grid: Grid, orientation: tuple[bool, int]) -> NDArray[np.uint16]:
    """Return the packed integers (rows, columns) of a message that has ``integers``.

    Args:
        message: its values are ``integers.reference + step * integer``.
        grid: the grid it lies on.
        orientation: what :func:`verify_grid` returned for it.

    Raises:
        DataError: if the message is shorter than the grid.
    """
    assert message.integers is not None
    size = 2 * grid.shape[0] * grid.shape[1]
    if message.integers.offset + size > message.offset + message.length:
        raise DataError(f"{message}: holds too few values; fetch the file again")
    with message.path.open("rb") as file:
        file.seek(message.integers.offset)
        values = np.frombuffer(file.read(size), ">u2").reshape(grid.shape)
    return _oriented(values, orientation)


def verify_grid(message: Message, grid: Grid) -> tuple[bool, int]:
    """Check that a message lies on ``grid``, without unpacking its values.

    Returns:
        Whether its rows run south to north, and the column at which ``grid`` starts.

    Raises:
        DataError: if it does not, or is corrupted.
    """
    with handle(read(message), str(message)) as opened:
        try:
            return _order(opened, message, grid)
        except eccodes.CodesInternalError as error:
            raise DataError(f"{message}: cannot be decoded ({error}); fetch the file again") from None


def accumulation_hours(message: Message) -> int:
    """Return over how many hours the values of an accumulated field are summed.

    Raises:
        DataError: if the header says no steps.
    """
    with handle(read(message), str(message)) as opened:
        try:
            start, end = (eccodes.codes_get(opened, k, ktype=int) for k in ("startStep", "endStep"))
        except eccodes.CodesInternalError as error:
            raise DataError(f"{message}: its steps cannot be read ({error}); fetch the file again") from None
    return int(end - start)


def verify_hourly(message: Message) -> None:
    """Refuse sums over anything but the hour that ends at the valid time, as ERA5 has them.

    Raises:
        DataError: if they are, or the header says no steps.
    """
    hours = accumulation_hours(message)
    if hours != 1:
        raise DataError(
            f"{message}: is accumulated over {hours} hours, not over one; use ERA5's hourly accumulations"
        )


def _verify_regular(handle: int, message: Message) -> None:
    kind = eccodes.codes_get(handle, "gridType", ktype=str)
    if kind != "regular_ll":
        raise DataError(
            f"{message}: is on a {kind} grid; interpolate it to regular latitude-longitude first "
            "(CDS key 'grid')"
        )


def _shape(handle: int) -> tuple[int, int]:
    rows, columns = (int(eccodes.codes_get(handle, key, ktype=int)) for key in ("Nj", "Ni"))
    return rows, columns


def _order(handle: int, message: Message, grid: Grid) -> tuple[bool, int]:
    """Return whether rows run south to north, and the column at which ``grid`` starts."""
    _verify_regular(handle, message)
    shape = _shape(handle)
    first, last, west = (eccodes.codes_get(handle, key, ktype=float) for key in _CORNERS[:3])
    shift = ((grid.west - west) % 360) / grid.resolution
    roll = round(shift) % round(360 / grid.resolution)
    fits = (
        shape == grid.shape
        and abs(max(first, last) - grid.north) < 2e-3
        and abs(min(first, last) - grid.latitude[-1]) < 2e-3
        and abs(shift - round(shift)) * grid.resolution < 2e-3
        and (roll == 0 or grid.periodic)
    )
    if not fits:
        raise DataError(
            f"{message}: its grid of {shape[0]} x {shape[1]} points from {first:g}N {west:g}E to "
            f"{last:g}N is not data.grid ({grid.shape[0]} x {grid.shape[1]} from {grid.north:g}N "
            f"{grid.west:g}E by {grid.resolution:g}); correct data.grid or the file"
        )
    return first < last, roll
