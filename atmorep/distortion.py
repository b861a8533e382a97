"""What the model sees of tokens that are hidden: nothing, noise on top, or means."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from atmorep.config import Masking
from atmorep.masking import Masks
from atmorep.sampling.tokens import Size


def distort(
    tokens: Tensor, masks: Masks, noise: Callable[[int], np.random.Generator], config: Masking, size: Size
) -> Tensor:
    """Return tokens (B, L, K, I, J, V) as the model sees them; ``tokens`` is left as it is.

    Args:
        tokens: normalised.
        masks: of all samples, stacked (B, L, K, I, J).
        noise: generator of the noise of a sample, by its number in the batch.
        config: how much noise, and how coarse.
        size: grid points a token.
    """
    seen = _blanked(tokens, masks.blank)
    noised, coarsened = torch.from_numpy(masks.noised), torch.from_numpy(masks.coarsened)
    if coarsened.any():
        seen[coarsened] = coarsen(tokens[coarsened], config.coarsening, size)
    for sample in np.flatnonzero(masks.noised.any((1, 2, 3, 4))):
        count = int(masks.noised[sample].sum())
        drawn = noise(int(sample)).standard_normal((count, tokens.shape[-1]), np.float32)
        seen[sample][noised[sample]] += config.noise_std * torch.from_numpy(drawn)
    return seen


def _blanked(tokens: Tensor, blank: NDArray[np.bool_]) -> Tensor:
    """Return a copy whose ``blank`` tokens are zero; sample by sample, each being in the cache still."""
    seen = torch.empty_like(tokens)
    for one, true, hidden in zip(seen.numpy(), tokens.numpy(), blank, strict=True):
        one[...] = true
        one[hidden] = 0
    return seen


def coarsen(tokens: Tensor, factor: int, size: Size) -> Tensor:
    """Replace tokens (n, V) by their means over ``factor`` × ``factor`` grid points (edges: fewer)."""
    t, h, w = size
    images = tokens.view(-1, t, h, w)
    factors = (min(factor, h), min(factor, w))
    means = avg_pool2d(images, factors, ceil_mode=True, count_include_pad=False)
    spread = interpolate(means, scale_factor=[float(f) for f in factors], mode="nearest")
    return spread[..., :h, :w].reshape(tokens.shape)
