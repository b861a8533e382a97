"""Packed files (bzip2, gzip, tar, and those within each other), unpacked without trusting them."""

from __future__ import annotations

import bz2
import errno
import glob
import gzip
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from filelock import FileLock

from atmorep import integrity
from atmorep.artefacts import written_aside
from atmorep.errors import DataError

_SUFFIXES = (".bz2", ".gz", ".tgz", ".tar")
_BLOCK_BYTES = 1 << 20
_LONGEST_HEADER_BYTES = 1 << 20
_DEEPEST = 4
_READ_WHOLE = frozenset(
    {
        *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
        *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    }
)
"""Types of headers whose data tarfile takes into memory at once."""

_END, _BROKEN = (getattr(tarfile, name) for name in ("EOFHeaderError", "HeaderError"))  # typeshed lacks them


@dataclass(frozen=True)
class Bounds:
    """What an archive may unpack to at most, archives within it included.

    Attributes:
        size: bytes.
        members: files.
    """

    size: int = 64 << 30
    members: int = 50_000


class _Budget:
    """What is left of the bounds."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds, self._size, self._members = bounds, bounds.size, bounds.members

    def member(self) -> None:
        self._members -= 1
        if self._members < 0:
            raise DataError(f"holds more than {self._bounds.members} members")

    def size(self, count: int) -> None:
        self._size -= count
        if self._size < 0:
            raise DataError(f"unpacks to more than {self._bounds.size} bytes")


class _Header(tarfile.TarInfo):
    """Makes an error of a header that is damaged or absent, which else ends the archive silently."""

    @classmethod
    def frombuf(cls, buf: Any, encoding: Any, errors: Any) -> Any:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _READ_WHOLE and header.size > _LONGEST_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: Any) -> Any:
        try:
            return super().fromtarfile(archive)
        except _END:
            raise
        except _BROKEN as error:
            raise tarfile.ReadError(f"{error} instead of a member or the end mark") from None


def stem(name: str) -> str:
    """Return the name of a file without the suffixes that say how it is packed."""
    while (path := PurePosixPath(name)).suffix in _SUFFIXES:
        name = path.stem
    return name


def is_packed(path: Path) -> bool:
    """Tell by its first bytes whether a file is packed."""
    return path.is_file() and _opener(path) is not None


def unpack(path: Path, folder: Path, bounds: Bounds, remedy: str) -> None:
    """Write what ``path`` holds to ``folder``, read to its last byte, and unpack what is packed in it.

    Members of a tar archive keep their paths; a file that is packed alone keeps its name, and an archive
    within another becomes a folder of its name, both without the suffixes of packing.

    Args:
        path: packed by bzip2, gzip or tar, which is told by its content.
        folder: exists and is empty.
        bounds: what it may unpack to.
        remedy: what to do about a broken archive, for messages.

    Raises:
        DataError: naming ``path`` and what is wrong: it is cut short or damaged, too large, or has a member
            that is a link or a device, is there twice or would lie outside ``folder``.
    """
    try:
        _unpack(path, folder, _Budget(bounds), 1)
    except DataError as error:
        raise DataError(f"{path}: {error}; {remedy}") from None


def filled_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return ``folder``, filled by ``fill`` unless it is there; waits while another process fills it.

    Args:
        folder: is there whole or not at all.
        fill: writes to the empty folder that it is given.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.exists():
            for left in folder.parent.glob(f".{glob.escape(folder.name)}.*.part"):  # by a process that died
                shutil.rmtree(left)
            with written_aside(folder) as aside:
                aside.mkdir()
                fill(aside)
                listed, remedy = integrity.listing(aside), f"delete {folder} and rerun the download"
                integrity.write(integrity.beside(folder), listed, base=folder, remedy=remedy)
    return folder


def _opener(path: Path) -> Callable[[Path], IO[bytes]] | None:
    """Return what reads the content of a packed file; none for others."""
    with path.open("rb") as file:
        head = file.read(tarfile.BLOCKSIZE)
    if head.startswith(b"BZh"):
        return cast(Any, bz2.open)
    if head.startswith(b"\x1f\x8b"):
        return cast(Any, gzip.open)
    return (lambda plain: plain.open("rb")) if _is_tar(head) else None


def _is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar"


def _unpack(path: Path, folder: Path, budget: _Budget, depth: int) -> bool:
    """Unpack to ``folder``; tell whether it was a tar archive."""
    opener = _opener(path)
    if opener is None:
        raise DataError("is neither bzip2, gzip nor tar")
    if depth > _DEEPEST:
        raise DataError(f"holds archives within archives, more than {_DEEPEST} deep")
    with _damage_named(), opener(path) as stream:
        tar = _is_tar(stream.read(tarfile.BLOCKSIZE))
        stream.seek(0)
        written = (
            _members(stream, folder, budget) if tar else [_content(stream, folder / stem(path.name), budget)]
        )
        while block := stream.read(_BLOCK_BYTES):  # to the end, where the checksum is
            budget.size(len(block))
        for file in filter(is_packed, written):
            _unpack_in_place(file, budget, depth + 1)
    return tar


def _unpack_in_place(file: Path, budget: _Budget, depth: int) -> None:
    """Replace a packed file by the file, or the folder, that it holds."""
    inner, name = file.with_name(f"{file.name}.unpacked"), stem(file.name)
    inner.mkdir()
    try:
        tar = _unpack(file, inner, budget, depth)
    except DataError as error:
        raise DataError(f"holds {file.name}, which {error}") from None
    file.unlink()
    if file.with_name(name).exists():
        raise DataError(f"holds {name} twice")
    (inner if tar else inner / name).rename(file.with_name(name))
    if not tar:
        inner.rmdir()


def _content(stream: IO[bytes], target: Path, budget: _Budget) -> Path:
    budget.member()
    with target.open("xb") as file:
        while block := stream.read(_BLOCK_BYTES):
            budget.size(len(block))
            file.write(block)
    return target


def _members(stream: IO[bytes], folder: Path, budget: _Budget) -> list[Path]:
    """Write the files of a tar archive; return their paths."""
    written = []
    with tarfile.open(fileobj=stream, mode="r:", tarinfo=_Header) as archive:
        for member in archive:
            budget.member()
            target = _within(member, folder)
            if member.isdir():
                continue
            budget.size(member.size)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                shutil.copyfileobj(cast(IO[bytes], archive.extractfile(member)), file, _BLOCK_BYTES)
            written.append(target)
    return written


def _within(member: tarfile.TarInfo, folder: Path) -> Path:
    """Return where below ``folder`` a member goes.

    Raises:
        DataError: if it is neither a plain file nor a folder, or would go elsewhere.
    """
    if member.size < 0:
        raise DataError(f"its member {member.name} has a size of {member.size} bytes")
    if not (member.isreg() or member.isdir()):
        raise DataError(f"its member {member.name} is a link or a device, no file")
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"its member {member.name} would lie outside the folder it is unpacked to")
    try:
        tarfile.data_filter(member, str(folder))
    except tarfile.FilterError as error:
        raise DataError(f"its member {member.name} is refused ({error})") from None
    return folder / name


@contextmanager
def _damage_named() -> Iterator[None]:
    """Make errors of the user out of what the readers raise, but for those of the disk."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise DataError(f"holds the same path twice ({error.filename})") from None
    except (EOFError, zlib.error, tarfile.TarError, ValueError, RecursionError) as error:
        raise DataError(f"is cut short or damaged ({error})") from None
    except OSError as error:
        if error.errno not in (None, errno.ENAMETOOLONG):
            raise
        raise DataError(f"is cut short or damaged ({error})") from None
