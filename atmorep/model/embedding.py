"""From tokens to the transformer's width: linear embedding, and where the token information enters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from atmorep.config.network import Network
from atmorep.model.inputs import Tokens
from atmorep.sampling.info import COLUMNS


class Information(nn.Linear):
    """Linear embedding of those parts of the token information that the model is given.

    Args:
        config: the network section of the configuration.
        dim: width of the result.
    """

    columns: Tensor

    def __init__(self, config: Network, dim: int) -> None:
        places = COLUMNS[config.information]
        columns = [column for part in config.information_parts for column in places[part]]
        super().__init__(len(columns), dim)
        self.register_buffer("columns", torch.tensor(sorted(columns)), persistent=False)

    def forward(self, info: Tensor) -> Tensor:
        """(…, F) to (…, dim)."""
        return super().forward(info[..., self.columns])


class Embedding(nn.Module):
    """Linear embedding with the embedded token information appended, as published.

    Args:
        volume: grid points a token V.
        dim: width D of the result, ``network.info_dim`` included.
        config: the network section of the configuration.
    """

    def __init__(self, volume: int, dim: int, config: Network) -> None:
        super().__init__()
        self.values = nn.Linear(volume, dim - config.info_dim)
        self.info = Information(config, config.info_dim)

    def forward(self, source: Tensor, info: Tensor) -> Tensor:
        """(B, N, V) and (B, N, F) to (B, N, D)."""
        return torch.cat([self.values(source), self.info(info)], dim=-1)


class AddedEmbedding(nn.Module):
    """Linear embedding with the token information, projected to the same width, added."""

    def __init__(self, volume: int, dim: int, config: Network) -> None:
        super().__init__()
        self.values = nn.Linear(volume, dim)
        self.info = Information(config, dim)

    def forward(self, source: Tensor, info: Tensor) -> Tensor:
        """(B, N, V) and (B, N, F) to (B, N, D)."""
        y: Tensor = self.values(source) + self.info(info)
        return y


class BareEmbedding(nn.Module):
    """Linear embedding without token information; where that is a class token."""

    def __init__(self, volume: int, dim: int, config: Network) -> None:
        super().__init__()
        self.values = nn.Linear(volume, dim)

    def forward(self, source: Tensor, info: Tensor) -> Tensor:
        """(B, N, V) and (B, N, F) to (B, N, D)."""
        y: Tensor = self.values(source)
        return y


EMBEDDINGS = {
    "appended": Embedding,
    "reappended": Embedding,
    "added": AddedEmbedding,
    "class_token": BareEmbedding,
}
"""Embeddings by ``network.information_place``."""


class ClassToken(nn.Module):
    """The information of the whole neighbourhood as one token more, behind the others in the encoder.

    It is the mean of the information of the neighbourhood's tokens, embedded.

    Args:
        config: the network section of the configuration.
        dim: width D.
    """

    def __init__(self, config: Network, dim: int) -> None:
        super().__init__()
        self.info = Information(config, dim)

    def join(self, tokens: Tokens, info: Tensor) -> Tokens:
        """Put the token of the information (B, N, F) behind those that enter the encoder."""
        token, present, place = self.info(info.mean(1, keepdim=True)), tokens.present, tokens.place
        middle = place.new_full((*place.shape[:-2], 1, place.shape[-1]), 0.5)
        return Tokens(
            values=torch.cat([tokens.values, token], dim=1),
            present=None if present is None else nn.functional.pad(present, (0, 1), value=True),
            place=torch.cat([place, middle], dim=-2),
            embedded=torch.cat([tokens.embedded, token], dim=1),
        )

    def leave(self, tokens: Tokens) -> Tokens:
        """Take the token away again."""
        present = tokens.present
        return Tokens(
            values=tokens.values[:, :-1],
            present=None if present is None else present[:, :-1],
            place=tokens.place[..., :-1, :],
            embedded=tokens.embedded[:, :-1],
        )


class Attended(nn.Module):
    """Tokens as attention leaves them."""

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens to (B, P, D)."""
        return tokens.values


class Reappended(nn.Module):
    """Tokens whose last features are again the token information, as it was embedded.

    Args:
        info_dim: width of the embedded token information.
    """

    def __init__(self, info_dim: int) -> None:
        super().__init__()
        self.info_dim = info_dim

    def forward(self, tokens: Tokens) -> Tensor:
        """Tokens to (B, P, D)."""
        own, info = tokens.values[..., : -self.info_dim], tokens.embedded[..., -self.info_dim :]
        return torch.cat([own, info], dim=-1)
