"""From the original's settings to a configuration of ours, compatibility settings included."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from itertools import groupby
from typing import Any

from atmorep.config import Config, parse
from atmorep.legacy.settings import MLP_FACTOR, OriginalField, Settings

COMPATIBILITY = {"position": "published", "information": "published", "mlp_output": "gelu"}
"""What the original does otherwise than AtmoRep by default, and its weights are trained with."""

RESOLUTION = 0.25
"""Grid spacing in degrees of the data the published checkpoints are trained on."""


def translated(settings: Settings, identifier: str, origin: str, *, per_head: bool) -> Config:
    """Return the configuration that describes a checkpoint.

    Args:
        settings: of the original.
        identifier: of the checkpoint; becomes part of the experiment's name.
        origin: of the settings, for messages.
        per_head: whether the weights are of the older layout, whose code norms queries of coupled heads too.

    Raises:
        ConfigError: if a setting is impossible.
    """
    values = {
        "experiment": f"imported-{re.sub(r'[^A-Za-z0-9_-]', '-', identifier)}",
        "source": {"kind": "cds"},
        "data": _data(settings),
        "fields": {field.name: _field(field, settings) for field in settings.fields},
        "network": _network(settings) | {"coupling_norm": "both" if per_head else "keys"},
        "evaluation": {"lead_hours": _leads(settings)},
    }
    return parse(values, origin)


def _extent(shape: Iterable[int]) -> dict[str, int]:
    return dict(zip(("time", "latitude", "longitude"), shape, strict=True))


def _network(s: Settings) -> dict[str, Any]:
    first = s.fields[0]
    return {
        **COMPATIBILITY,
        "neighbourhood": _extent(first.extent),
        "token_size": _extent(first.token_size),
        "embed_dim": first.dim,
        "info_dim": s.size_token_info_net,
        "heads": s.encoder_num_heads,
        "decoder_heads": s.decoder_num_heads,
        "decoder_cross_ratio": s.decoder_cross_att_ratio,
        "decoder_cross_rate": s.decoder_cross_att_rate,
        "encoder_blocks": s.encoder_num_layers,
        "decoder_blocks": s.decoder_num_layers,
        "layer_norm": "all" if s.with_layernorm else "decoder",
        "qk_norm": s.with_qk_lnorm,
        "mlp_factor": MLP_FACTOR,
        "mlp_layers": max(2, s.encoder_num_mlp_layers),  # the original has a first and a last one in any case
        "decoder_mlp_layers": max(2, s.decoder_num_mlp_layers),
        "tails": s.net_tail_num_nets,
        "tail_layers": s.net_tail_num_layers,
        "coupling_heads": max(1, s.coupling_num_heads_per_field),  # 0 where no field is coupled
        "dropout": s.dropout_rate,
    }


def _field(field: OriginalField, s: Settings) -> dict[str, Any]:
    weight = s.fields_prediction.get(field.name)
    return {
        "levels": None if field.levels in ((0,), _levels(s)) else field.levels,
        "token_size": _extent(field.token_size),
        "normalisation": field.normalisation,
        "embed_dim": field.dim,
        "coupled": field.coupled,
        "predicted": weight is not None,
        **({} if weight is None else {"weight": weight}),
    }


def _data(s: Settings) -> dict[str, Any]:
    resolution = _resolution(s)
    levels = {"type": {"ml": "model", "pl": "pressure"}[s.level_type]}
    return {
        "grid": {"north": 90, "south": -90, "west": 0, "east": 360 - resolution, "resolution": resolution},
        "time_step": s.time_sampling,
        "levels": levels | ({"values": _levels(s)} if _levels(s) else {}),
        "periods": _periods(s),
    }


def _levels(s: Settings) -> tuple[int, ...]:
    """All levels of upper-air fields, in the order of their first field."""
    return tuple(dict.fromkeys(level for field in s.fields for level in field.levels if level))


def _resolution(s: Settings) -> float:
    """Grid spacing in degrees: extent of the neighbourhood over its points, where that is said."""
    steps, rows, columns = s.fields[0].extent
    if s.n_size is None or s.n_size[0] != steps or s.n_size[1] <= 0:
        return RESOLUTION
    resolution = s.n_size[1] / rows
    tiles = 180 / resolution
    consistent = math.isclose(resolution, s.n_size[2] / columns) and math.isclose(tiles, round(tiles))
    return resolution if consistent else RESOLUTION


def _periods(s: Settings) -> dict[str, Any]:
    """Training and validation years; where those are the same, the year after them is for validation.

    The original has no test years: the one after all of these is taken.
    """
    train = set(s.years_train)
    validation = set(s.years_val) - train or {max(train) + 1}
    test = {max(train | validation) + 1}
    named = {"train": train, "validation": validation, "test": test}
    return {name: [_whole(*run) for run in _runs(years)] for name, years in named.items()}


def _whole(first: int, last: int) -> dict[str, str]:
    return {"start": f"{first}-01-01", "end": f"{last}-12-31"}


def _runs(years: set[int]) -> list[tuple[int, int]]:
    """First and last year of each run of consecutive ones."""
    runs = groupby(enumerate(sorted(years)), lambda pair: pair[1] - pair[0])
    lists = [[year for _, year in run] for _, run in runs]
    return [(run[0], run[-1]) for run in lists]


def _leads(s: Settings) -> list[int]:
    """Lead times in hours: one and two tokens of the field with the longest, where they fit."""
    token = max(field.token_size[0] for field in s.fields)
    steps = s.fields[0].extent[0]
    return [n * token * s.time_sampling for n in (1, 2) if n * token <= steps - token]
