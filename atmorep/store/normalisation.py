"""Monthly mean and standard deviation of one field, at any time of the year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import integrity
from atmorep.errors import IntegrityError

Index = slice | NDArray[np.int64]


@dataclass(frozen=True)
class Normalisation:
    """A climatology of twelve months, of transformed values (:mod:`atmorep.transforms`).

    Attributes:
        mean: (12, level, rows | 1, columns | 1).
        std: of the same shape, positive.
    """

    mean: NDArray[np.float32]
    std: NDArray[np.float32]

    @classmethod
    def load(cls, path: Path, levels: Sequence[int] | None = None) -> Self:
        """Read what 'atmorep statistics' wrote.

        Args:
            path: the NetCDF file; it holds all levels of the store.
            levels: levels wanted, in order; default all.

        Raises:
            IntegrityError: if ``path`` is absent, not such a file, or lacks a level.
        """
        try:
            integrity.checked(path)
            with xr.open_dataset(path) as file:
                chosen = file if levels is None else file.sel(level=list(levels))
                pair = [chosen[name].to_numpy().astype(np.float32) for name in ("mean", "std")]
        except (OSError, KeyError, ValueError) as error:
            raise IntegrityError(
                f"{path}: cannot be read as normalisation of levels {levels or 'all'} ({error}); delete it "
                "and run 'atmorep statistics'"
            ) from None
        mean, std = (a if a.ndim == 4 else a[:, :, None, None] for a in pair)
        return cls(mean, std)

    def at(
        self, time: np.datetime64, rows: Index = slice(None), columns: Index = slice(None)
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return mean and standard deviation (level, rows | 1, columns | 1) at ``time``.

        Linear between the middles of the months; the year is periodic.

        Args:
            time: any time.
            rows: rows wanted, where each grid point has its own normalisation.
            columns: columns wanted, likewise.
        """
        before, share = _month_and_share(time)
        if self.mean.shape[2:] == (1, 1):
            rows = columns = slice(None)
        mean, std = (
            (1 - share) * a[before][:, rows][..., columns]
            + share * a[(before + 1) % 12][:, rows][..., columns]
            for a in (self.mean, self.std)
        )
        return mean, std


def _month_and_share(time: np.datetime64) -> tuple[int, np.float32]:
    """Return the month (0 to 11) whose middle came last, and the share of the way to the next middle."""
    month = time.astype("datetime64[M]").astype(int)
    minute = int(time.astype("datetime64[m]").astype(int))
    if minute < _middle(month):
        month -= 1
    start, end = _middle(month), _middle(month + 1)
    return month % 12, np.float32((minute - start) / (end - start))


def _middle(month: int) -> float:
    """Middle of a month, counted from January 1970, in minutes since 1970."""
    edges = np.array([month, month + 1], "datetime64[M]").astype("datetime64[m]").astype(np.int64)
    return float(edges.mean())
