"""Weights from models trained before into one of other fields, couplings or token sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from atmorep.errors import IntegrityError
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.tokens import Size

_COUPLING = ".attention.cross."


@dataclass
class Transfer:
    """What became of each tensor.

    Attributes:
        loaded: taken as they were.
        resized: taken with the token size changed.
        fresh: as initialised, since no model before had them.
        dropped: of the models before, and of no use here.
    """

    loaded: list[str] = field(default_factory=list)
    resized: list[str] = field(default_factory=list)
    fresh: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def transfer(model: Multiformer, before: Mapping[str, Multiformer]) -> Transfer:
    """Give each field of ``model`` the weights it had in the model of ``before`` named by the field.

    Only couplings may be new: they start as initialised, at zero influence, so that fields predict what they
    predicted before.

    Raises:
        IntegrityError: if another tensor is new or cannot be taken, naming it.
    """
    done, weights = Transfer(), model.state_dict()
    for name, old in before.items():
        own = f"fields.{name}."
        known = {key: tensor for key, tensor in old.state_dict().items() if key.startswith(own)}
        sizes = (_token_size(old, name), _token_size(model, name))
        for key in (key for key in weights if key.startswith(own)):
            if key in known:
                weights[key] = _fitted(key, known.pop(key), weights[key].shape, sizes, done)
            elif _COUPLING in key:
                done.fresh.append(key)
            else:
                raise IntegrityError(
                    f"{key}: the model before has none; train {name} as it is configured now"
                )
        done.dropped += known
    model.load_state_dict(weights)
    return done


def _token_size(model: Multiformer, name: str) -> Size:
    return model.shapes[name].token_size


def _fitted(key: str, tensor: Tensor, shape: torch.Size, sizes: tuple[Size, Size], done: Transfer) -> Tensor:
    """Return ``tensor`` in the wanted shape; only the extent of a token may differ."""
    if tensor.shape == shape:
        done.loaded.append(key)
        return tensor
    volumes = [time * rows * columns for time, rows, columns in sizes]
    if (*tensor.shape[:-1], volumes[1]) != tuple(shape) or tensor.shape[-1] != volumes[0]:
        raise IntegrityError(
            f"{key}: has the shape {tuple(tensor.shape)}, not {tuple(shape)}; only the token size may differ "
            "from that of the model before"
        )
    done.resized.append(key)
    return _resized(tensor, *sizes) * (volumes[0] / volumes[1] if "embedding" in key else 1)


def _resized(tensor: Tensor, before: Size, after: Size) -> Tensor:
    """Interpolate (..., V) linearly from the points of one token to those of another."""
    points = tensor.flatten(0, -2).unflatten(-1, before).unsqueeze(1)
    return interpolate(points, after, mode="trilinear").flatten(1).unflatten(0, tensor.shape[:-1])
