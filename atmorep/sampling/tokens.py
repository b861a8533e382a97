"""Cutting neighbourhoods into space-time tokens, and joining them again (shapes: atmorep.sampling)."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Scalar = TypeVar("Scalar", bound=np.generic)
Size = tuple[int, int, int]
"""Grid points a token in (time, latitude, longitude)."""


def tokenise(values: NDArray[Scalar], size: Size, out: NDArray[Scalar] | None = None) -> NDArray[Scalar]:
    """Cut (…, T, H, W) into tokens (…, K, I, J, V); V runs over (time, latitude, longitude).

    A row of a token moves as one item: point by point it takes three times as long.

    Args:
        values: of any type.
        size: grid points a token.
        out: C-contiguous, is written to and returned, where given.
    """
    t, h, w = size
    *before, steps, rows, columns = values.shape
    cut = (*before, steps // t, rows // h, columns // w)
    tokens = np.empty((*cut, t * h * w), values.dtype) if out is None else out
    row = np.dtype((np.void, w * values.itemsize))
    lines = np.ascontiguousarray(values).view(row).reshape(*cut[:-2], t, cut[-2], h, cut[-1])
    np.copyto(tokens.view(row).reshape(*cut, t, h), np.moveaxis(lines, (-4, -2), (-2, -1)))
    return tokens


def detokenise(tokens: Tensor, size: Size) -> Tensor:
    """Join tokens (B, L, K, I, J, V) to (B, L, T, H, W); the inverse of :func:`tokenise`, for tensors."""
    cut = tokens.unflatten(-1, size)  # B L K I J t h w
    return cut.permute(0, 1, 2, 5, 3, 6, 4, 7).flatten(6, 7).flatten(4, 5).flatten(2, 3)


def per_point(hidden: Tensor, size: Size) -> Tensor:
    """Spread a token mask (B, L, K, I, J) over grid points (B, L, T, H, W)."""
    volume = size[0] * size[1] * size[2]
    return detokenise(hidden.unsqueeze(-1).expand(*hidden.shape, volume), size)


def interpolate_in_time(tokens: Tensor, blank: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Fill blank tokens by linear interpolation in time between the others at the same place.

    Before the first and after the last known step the nearest one is repeated; where no token of a
    place is known the value is 0, the climatological mean of normalised data.

    Args:
        tokens: (B, L, K, I, J, V), any content where blank.
        blank: (B, L, K, I, J), True where a token is unknown.
        size: grid points a token.

    Returns:
        The filled tokens (B, L, K, I, J, V), others unchanged, and the distances in token steps to the
        nearest known token before and after (B, L, K, I, J, 2); K where there is none.
    """
    steps = size[0]
    series = tokens.unflatten(-1, (steps, -1)).permute(0, 1, 3, 4, 2, 5, 6).flatten(4, 5)  # B L I J T hw
    known = (~blank).permute(0, 1, 3, 4, 2)
    before, after, weight = _neighbours(known.repeat_interleave(steps, dim=-1))
    anything = known.any(-1)[..., None, None]
    between = torch.lerp(_take(series, before), _take(series, after), weight.unsqueeze(-1).to(series.dtype))
    filled = torch.where(anything, between, 0)
    joined = filled.unflatten(4, (-1, steps)).permute(0, 1, 4, 2, 3, 5, 6).flatten(-2)
    return joined, _distances(blank)


def _distances(blank: Tensor) -> Tensor:
    """Token steps to the nearest known token before and after (B, L, K, I, J, 2)."""
    count = blank.shape[2]
    index = torch.arange(count, device=blank.device).view(-1, 1, 1).expand(blank.shape)
    before = torch.where(blank, -count, index).cummax(2).values
    after = torch.where(blank, 2 * count, index).flip(2).cummin(2).values.flip(2)
    return torch.stack([index - before, after - index], dim=-1).clamp(max=count)


def _neighbours(visible: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of the nearest visible steps at or before and at or after, and the weight of the latter."""
    last = visible.shape[-1] - 1
    index = torch.arange(last + 1, device=visible.device).expand(visible.shape)
    before = torch.where(visible, index, -1).cummax(-1).values
    after = torch.where(visible, index, last + 1).flip(-1).cummin(-1).values.flip(-1)
    before, after = torch.where(before < 0, after, before), torch.where(after > last, before, after)
    weight = (index - before) / (after - before).clamp(min=1)
    return before.clamp(0, last), after.clamp(0, last), weight.clamp(0, 1)


def _take(series: Tensor, index: Tensor) -> Tensor:
    return series.gather(-2, index.unsqueeze(-1).expand(series.shape))
