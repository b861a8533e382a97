"""The ensemble of tail networks: one prediction a member for every grid point of a token."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu


class TailEnsemble(nn.Module):
    """M independent networks: layer norm, hidden layers with GELU if any, and a linear layer.

    They are evaluated as one matrix product a layer.

    Args:
        dim: width D of the tokens, and of hidden layers.
        volume: grid points a token V.
        members: members M.
        gain: factor of the initial weights of the last layer.
        layers: hidden layers.
    """

    def __init__(self, dim: int, volume: int, members: int, gain: float = 1.0, layers: int = 0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        self.scale = nn.Parameter(torch.ones(members, dim))
        self.shift = nn.Parameter(torch.zeros(members, dim))
        bound = gain / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(members, dim, volume).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, volume).uniform_(-bound, bound))
        self.hidden = nn.ModuleList(HiddenLayer(members, dim) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, D) to members (B, N, M, V)."""
        layers: list[tuple[Tensor, Tensor]]
        layers = [(layer.weight, layer.bias) for layer in (*self.hidden, self)]  # type: ignore[misc]
        y = self._normed(x.flatten(0, 1), *layers[0])
        for weight, bias in layers[1:]:
            y = torch.baddbmm(bias.unsqueeze(1), gelu(y).transpose(0, 1), weight).transpose(0, 1)
        return y.unflatten(0, x.shape[:2])

    def _normed(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Layer norm of all members and their first layer as one product: (N, D) to (N, M, W)."""
        product = (self.scale.unsqueeze(-1) * weight).transpose(0, 1).flatten(1)  # D, M·W
        summand = torch.einsum("md,mdw->mw", self.shift, weight) + bias
        return torch.addmm(summand.flatten(), self.norm(x), product).unflatten(-1, bias.shape)


class HiddenLayer(nn.Module):
    """The weights of a hidden layer of all members.

    Args:
        members: members M.
        dim: width D.
    """

    def __init__(self, members: int, dim: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(dim)
        self.weight = nn.Parameter(torch.empty(members, dim, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, dim).uniform_(-bound, bound))
