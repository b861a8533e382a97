"""The tensors of a checkpoint, each to be taken once and none to be left over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from atmorep.errors import IntegrityError

_SHOWN = 5
"""Names that a message lists at most."""


class Tensors:
    """Tensors by the original's names.

    Args:
        path: the file they are from, for messages.
        tensors: by name.
    """

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        self.path, self.left = path, dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str, *shape: int) -> Tensor:
        """Take a tensor in single precision.

        Raises:
            IntegrityError: if it is missing, of another shape, or holds anything but finite numbers.
        """
        if name not in self.left:
            raise IntegrityError(f"{self.path}: {name} is missing; it is not of the configuration beside it")
        tensor = self.left.pop(name)
        if tuple(tensor.shape) != shape:
            raise IntegrityError(
                f"{self.path}: {name} has the shape {tuple(tensor.shape)}, by the configuration beside it "
                f"{shape}; it is of another one"
            )
        if not tensor.is_floating_point():
            raise IntegrityError(f"{self.path}: {name} is of type {tensor.dtype}, which weights are not")
        if not torch.isfinite(tensor).all():
            raise IntegrityError(f"{self.path}: {name} holds infinite numbers or none; fetch it again")
        return tensor.float()

    def put(self, name: str, tensor: Tensor) -> None:
        """Add a tensor under a name that is free."""
        if name in self.left:
            raise IntegrityError(
                f"{self.path}: {name} is there in both layouts, with fused heads and without"
            )
        self.left[name] = tensor

    def drop(self, *names: str) -> None:
        """Leave tensors out that nothing of the model depends on."""
        for name in names:
            self.left.pop(name, None)

    def check_taken(self) -> None:
        """Refuse a checkpoint of which something is left.

        Raises:
            IntegrityError: naming what nothing is known of.
        """
        if self.left:
            names = sorted(self.left)
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            raise IntegrityError(
                f"{self.path}: {', '.join(names[:_SHOWN])}{more} have no place in a network of the "
                "configuration beside it; it is of another one, or of a version of the original that is not "
                "supported"
            )
