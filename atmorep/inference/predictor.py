"""Predicting hidden tokens of given windows with a trained model, in physical units."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from atmorep import bundle
from atmorep.config import Config
from atmorep.model.field_transformer import FieldTransformer
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.tokens import detokenise
from atmorep.sampling.windows import Window
from atmorep.store.reader import FieldReader
from atmorep.transforms import inverse


class Predictor:
    """One field's trained transformer and where it reads.

    Attributes:
        neighbourhoods: reads normalised neighbourhoods and their token information.
        levels: levels predicted; (0,) at the surface.
        tails: members.
        steps, rows, columns: grid points of a neighbourhood.
        token: grid points a token in (time, latitude, longitude).
    """

    def __init__(self, model: FieldTransformer, neighbourhoods: NeighbourhoodReader, tails: int) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.neighbourhoods = neighbourhoods
        self.levels = neighbourhoods.reader.levels
        self.tails = tails
        self.steps, self.rows, self.columns = neighbourhoods.extent.shape
        self.token = neighbourhoods.token_size

    @classmethod
    def load(cls, config: Config, field: str) -> Predictor:
        """Open the bundle of ``field`` and the store of ``config``.

        Raises:
            IntegrityError: if the bundle is incomplete or damaged.
        """
        trained = bundle.load(Paths(config).model(field))
        store = FieldReader(config, field)
        reader = NeighbourhoodReader(trained.config, field, store, trained.normalisation)
        return cls(trained.model, reader, trained.config.network.tails)

    @torch.inference_mode()
    def predict(self, windows: Sequence[Window], hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Predict all tokens of ``windows`` without looking at the hidden ones.

        Args:
            windows: neighbourhoods, B of them.
            hidden: (B, L, K, I, J), True where a token is withheld.

        Returns:
            Members (B, M, T, L, H, W) in physical units.
        """
        source = self.neighbourhoods.normalised(windows)
        blank = torch.from_numpy(hidden)
        source[blank] = 0
        inputs = (x.to(self.device) for x in (source, self.neighbourhoods.info(windows), blank))
        members = self.model(*inputs).float().cpu().movedim(-2, 1)  # B M L K I J V
        values = detokenise(members.flatten(0, 1), self.token).unflatten(0, members.shape[:2]).numpy()
        mean, std = self.neighbourhoods.scales(windows)
        physical = inverse(self.neighbourhoods.field, values * std[:, None] + mean[:, None])
        return physical.swapaxes(2, 3)
