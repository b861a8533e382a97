"""Opening an array of a store with tensorstore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import tensorstore as ts
from numpy.typing import NDArray

from atmorep.errors import IntegrityError


def open_array(store: Path, name: str, *, cache_bytes: int = 0, threads: int = 1) -> Any:
    """Open the array ``name``, dimensions (time, level, latitude, longitude), for reading and writing.

    A shard is written aside and renamed, so that nobody meets half of one; flushing it to the disk is
    left to the caller.

    Args:
        store: the Zarr store.
        name: the array's name, an ERA5 short name.
        cache_bytes: decoded inner chunks are kept up to this size.
        threads: threads that read, write, encode and decode.

    Raises:
        IntegrityError: if the array is not there or cannot be read.
    """
    context = ts.Context(
        {
            "cache_pool": {"total_bytes_limit": cache_bytes},
            "data_copy_concurrency": {"limit": threads},
            "file_io_concurrency": {"limit": threads},
            "file_io_sync": False,
        }
    )
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{(store / name).absolute()}/"},
        "recheck_cached_metadata": "open",
        "recheck_cached_data": "open",
    }
    try:
        return ts.open(spec, context=context, open=True).result()
    except ValueError as error:
        raise IntegrityError(f"{store}/{name}: cannot be opened ({error}); convert it first") from None


def read(window: Any) -> NDArray[np.float32]:
    """Return the values of a window of an array.

    Raises:
        IntegrityError: naming the shard, if it is truncated or its checksum does not fit.
    """
    try:
        values: NDArray[np.float32] = window.read().result()
        return values
    except ValueError as error:
        raise IntegrityError(
            f"{error}; find out with 'atmorep verify', then rerun 'atmorep convert'"
        ) from None
