"""States of a domain predicted from what is known of them: gaps filled, or all of them predicted anew."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from atmorep.errors import DataError
from atmorep.inference import described
from atmorep.inference.blend import Blend
from atmorep.inference.predictor import given, physical
from atmorep.inference.progress import Progress
from atmorep.inference.request import Request
from atmorep.inference.rollout import States
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.tokens import tokenise
from atmorep.sampling.windows import Window


def interpolate(request: Request) -> xr.Dataset:
    """Fill the times that are missing between given ones.

    Raises:
        DataError: if none is, or a gap is too long for a neighbourhood.
    """
    axis = request.given.axis
    missing = np.flatnonzero(~request.given.available()).tolist()
    if not missing:
        raise DataError(
            f"no time is missing from {axis.origin}:00 to {axis.at(np.int64(axis.size - 1))}:00 every "
            f"{axis.step} h, the model's time step; give states with gaps in time"
        )
    for start, inside in _windows(request, missing):
        _verify_between(request, start, inside)
    return _filled(request, missing, "Interpolation in time")


def fill(request: Request) -> xr.Dataset:
    """Fill the values that are missing.

    Raises:
        DataError: if none is, or nothing is known in a neighbourhood.
    """
    lacking = np.zeros(request.given.axis.size, bool)
    for name in request.trained.fields:
        lacking |= np.isnan(request.states(name)).any(axis=(0, 2, 3))
    if not lacking.any():
        raise DataError("no value of the input is missing; those are that are NaN")
    return _filled(request, np.flatnonzero(lacking).tolist(), "Filled states")


def correct(request: Request) -> xr.Dataset:
    """Predict all tokens anew, from themselves and what is around them.

    Raises:
        DataError: if nothing is known in a neighbourhood.
    """
    config = request.trained.config
    if not any(of.noised + of.coarsened for of in map(config.masking_of, request.trained.fields)):
        request.given.remarks.say(
            "the model was trained without distorted tokens (masking.noised and masking.coarsened are 0): it "
            "takes what it is shown at its word, and corrects little"
        )
    found = {name: _members(request, request.states(name)) for name in request.trained.model.predicted}
    for name, inside, values in _predictions(request, range(request.given.axis.size), "Correction"):
        found[name][:, :, inside] = values
    return _result(request, found, "Corrected states")


def _filled(request: Request, wanted: Sequence[int], what: str) -> xr.Dataset:
    """Return all states, with predictions where a value is missing."""
    found = {name: _members(request, request.states(name)) for name in request.trained.model.predicted}
    for name, inside, values in _predictions(request, wanted, what):
        held = found[name][:, :, inside]
        found[name][:, :, inside] = np.where(np.isnan(held), values, held)
    return _result(request, found, what)


def _members(request: Request, states: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the same states (level, time, row, column) for each member."""
    return np.broadcast_to(states, (request.members, *states.shape)).copy()


def _result(request: Request, found: States, what: str) -> xr.Dataset:
    return request.result(found, described.valid_times(request.given.axis.times()), what)


def _windows(request: Request, wanted: Sequence[int]) -> list[tuple[int, list[int]]]:
    steps, size = request.trained.config.network.neighbourhood.time, request.given.axis.size
    if size < steps:
        raise DataError(
            f"the input spans {size} steps of {request.given.axis.step} h, less than the {steps} that the "
            "model sees at once; give states before or after"
        )
    return list(windows(wanted, size, steps, request.beat))


def _predictions(
    request: Request, wanted: Sequence[int], what: str
) -> Iterator[tuple[str, list[int], NDArray[np.float32]]]:
    """Yield field, steps of the axis, and members (M, level, step, row, column) at these."""
    chosen, restorer = _windows(request, wanted), Restorer(request)
    with Progress(what, len(chosen) * len(request.cover.tiles)) as progress:
        for start, inside in chosen:
            for name, values in restorer.states(start, inside, progress).items():
                yield name, inside, values


def windows(wanted: Iterable[int], size: int, steps: int, beat: int) -> Iterator[tuple[int, list[int]]]:
    """Choose neighbourhoods in time, each with what is taken from it.

    What is wanted has, where the axis does, a token step or more before and behind; a gap lies in the middle.

    Args:
        wanted: steps of the axis.
        size: steps of the axis, at least ``steps``.
        steps: of a neighbourhood.
        beat: steps that are whole tokens of all fields.

    Yields:
        First step of a neighbourhood, and the steps that are its own, each once.
    """
    left = sorted(wanted)
    margin = beat if steps >= 3 * beat else 0
    while left:
        run = next((n for n, step in enumerate(left) if step != left[0] + n), len(left))
        before = max(margin, max(0, steps - run) // 2 // beat * beat)
        start = min(max(0, left[0] - before), size - steps)
        stop = start + steps - margin if start + steps < size else size
        count = _whole_runs(left, sum(step < stop for step in left))
        yield start, left[:count]
        left = left[count:]


def _whole_runs(left: Sequence[int], count: int) -> int:
    """How many of the first ``count`` steps make runs that are whole; all of them where they are of one run.

    What is cut off would lack the time behind it that it is predicted from.
    """
    if count == len(left) or left[count] > left[count - 1] + 1:
        return count
    begin = next((n for n in range(count - 1, 0, -1) if left[n] > left[n - 1] + 1), 0)
    return begin or count


def _verify_between(request: Request, start: int, inside: Sequence[int]) -> None:
    """Refuse a gap that has no whole token of each field before and behind it."""
    steps, axis = request.trained.config.network.neighbourhood.time, request.given.axis
    for name, reader in request.given.readers.items():
        token = request.trained.config.token_size(name).time
        known = np.flatnonzero(reader.available()[start : start + steps].reshape(-1, token).all(axis=1))
        first, last = ((step - start) // token for step in (inside[0], inside[-1]))
        if not (known < first).any() or not (known > last).any():
            raise DataError(
                f"{name}: the gap at {axis.at(np.int64(inside[0]))}:00 cannot be bridged: within "
                f"{steps * axis.step} h the model needs {token * axis.step} h on end that lack no time, on "
                "either side; give more times"
            )


class Restorer:
    """Predicts all tokens of a domain; those of which something is missing are not looked at."""

    def __init__(self, request: Request) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._request, self._model = request, request.trained.model.to(self.device)

    def states(self, start: int, steps: Sequence[int], progress: Progress) -> States:
        """Predict one neighbourhood in time.

        Args:
            start: its first step.
            steps: of the axis, those wanted.
            progress: told of the tiles that were predicted.

        Returns:
            Members (M, level, step, row, column) of each predicted field.

        Raises:
            DataError: if nothing at all is known in a neighbourhood.
        """
        request, chosen = self._request, np.array(steps) - start
        blends = {
            name: Blend(request.cover, (request.members, request.readers[name].tokens[0], len(chosen)))
            for name in self._model.predicted
        }
        for tiles in request.cover.batches(request.batch_size):
            found = self._predict([Window(start, tile.row, tile.column) for tile in tiles])
            for name, values in found.items():
                for tile, own in zip(tiles, values, strict=True):
                    blends[name].add(tile, own[:, :, chosen])
            progress.add(len(tiles))
        return {name: blend.values for name, blend in blends.items()}

    @torch.inference_mode()
    def _predict(self, places: Sequence[Window]) -> States:
        """Members (B, M, L, T, H, W) of each predicted field."""
        readers, members = self._request.readers, self._request.members
        values = {name: reader.values(places) for name, reader in readers.items()}
        hidden = {name: missing_tokens(readers[name], own) for name, own in values.items()}
        _verify_something(readers, places, hidden)
        inputs = {
            name: given(reader, places, reader.normalise(places, values[name]), hidden[name], self.device)
            for name, reader in readers.items()
        }
        return {
            name: physical(readers[name], places, tokens.movedim(-2, 1)[:, :members])
            for name, tokens in self._model(inputs, self._model.predicted).items()
        }


def missing_tokens(reader: NeighbourhoodReader, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return (B, L, K, I, J) True where a token of states (B, L, T, H, W) lacks a value."""
    return np.logical_or.reduce(tokenise(np.isnan(values), reader.token_size), axis=-1)


def _verify_something(
    readers: Mapping[str, NeighbourhoodReader],
    places: Sequence[Window],
    hidden: Mapping[str, NDArray[np.bool_]],
) -> None:
    nothing = np.logical_and.reduce([mask.reshape(len(places), -1).all(axis=1) for mask in hidden.values()])
    if nothing.any():
        reader = next(iter(readers.values()))
        centres = reader.centres([places[int(nothing.argmax())]])
        raise DataError(
            f"around {centres.latitude.mean():g} N, {centres.longitude.mean():g} E, {centres.times[0, 0]}: "
            "in all of a neighbourhood no token is without a missing value, so that there is nothing to go "
            "by; cut the domain to where data are"
        )
