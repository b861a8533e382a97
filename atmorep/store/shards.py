"""Writing shards of Zarr v3 (codec ``sharding_indexed``), chunk by chunk as the data comes.

The libraries that write shards hold all of one in memory, decoded and encoded: over 1 GB for a day of
a global field on five levels. Here only what one block in time holds is in memory, and the checksum
of the file comes along. Reading is left to the libraries.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import google_crc32c
import numcodecs.blosc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from atmorep.artefacts import aside_of, remove_leftovers

COMPRESSOR, LEVEL, SHUFFLE = "lz4", 1, "bitshuffle"
"""Blosc's settings: the fastest to decode of those tried, at 0.7 of the size of 16-bit GRIB."""

numcodecs.blosc.set_nthreads(1)  # jobs run in parallel, and chunks are too small to share

_ABSENT = np.iinfo(np.uint64).max
"""Offset and size of a chunk that holds nothing but the fill value."""

_BUFFER_BYTES = 2**22
"""Chunks are small; written one by one, the calls cost more than the compression."""


def codecs() -> list[BloscCodec | Crc32cCodec]:
    """Codecs of the inner chunks, after ``bytes``, as the array's metadata names them."""
    return [BloscCodec(typesize=4, cname=COMPRESSOR, clevel=LEVEL, shuffle=SHUFFLE), Crc32cCodec()]


def write_shard(
    target: Path, blocks: Iterable[NDArray[np.float32]], chunk: tuple[int, int, int, int]
) -> tuple[int, str]:
    """Write a shard aside and rename it into place; flushing it to the disk is left to the caller.

    Args:
        target: file of the shard.
        blocks: arrays (time, level, rows, columns) of consecutive times, each as long in time as a
            chunk, on all levels and the whole grid.
        chunk: shape of the inner chunks; those at the edges are filled up with NaN.

    Returns:
        Size in bytes and CRC-32C in hex of the file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    aside = aside_of(target)
    try:
        with aside.open("wb", buffering=_BUFFER_BYTES) as file:
            written = _write(file, blocks, chunk)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)
    return written


def _write(
    file: BinaryIO, blocks: Iterable[NDArray[np.float32]], chunk: tuple[int, int, int, int]
) -> tuple[int, str]:
    index, digest, offset = list[tuple[int, int]](), google_crc32c.Checksum(), 0
    for encoded in (_encode(piece) for block in blocks for piece in _pieces(block, chunk)):
        index.append((offset, len(encoded)) if encoded else (_ABSENT, _ABSENT))
        digest.update(encoded)
        offset += file.write(encoded)
    tail = _checked(np.array(index, "<u8").tobytes())
    digest.update(tail)
    return offset + file.write(tail), digest.digest().hex()


def _pieces(block: NDArray[np.float32], chunk: tuple[int, int, int, int]) -> Iterable[NDArray[np.float32]]:
    """Yield the chunks of a block, in the order of the index; the same memory each time."""
    piece = np.empty(chunk, np.float32)
    rows, columns = block.shape[2:]
    for row, column in itertools.product(range(0, rows, chunk[2]), range(0, columns, chunk[3])):
        part = block[:, :, row : row + chunk[2], column : column + chunk[3]]
        if part.shape != chunk:
            piece[...] = np.nan
        piece[:, :, : part.shape[2], : part.shape[3]] = part
        yield piece


def _encode(piece: NDArray[np.float32]) -> bytes:
    """Return the encoded chunk; nothing if it holds NaN only."""
    if np.isnan(piece.flat[0]) and np.isnan(piece).all():
        return b""
    shuffle = numcodecs.blosc.BITSHUFFLE
    return _checked(numcodecs.blosc.compress(piece, COMPRESSOR.encode(), LEVEL, shuffle, typesize=4))


def _checked(data: bytes) -> bytes:
    """Return ``data`` with its CRC-32C at the end."""
    return data + google_crc32c.value(data).to_bytes(4, "little")
