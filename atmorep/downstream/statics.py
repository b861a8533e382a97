"""Static fields on the evaluation grid of a target, as the head of a task is given them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.errors import DataError, IntegrityError
from atmorep.grids import Grid


def read_statics(paths: Iterable[Path], grid: Grid) -> NDArray[np.float32]:
    """Return static fields (S, rows, columns) of mean 0 and standard deviation 1 over the cells with values.

    The other cells are 0, as is a field that is the same everywhere.

    Args:
        paths: NetCDF files that 'atmorep static' wrote, one a field.
        grid: evaluation grid that they are on.

    Raises:
        DataError: if one has no value at all.
        IntegrityError: if one is absent, not such a file, or on another grid.
    """
    fields = [_standardised(read_static(path, grid), path) for path in paths]
    return np.stack(fields) if fields else np.zeros((0, *grid.shape), np.float32)


def read_static(path: Path, grid: Grid) -> NDArray[np.float32]:
    """Return a static field (rows, columns) in its unit, NaN where it has no value.

    Raises:
        IntegrityError: as :func:`read_statics`.
    """
    try:
        integrity.checked(path)
        with xr.open_dataarray(path) as values:
            found = values.squeeze().to_numpy().astype(np.float32)
    except (OSError, ValueError) as error:
        raise IntegrityError(
            f"{path}: cannot be read as a static field ({error}); delete it and run 'atmorep static'"
        ) from None
    if found.shape != grid.shape:
        raise IntegrityError(
            f"{path}: has {found.shape} cells, the evaluation grid {grid.shape}; delete it and run "
            "'atmorep static'"
        )
    return found


def _standardised(values: NDArray[np.float32], path: Path) -> NDArray[np.float32]:
    if np.isnan(values).all():
        raise DataError(f"{path}: has no value on the grid of the target; remove it from the task's statics")
    departure = values - np.nanmean(values, dtype=np.float64)
    return np.nan_to_num(departure / (np.nanstd(values, dtype=np.float64) or 1.0)).astype(np.float32)
