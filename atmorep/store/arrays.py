"""Opening a field's array of the store with tensorstore."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorstore as ts

from atmorep.errors import IntegrityError


def open_array(store: Path, field: str, *, cache_bytes: int = 0, threads: int = 1) -> Any:
    """Open the array of ``field``, dimensions (time, level, latitude, longitude), for reading and writing.

    A shard is written aside and renamed, so that nobody meets half of one.

    Args:
        store: the Zarr store.
        field: ERA5 short name, the array's name.
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
        }
    )
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": f"{(store / field).absolute()}/"},
        "recheck_cached_metadata": "open",
        "recheck_cached_data": "open",
    }
    try:
        return ts.open(spec, context=context, open=True).result()
    except ValueError as error:
        raise IntegrityError(f"{store}/{field}: cannot be opened ({error}); run 'atmorep layout'") from None
