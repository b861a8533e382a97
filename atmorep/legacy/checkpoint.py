"""Finding a checkpoint of the original in its folder, and reading it without running anything of it."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from atmorep.errors import IntegrityError


class Files(NamedTuple):
    """A checkpoint on disk.

    Attributes:
        identifier: of the original's run.
        settings: its configuration.
        weights: its state dictionary.
    """

    identifier: str
    settings: Path
    weights: Path


def find(folder: Path) -> Files:
    """Return the files of the checkpoint in ``folder``, as the original names them.

    Raises:
        IntegrityError: if there is none, or more than one.
    """
    identifier, settings = _only(folder, "model_id", ".json")
    weights = folder / f"AtmoRep_id{identifier}.mod"
    if not weights.is_file():
        _, weights = _only(folder, f"AtmoRep_id{identifier}_epoch", ".mod")
    return Files(identifier, settings, weights)


def _only(folder: Path, prefix: str, suffix: str) -> tuple[str, Path]:
    """The one file called ``<prefix>…<suffix>``, and what is between."""
    found = sorted(folder.glob(f"{prefix}*{suffix}"))
    if len(found) != 1:
        there = ", ".join(path.name for path in sorted(folder.glob("*"))) or "nothing"
        count = "no" if not found else "more than one"
        raise IntegrityError(
            f"{folder}: holds {count} {prefix}*{suffix}, but {there}; give a folder with the files of one "
            "checkpoint, model_id<ID>.json and AtmoRep_id<ID>.mod"
        )
    return found[0].name[len(prefix) : -len(suffix)], found[0]


def read(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a state dictionary; nothing but tensors is taken from the file.

    Raises:
        IntegrityError: if the file is truncated or altered, or holds anything else.
    """
    _check_sums(path)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file makes the reader stumble over can be anything
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise IntegrityError(
            f"{path}: is truncated, altered or no state dictionary of tensors ({first}); fetch it again"
        ) from None
    known = isinstance(tensors, dict) and all(isinstance(name, str) for name in tensors)
    if not known or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
        raise IntegrityError(f"{path}: holds other things than the tensors of a network; fetch it again")
    return dict(tensors)


def _check_sums(path: Path) -> None:
    """Compare the archive with the check sums within it; files of PyTorch before 1.6 have none."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # as above
        raise IntegrityError(f"{path}: is truncated or altered ({error}); fetch it again") from None
    if damaged is not None:
        raise IntegrityError(f"{path}: {damaged} is not what its check sum says; fetch it again")
