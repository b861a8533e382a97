"""Precipitation of DWD's radar composites in their binary form: RADOLAN and RADKLIM.

The format, its grids and flags as wradlib 2.9.6 reads them (wradlib/io/radolan.py, wradlib/georef/rect.py).
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, cast

import numpy as np
import pyproj
from numpy.typing import NDArray

from atmorep.config import Static, Target
from atmorep.errors import DataError
from atmorep.targets.declared import agree, in_order, one_grid, scale
from atmorep.targets.geometry import Geometry

CRS = pyproj.CRS.from_cf(
    {
        "grid_mapping_name": "polar_stereographic",
        "standard_parallel": 60.0,
        "latitude_of_projection_origin": 90.0,
        "straight_vertical_longitude_from_pole": 10.0,
        "earth_radius": 6_370_040.0,
    }
)
"""Polar-stereographic, true at 60 N, along 10 E, on a sphere."""

_ORIGIN = (9.0, 51.0)
"""Longitude and latitude of the point that the grids are laid around."""

_WEST_SOUTH = {(900, 900): (450, 450), (1100, 900): (370, 550)}
"""By rows and columns: cells of 1 km from the origin to the western and the southern edge."""

_SUMS = frozenset({"RW", "YW", "RY", "RH", "SF", "SH", "SQ"})
"""Products that are heights of precipitation over their interval."""

_HEADER = re.compile(
    rb"(?P<product>[A-Z][A-Z\d])(?P<day>\d\d)(?P<clock>\d{4})\d{5}(?P<month>\d\d)(?P<year>\d\d)"
    rb"BY(?P<size>[ \d]{7})VS(?P<version>[ \d]{2})SW.{9}PR(?P<precision> E-\d\d)"
    rb"INT(?P<interval>[ \d]{4})(?:U(?P<unit>\d))?GP(?P<rows>[ \d]{4})x(?P<columns>[ \d]{4})(?P<rest>.*)"
)
_LONGEST = 4096
_VALUE, _MISSING, _NEGATIVE, _CLUTTER = 0x0FFF, 0x2000, 0x4000, 0x8000


@dataclass(frozen=True)
class Composite:
    """Header of one file.

    Attributes:
        path: the file.
        product: two letters.
        start: of the interval, datetime64[m].
        end: of the interval, which is the time in header and name.
        shape: rows, from south to north, and columns, from west to east.
        precision: millimetres of the integer 1.
        reprocessed: of RADKLIM, where clutter has been corrected.
        offset: of the values in bytes.
    """

    path: Path
    product: str
    start: np.datetime64
    end: np.datetime64
    shape: tuple[int, int]
    precision: float
    reprocessed: bool
    offset: int

    def __str__(self) -> str:
        return str(self.path)


def is_composite(path: Path) -> bool:
    """Tell by its first bytes whether a file is a composite, plain or packed by gzip."""
    try:
        with _opened(path) as file:
            return _HEADER.match(file.read(_LONGEST).partition(b"\x03")[0]) is not None
    except (OSError, EOFError):
        return False


def header(path: Path) -> Composite:
    """Read the header of a composite.

    Raises:
        DataError: naming the file, if it is none, of a form that is not known, or of the wrong length.
    """
    text, end, _ = _bytes(path, _LONGEST).partition(b"\x03")
    found = _HEADER.fullmatch(text)
    if not found or not end:
        raise DataError(f"{path}: has no header of a RADOLAN composite; fetch the file again")
    _verify(path, found, len(text) + 1)
    day, month, year = (found[k].decode() for k in ("day", "month", "year"))
    clock = found["clock"].decode()
    try:
        stamp = np.datetime64(f"20{year}-{month}-{day}T{clock[:2]}:{clock[2:]}", "m")
    except ValueError:
        raise DataError(f"{path}: its header has no date; fetch the file again") from None
    length = int(found["interval"]) * (1440 if found["unit"] == b"1" else 1)
    return Composite(
        path,
        found["product"].decode(),
        stamp - np.timedelta64(length, "m"),
        stamp,
        (int(found["rows"]), int(found["columns"])),
        float(b"1" + found["precision"].strip()),
        b"VR" in found["rest"].partition(b"MS")[0],
        len(text) + 1,
    )


def _verify(path: Path, found: re.Match[bytes], offset: int) -> None:
    product, shape = found["product"].decode(), (int(found["rows"]), int(found["columns"]))
    if product not in _SUMS:
        raise DataError(
            f"{path}: holds the product {product}, which is not a sum of precipitation that is known; use "
            f"one of {', '.join(sorted(_SUMS))}"
        )
    if shape not in _WEST_SOUTH or int(found["version"]) > 4:
        known = ", ".join(f"{r} x {c}" for r, c in _WEST_SOUTH)
        raise DataError(
            f"{path}: is on a grid of {shape[0]} x {shape[1]} in format version {int(found['version'])}; "
            f"known are {known} up to version 4, which are on a sphere: use the product's NetCDF form"
        )
    size = offset + 2 * shape[0] * shape[1]
    plain = path.stat().st_size if _magic(path) != b"\x1f\x8b" else size
    if int(found["size"]) != size or plain != size:
        raise DataError(
            f"{path}: is {plain} bytes long, its header says {int(found['size'])} and its grid needs {size}; "
            "fetch the file again"
        )


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if _magic(path) == b"\x1f\x8b" else path.open("rb")


def _bytes(path: Path, count: int = -1) -> bytes:
    try:
        with _opened(path) as file:
            return file.read(count)
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}); fetch the file again") from None


def millimetres(composite: Composite) -> NDArray[np.float32]:
    """Return the values (rows, columns) in mm; NaN where there are none.

    Values interpolated from gauges count. Those flagged as clutter do in RADKLIM, where it is corrected,
    and are missing in RADOLAN.

    Raises:
        DataError: if the file is cut short or has negative values.
    """
    data = _bytes(composite.path)[composite.offset :]
    if len(data) != 2 * composite.shape[0] * composite.shape[1]:
        raise DataError(f"{composite}: is cut short or too long; fetch the file again")
    packed = np.frombuffer(data, "<u2").reshape(composite.shape)
    if ((packed & (_MISSING | _NEGATIVE)) == _NEGATIVE).any():
        raise DataError(f"{composite}: holds negative precipitation; fetch the file again")
    missing = _MISSING if composite.reprocessed else _MISSING | _CLUTTER
    values = (packed & _VALUE).astype(np.float64) * composite.precision
    return np.where(packed & missing, np.nan, values).astype(np.float32)


@lru_cache
def composite_geometry(shape: tuple[int, int]) -> Geometry:
    """Geometry of the composites of ``shape``: 900 x 900, or 1100 x 900 of RADKLIM."""
    to_plane = pyproj.Transformer.from_crs(CRS.geodetic_crs, CRS, always_xy=True)
    east, north = to_plane.transform(*_ORIGIN)
    west, south = (e - 1000 * cells for e, cells in zip((east, north), _WEST_SOUTH[shape], strict=True))
    x, y = (first + 1000 * (np.arange(n) + 0.5) for first, n in ((west, shape[1]), (south, shape[0])))
    return Geometry.projected(CRS, x, y)


class RadolanProduct:
    """Composites of one product; see :class:`atmorep.targets.product.Product`."""

    def __init__(self, gridded: Target | Static, files: Sequence[Path]) -> None:
        """Read the headers of ``files``.

        Raises:
            DataError: naming the file that is not what ``gridded`` declares, or a time that is there twice.
        """
        composites = [header(path) for path in files]
        for composite in composites:
            if composite.product != gridded.variable:
                raise DataError(
                    f"{composite}: holds the product {composite.product}, not {gridded.variable}; correct "
                    "'variable' or the files"
                )
            agree("sum", gridded, f"{composite}")
        one_grid([(c.path, "{} x {}".format(*c.shape)) for c in composites])
        self._scale = scale(gridded, "mm", f"{files[0]}")
        self._composites, self.intervals = in_order(composites, lambda c: (c.start, c.end))

    @cached_property
    def geometry(self) -> Geometry:
        """Where the cells lie."""
        return composite_geometry(self._composites[0].shape)

    def read(self, index: int) -> NDArray[np.float32]:
        """Return the values (y, x) of an interval."""
        factor, offset = self._scale
        values: NDArray[np.float32] = millimetres(self._composites[index]) * np.float32(factor)
        return values + np.float32(offset)
