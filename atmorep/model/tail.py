"""The ensemble of tail networks: one prediction a member for every grid point of a token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class TailEnsemble(nn.Module):
    """M independent layer-norm-and-linear networks, evaluated as one matrix product.

    Args:
        dim: width D of the tokens.
        volume: grid points a token V.
        members: members M.
        gain: factor of the initial weights.
    """

    def __init__(self, dim: int, volume: int, members: int, gain: float = 1.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.scale = nn.Parameter(torch.ones(members, dim))
        self.shift = nn.Parameter(torch.zeros(members, dim))
        bound = gain / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(members, dim, volume).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, volume).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to members (B, N, M, V)."""
        weight = (self.scale.unsqueeze(-1) * self.weight).transpose(0, 1).flatten(1)  # D, M·V
        bias = (torch.einsum("md,mdv->mv", self.shift, self.weight) + self.bias).flatten()
        return torch.addmm(bias, self.norm(x).flatten(0, 1), weight).view(*x.shape[:2], *self.bias.shape)
