"""Coordinates of tokens: where and when what a model holds inside is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window

TokenIndex = tuple[int, int, int, int]
"""A token of a neighbourhood by its indices in (level, time, latitude, longitude)."""

TOKEN_DIMS = ("level", "step", "row", "column")
"""Dimensions of a neighbourhood's tokens."""

_OWN = {"step": "time", "row": "latitude", "column": "longitude"}
"""Coordinates by the dimension they belong to within one neighbourhood."""

_ATTRIBUTES: dict[str, dict[str, str]] = {
    "time": {"standard_name": "time", "long_name": "valid time of the token's centre", "axis": "T"},
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
}


def token_coordinates(reader: NeighbourhoodReader, windows: Sequence[Window]) -> dict[str, Any]:
    """Coordinates of all tokens: ``level``, and of each sample ``time``, ``latitude`` and ``longitude``."""
    centres = reader.centres(windows)
    values = (centres.times.astype("datetime64[ns]"), centres.latitude, centres.longitude)
    own = {
        name: (("sample", dim), value, _ATTRIBUTES[name])
        for (dim, name), value in zip(_OWN.items(), values, strict=True)
    }
    return {"level": list(reader.reader.levels), **own}


def query_coordinates(
    reader: NeighbourhoodReader, windows: Sequence[Window], queries: Sequence[TokenIndex]
) -> dict[str, Any]:
    """Coordinates ``query_level``, and of each sample ``query_time`` and so on, of some tokens."""
    level, step, row, column = np.array(queries, np.int64).reshape(-1, 4).T
    centres = reader.centres(windows)
    places = {
        "time": centres.times[:, step].astype("datetime64[ns]"),
        "latitude": centres.latitude[:, row],
        "longitude": centres.longitude[:, column],
    }
    described = {
        f"query_{name}": (
            ("sample", "query"),
            value,
            {key: text for key, text in _ATTRIBUTES[name].items() if key != "axis"},
        )
        for name, value in places.items()
    }
    return {"query_level": ("query", np.array(reader.reader.levels)[level]), **described}


def of_sample(dataset: xr.Dataset, number: int) -> xr.Dataset:
    """Return one neighbourhood, whose dimensions are time, latitude and longitude of its tokens."""
    return dataset.isel(sample=number).swap_dims(_OWN)
