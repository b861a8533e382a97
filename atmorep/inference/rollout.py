"""Forecasts beyond a neighbourhood: predictions are fed back, member by member."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from atmorep import bundle
from atmorep.config import Config
from atmorep.inference.predictor import given, neighbourhoods, physical
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window

States = dict[str, NDArray[np.float32]]
"""States by field, in physical units."""


class Rollout:
    """Predicts the last steps of windows in all fields, and goes on from what it predicted.

    The window moves on by the predicted steps, which it then sees, on the scale of its new central time. The
    first step gives the members, one a tail. From then on each member is an entry of the batch, of which its
    own tail is taken, so that member m goes on from member m in all fields. A window sees nothing of its
    neighbours: what is around it never enters, however far it is rolled out.

    Attributes:
        fields: what is predicted, ERA5 short names.
        steps: time steps predicted at a time, whole tokens of all fields.
        tails: members, those of the first tails.
        extent: time steps, rows and columns of a window.
    """

    def __init__(
        self,
        model: Multiformer,
        neighbourhoods: Mapping[str, NeighbourhoodReader],
        tails: int,
        steps: int,
        batch_size: int,
    ) -> None:
        """Make a roll-out.

        Args:
            model: the network.
            neighbourhoods: for each field of the model, its reader.
            tails: members.
            steps: time steps predicted at a time.
            batch_size: entries that the network is given at a time.
        """
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model, self.fields = model.to(self.device), model.predicted
        self.neighbourhoods, self.tails = neighbourhoods, tails
        self.steps, self.batch_size = steps, batch_size
        self.extent = next(iter(neighbourhoods.values())).extent.shape

    @classmethod
    def load(cls, config: Config, folder: Path, hours: int) -> Self:
        """Open the bundle ``folder`` and the store of ``config``, to predict ``hours`` at a time.

        Raises:
            IntegrityError: if the bundle is incomplete or damaged, or has no normalisation.
        """
        trained = bundle.load(folder)
        readers = neighbourhoods(config, trained, folder)
        steps, tails = hours // config.data.time_step, trained.config.network.tails
        return cls(trained.model, readers, tails, steps, config.evaluation.batch_size)

    def forecasts(self, windows: Sequence[Window], count: int) -> Iterator[States]:
        """Predict ``count`` times on from ``windows``, whose last ``steps`` are not looked at.

        Memory: the windows of all members, and what the network holds of ``batch_size`` of them.

        Args:
            windows: neighbourhoods, B of them.
            count: how often; where more than once, the model predicts all its fields.

        Yields:
            Members (B, M, steps, level, H, W) of each predicted field.
        """
        seen = {
            name: reader.values(windows)[:, None, :, : -self.steps]
            for name, reader in self.neighbourhoods.items()
        }
        for number in range(count):
            moved = [replace(window, start=window.start + number * self.steps) for window in windows]
            predicted = self.step(moved, seen)
            yield {name: values.swapaxes(2, 3) for name, values in predicted.items()}
            if number + 1 < count:
                seen = {name: moved_on(values, predicted[name]) for name, values in seen.items()}

    def step(self, windows: Sequence[Window], seen: States) -> States:
        """Predict the last steps of windows once.

        Args:
            windows: neighbourhoods, B of them.
            seen: the steps before of each field (B, 1, L, before, H, W), or of each member (B, M, …).

        Returns:
            Members (B, M, L, steps, H, W) of each predicted field.
        """
        each = next(iter(seen.values())).shape[1]
        entries = {name: values.reshape(-1, *values.shape[2:]) for name, values in seen.items()}
        everyone = np.arange(len(windows) * each)
        parts = []
        for first in range(0, len(everyone), self.batch_size):
            some = everyone[first : first + self.batch_size]
            own = None if each == 1 else some % each
            of_some = {name: values[some] for name, values in entries.items()}
            parts.append(self._predict([windows[n // each] for n in some], of_some, own))
        shape = (len(windows), self.tails)
        joined = {name: np.concatenate([part[name] for part in parts]) for name in self.fields}
        return {name: values.reshape(*shape, *values.shape[2:]) for name, values in joined.items()}

    @torch.inference_mode()
    def _predict(self, windows: Sequence[Window], seen: States, own: NDArray[np.int64] | None) -> States:
        """Predict entries (N, M, L, steps, H, W), of which (N, 1, …) where each has its own tail."""
        inputs = {}
        for name, reader in self.neighbourhoods.items():
            values = np.pad(seen[name], ((0, 0), (0, 0), (0, self.steps), (0, 0), (0, 0)))
            hidden = np.zeros((len(windows), *reader.tokens), bool)
            hidden[:, :, -(self.steps // reader.token_size[0]) :] = True
            source = reader.normalise(windows, values)
            inputs[name] = given(reader, windows, source, hidden, self.device)
        found = {}
        for name, tokens in self.model(inputs, self.fields).items():
            reader = self.neighbourhoods[name]
            members = tokens[:, :, -(self.steps // reader.token_size[0]) :].movedim(-2, 1)[:, : self.tails]
            chosen = members if own is None else members[range(len(own)), own.tolist()][:, None]
            found[name] = physical(reader, windows, chosen)
        return found


def moved_on(seen: NDArray[np.float32], predicted: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what each member sees next: as many steps as before, of which the last are its own.

    Args:
        seen: (B, 1 | M, L, before, H, W).
        predicted: (B, M, L, steps, H, W).
    """
    members, before = predicted.shape[1], seen.shape[3]
    shared = np.broadcast_to(seen, (len(seen), members, *seen.shape[2:]))
    return np.concatenate([shared, predicted], axis=3)[:, :, :, -before:]
