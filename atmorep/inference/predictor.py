"""Predicting hidden tokens of given windows with a trained model, in physical units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atmorep import bundle
from atmorep.bundle import Bundle
from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.model.inputs import Inputs
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.tokens import detokenise
from atmorep.sampling.windows import Window
from atmorep.store.reader import FieldReader
from atmorep.transforms import inverse


class Predictor:
    """A trained model, and where it reads the fields it looks at, to predict one of them.

    Attributes:
        fields: all fields of the model, ERA5 short names.
        field: the one that is predicted.
        neighbourhoods: for each field, reads normalised neighbourhoods and their token information.
        levels: levels predicted; (0,) at the surface.
        tails: members.
        steps, rows, columns: grid points of a neighbourhood.
        token: grid points a token in (time, latitude, longitude).
    """

    def __init__(
        self, model: Multiformer, neighbourhoods: Mapping[str, NeighbourhoodReader], field: str, tails: int
    ) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.to(self.device)
        self.neighbourhoods, self.field, self.fields = neighbourhoods, field, tuple(neighbourhoods)
        self.tails = tails
        own = neighbourhoods[field]
        self.levels, self.token = own.reader.levels, own.token_size
        self.steps, self.rows, self.columns = own.extent.shape

    @classmethod
    def load(cls, config: Config, field: str, folder: Path) -> Predictor:
        """Open a bundle and the store of ``config``.

        Args:
            config: of the experiment.
            field: what is predicted, ERA5 short name.
            folder: the bundle.

        Raises:
            IntegrityError: if the bundle is incomplete or damaged, has no normalisation, or does not predict
                ``field``.
        """
        trained = bundle.load(folder)
        if field not in trained.model.predicted:
            raise IntegrityError(
                f"{folder}: predicts {', '.join(trained.model.predicted)}, not {field}; train it with {field}"
            )
        readers = neighbourhoods(config, trained, folder)
        return cls(trained.model, readers, field, trained.config.network.tails)

    @torch.inference_mode()
    def predict(
        self, windows: Sequence[Window], hidden: Mapping[str, NDArray[np.bool_]]
    ) -> NDArray[np.float32]:
        """Predict all tokens of ``windows`` without looking at the hidden ones.

        Args:
            windows: neighbourhoods, B of them.
            hidden: for each field of the model (B, L, K, I, J), True where a token is withheld.

        Returns:
            Members (B, M, T, L, H, W) in physical units.
        """
        return dict(self.each(windows, hidden, [self.field]))[self.field]

    @torch.inference_mode()
    def each(
        self, windows: Sequence[Window], hidden: Mapping[str, NDArray[np.bool_]], fields: Sequence[str]
    ) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Predict ``fields`` at once; otherwise as :meth:`predict`.

        Memory: the members of one field at a time.

        Yields:
            Each field and its members.
        """
        embedded = self.model.embed(self.inputs(windows, hidden))
        decoded = self.model.decode(embedded, fields)
        for field in fields:
            members = self.model.tails(field, embedded[field], decoded.pop(field)).movedim(-2, 1)
            yield field, physical(self.neighbourhoods[field], windows, members).swapaxes(2, 3)

    def inputs(self, windows: Sequence[Window], hidden: Mapping[str, NDArray[np.bool_]]) -> dict[str, Inputs]:
        """What the model is given of each field, on its device; arguments as of :meth:`predict`."""
        return {
            name: given(reader, windows, reader.normalised(windows), hidden[name], self.device)
            for name, reader in self.neighbourhoods.items()
        }


def neighbourhoods(config: Config, trained: Bundle, folder: Path) -> dict[str, NeighbourhoodReader]:
    """Return readers of all fields of the bundle ``folder`` from the store of ``config``.

    Raises:
        IntegrityError: if the bundle has no normalisation of a field.
    """
    verify_normalised(trained, folder)
    return {
        name: NeighbourhoodReader(
            trained.config, name, FieldReader(config, name), trained.normalisation[name]
        )
        for name in trained.fields
    }


def verify_normalised(trained: Bundle, folder: Path) -> None:
    """Refuse a bundle without the normalisation of a field.

    Raises:
        IntegrityError: naming the bundle ``folder``.
    """
    missing = [name for name in trained.fields if name not in trained.normalisation]
    if missing:
        raise IntegrityError(
            f"{folder}: has no normalisation of {', '.join(missing)}; import it again with "
            "--normalisation, the folder of the files that 'atmorep statistics' writes"
        )


def given(
    reader: NeighbourhoodReader,
    windows: Sequence[Window],
    source: Tensor,
    hidden: NDArray[np.bool_],
    device: torch.device,
) -> Inputs:
    """Return what a model is given of one field: normalised tokens ``source`` but the ``hidden`` ones."""
    blank = torch.from_numpy(hidden)
    source[blank] = 0
    return Inputs(*(x.to(device) for x in (source, reader.info(windows), blank)))


def physical(reader: NeighbourhoodReader, windows: Sequence[Window], members: Tensor) -> NDArray[np.float32]:
    """Return predicted tokens in physical units.

    Args:
        reader: of the field.
        windows: neighbourhoods, B of them.
        members: normalised tokens (B, M, L, K, I, J, V), any K steps of them.

    Returns:
        States (B, M, L, T, H, W).
    """
    joined = detokenise(members.float().cpu().flatten(0, 1), reader.token_size)
    mean, std = reader.scales(windows)
    values = joined.unflatten(0, members.shape[:2]).numpy() * std[:, None] + mean[:, None]
    return inverse(reader.field, values)
