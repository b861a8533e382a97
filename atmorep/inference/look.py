"""Looking inside a model at one time and place of a user's input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep.config import Config
from atmorep.errors import ConfigError, DataError
from atmorep.inference import described, inside
from atmorep.inference.labels import of_sample
from atmorep.inference.predictor import Predictor
from atmorep.inference.request import Request, step_at
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window
from atmorep.store.layout import vertical_attributes


@dataclass(frozen=True)
class Place:
    """Where and when the model is looked at.

    Attributes:
        time: ISO 8601, UTC.
        latitude: degrees north.
        longitude: degrees east.
    """

    time: str
    latitude: float
    longitude: float


def attention(request: Request, field: str, place: Place) -> xr.DataTree:
    """Return what the tokens of ``field`` at a place attend to, all levels, blocks and heads.

    The neighbourhood around is seen whole. Groups are as of :func:`atmorep.inference.inside.attention`.

    Raises:
        ConfigError: if the model does not predict the field, or the input has no such place.
        DataError: if the input lacks a state there.
    """
    predictor = _predictor(request, field)
    window, token = _around(predictor.neighbourhoods[field], place)
    queries = [(level, *token) for level in range(len(predictor.levels))]
    found = inside.attention(predictor, [window], _nothing_hidden(predictor), queries)
    groups = {name: _described(request.trained.config, dataset) for name, dataset in found.items()}
    return _tree(request, f"Attention of tokens of {field}", groups)


def embeddings(request: Request, field: str, place: Place) -> xr.DataTree:
    """Return the tokens of ``field`` around a place, as they are embedded and after each block.

    Raises:
        ConfigError, DataError: as of :func:`attention`.
    """
    predictor = _predictor(request, field)
    window, _ = _around(predictor.neighbourhoods[field], place)
    found = inside.embeddings(predictor, [window], _nothing_hidden(predictor))
    return _tree(request, f"Embedded tokens of {field}", {"/": _described(request.trained.config, found)})


def _predictor(request: Request, field: str) -> Predictor:
    trained = request.trained
    if field not in trained.model.predicted:
        raise ConfigError(f"field {field}: the model predicts {', '.join(trained.model.predicted)}")
    return Predictor(trained.model, request.readers, field, trained.config.network.tails)


def _nothing_hidden(predictor: Predictor) -> dict[str, NDArray[np.bool_]]:
    return {name: np.zeros((1, *reader.tokens), bool) for name, reader in predictor.neighbourhoods.items()}


def _around(reader: NeighbourhoodReader, place: Place) -> tuple[Window, tuple[int, int, int]]:
    """The neighbourhood in whose middle a point is, as far as the domain allows, and its token there."""
    point = (step_at(reader.reader.axis, "time", place.time), *_point(reader, place))
    stored = (reader.reader.axis.size, *reader.reader.grid.shape)
    first = [
        min(max(0, at - extent // 2), size - extent)
        for at, extent, size in zip(point, reader.extent.shape, stored, strict=True)
    ]
    if reader.reader.grid.periodic:
        first[2] = (point[2] - reader.extent.longitude // 2) % stored[2]
    window = Window(*first)
    if first[0] < 0 or not reader.reader.available()[first[0] : first[0] + reader.extent.time].all():
        raise DataError(
            f"{reader.field}: the input lacks an hour of the {reader.extent.time} steps around {place.time}; "
            "choose another time, or add what is missing"
        )
    step, row, column = (
        (at - start) % size // token
        for at, start, size, token in zip(point, first, stored, reader.token_size, strict=True)
    )
    return window, (step, row, column)


def _point(reader: NeighbourhoodReader, place: Place) -> tuple[int, int]:
    grid = reader.reader.grid
    row = round((grid.north - place.latitude) / grid.resolution)
    column = round((place.longitude - grid.west) / grid.resolution) % round(360 / grid.resolution)
    if not (0 <= row < grid.shape[0] and column < grid.shape[1]):
        (south, north), (west, east) = grid.latitude[[-1, 0]], grid.longitude[[0, -1]]
        raise ConfigError(
            f"latitude {place.latitude:g}, longitude {place.longitude:g}: is outside of the grid, {south:g} "
            f"to {north:g} N and {west:g} to {east:g} E"
        )
    return row, column


def _described(config: Config, dataset: xr.Dataset) -> xr.Dataset:
    """Return one neighbourhood of ``dataset`` with attributes of its levels."""
    own = of_sample(dataset, 0)
    own["level"].attrs = vertical_attributes(config, own.attrs.get("attended", own.attrs["field"]))
    return own


def _tree(request: Request, what: str, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
    """The groups of a file; what they are of is said at its root."""
    tree = xr.DataTree.from_dict(dict(groups))
    said = [request.origin, *request.given.remarks.said]
    tree.attrs |= described.provenance(request.trained.config, request.folder, what, said)
    return tree
