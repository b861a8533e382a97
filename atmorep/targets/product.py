"""Gridded products as data: where their cells lie, what their times stand for, and their values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atmorep.config import Static, Target
from atmorep.errors import DataError
from atmorep.targets.cf import CfProduct
from atmorep.targets.declared import Minutes
from atmorep.targets.geometry import Geometry
from atmorep.targets.grib_product import GribProduct
from atmorep.targets.radolan import RadolanProduct, is_composite


class Product(Protocol):
    """One variable of a gridded product, in any number of files."""

    intervals: Minutes
    """Start and end (n, 2) of what each value stands for, datetime64[m], by time; equal for instants.
    NaT where a static field has no time."""

    @property
    def geometry(self) -> Geometry:
        """Where the cells lie."""

    def read(self, index: int) -> NDArray[np.float32]:
        """Return the values (y, x) of interval ``index``, NaN where there are none.

        They are in the unit of the target's field; those of static fields in the unit that is declared.

        Raises:
            DataError: naming the file, if they cannot be decoded.
        """


def open_product(gridded: Target | Static, files: Sequence[Path]) -> Product:
    """Open the files of a target or static field; what they are is told by what they hold.

    Only headers and coordinates are read.

    Args:
        gridded: says which variable is meant, in what unit it is and what its times stand for.
        files: GRIB, NetCDF or Zarr, or RADOLAN composites, all of one kind and on one grid.

    Raises:
        DataError: naming the file that is not what ``gridded`` declares, cannot be read, lies on another
            grid than the others, or holds a time again.
    """
    if not files:
        raise DataError(f"{gridded.variable}: there are no files; fetch them or correct the source")
    readers = {path: _reader(path) for path in files}
    first = readers[files[0]]
    for path, reader in readers.items():
        if reader is not first:
            raise DataError(f"{path}: is of another form than {files[0]}; make them targets of their own")
    product = first(gridded, files)
    if isinstance(gridded, Static) and len(product.intervals) != 1:
        raise DataError(
            f"{files[0]}: holds {len(product.intervals)} times of {gridded.variable}; a static field has one"
        )
    return product


def _reader(path: Path) -> type[RadolanProduct | CfProduct | GribProduct]:
    if path.is_dir() and any((path / name).exists() for name in ("zarr.json", ".zgroup")):
        return CfProduct
    if path.is_file():
        with path.open("rb") as file:
            magic = file.read(4)
        if magic.startswith((b"CDF", b"\x89HDF")):
            return CfProduct
        if magic == b"GRIB":
            return GribProduct
    if path.is_file() and is_composite(path):
        return RadolanProduct
    raise DataError(f"{path}: is neither GRIB, NetCDF, Zarr nor a RADOLAN composite; correct the source")
