"""The original's JSON configuration: what of it determines the network, and what of it is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StrictBool,
    StrictInt,
    ValidationError,
    model_validator,
)

from atmorep.errors import ConfigError
from atmorep.fields import field as known_field

NAMES = {
    "vorticity": "vo",
    "divergence": "d",
    "velocity_u": "u",
    "velocity_v": "v",
    "velocity_z": "w",
    "temperature": "t",
    "specific_humidity": "q",
    "geopotential": "z",
    "total_precip": "tp",
}
"""ERA5 short names of the original's fields."""

TOKEN_INFO = 8
"""Numbers of the original's token information."""

MLP_FACTOR = 2
"""Width of the hidden layers of the original's MLPs over that of the transformer."""

_ONLY: dict[str, tuple[Any, str]] = {
    "encoder_att_type": ("dense", "only dense attention is; the released code fails with others"),
    "decoder_att_type": ("dense", "only dense attention is; the released code fails with others"),
    "decoder_self_att": (False, "the released code fails with it"),
    "with_cls": (False, "the released code adds no class token, whatever it is trained with"),
    "learnable_mask": (False, "the released code has no such mask"),
    "size_token_info": (TOKEN_INFO, f"the released code gives {TOKEN_INFO} numbers of token information"),
    "fields_targets": ([], "targets of another data set are no field of ERA5"),
}
"""Settings of which one value is supported, and why."""

_FORM = (
    "[name, [1, width, [coupled fields], ...], [levels], [tokens], [token size], [masking], normalisation]"
)

Three = tuple[PositiveInt, PositiveInt, PositiveInt]


class OriginalField(BaseModel):
    """One entry of the original's list ``fields``; names are ours.

    Attributes:
        name: ERA5 short name.
        dynamic: 1; other fields are constant in time.
        dim: width of its transformer.
        coupled: fields it attends to, in the order of its weights.
        levels: level numbers; (0,) at the surface.
        tokens: tokens of a neighbourhood in (time, latitude, longitude).
        token_size: grid points a token.
        normalisation: per level, or per level and grid point.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    dynamic: Literal[1]
    dim: PositiveInt
    coupled: tuple[str, ...]
    levels: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)]
    tokens: Three
    token_size: Three
    normalisation: Literal["global", "local"] = "global"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, entry: Any) -> Any:
        try:
            name, network, levels, tokens, size, *more = entry
            dynamic, dim, coupled, *_ = network
            known = {"name": NAMES[name], "coupled": [NAMES[other] for other in coupled]}
        except KeyError as error:
            raise ValueError(f"{error} is no field AtmoRep knows; it knows {', '.join(NAMES)}") from None
        except (TypeError, ValueError):
            raise ValueError(f"is not of the form {_FORM}") from None
        known |= {"dynamic": dynamic, "dim": dim, "levels": levels, "tokens": tokens, "token_size": size}
        if len(more) > 2:
            raise ValueError(f"has more than is known, {more[2:]}; the form is {_FORM}")
        return known | ({"normalisation": more[1]} if len(more) == 2 else {})

    @model_validator(mode="after")
    def _levels_fit(self) -> OriginalField:
        surface = known_field(self.name).surface
        if (self.levels == (0,)) != surface or len(set(self.levels)) < len(self.levels):
            wanted = "0, the surface, alone" if surface else "levels of the atmosphere, each once"
            raise ValueError(f"the levels of {_original(self.name)} are {list(self.levels)}; it has {wanted}")
        return self

    @property
    def extent(self) -> tuple[int, ...]:
        """Grid points of a neighbourhood in (time, latitude, longitude)."""
        return tuple(n * size for n, size in zip(self.tokens, self.token_size, strict=True))

    @property
    def volume(self) -> int:
        """Grid points a token."""
        t, h, w = self.token_size
        return t * h * w


def _weights(predictions: Any) -> Any:
    try:
        weights = {NAMES[name]: weight for name, weight in predictions}
    except KeyError as error:
        raise ValueError(f"{error} is no field AtmoRep knows; it knows {', '.join(NAMES)}") from None
    except (TypeError, ValueError):
        raise ValueError("is not of the form [[name, weight], ...]") from None
    if len(weights) < len(predictions):
        raise ValueError("names a field twice")
    return weights


class Settings(BaseModel):
    """The settings of the original that matter here; the names are the original's."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fields: Annotated[tuple[OriginalField, ...], Field(min_length=1)]
    fields_prediction: Annotated[dict[str, float], BeforeValidator(_weights), Field(min_length=1)]
    size_token_info_net: Annotated[StrictInt, Field(ge=1)]
    with_layernorm: StrictBool
    with_qk_lnorm: StrictBool
    coupling_num_heads_per_field: Annotated[StrictInt, Field(ge=0)]
    dropout_rate: Annotated[float, Field(ge=0, lt=1)]
    encoder_num_layers: Annotated[StrictInt, Field(ge=1)]
    encoder_num_heads: Annotated[StrictInt, Field(ge=1)]
    encoder_num_mlp_layers: StrictInt
    decoder_num_layers: Annotated[StrictInt, Field(ge=1)]
    decoder_num_heads: Annotated[StrictInt, Field(ge=1)]
    decoder_num_mlp_layers: StrictInt
    decoder_cross_att_ratio: Annotated[float, Field(ge=0, le=1)]
    decoder_cross_att_rate: Annotated[float, Field(ge=0)]
    net_tail_num_nets: Annotated[StrictInt, Field(ge=2)]
    net_tail_num_layers: Annotated[StrictInt, Field(ge=0)]
    years_train: Annotated[tuple[int, ...], Field(min_length=1)]
    years_val: tuple[int, ...] = Field(default=(), validation_alias=AliasChoices("years_val", "years_test"))
    time_sampling: PositiveInt = 1
    level_type: Literal["ml", "pl"] = "ml"
    n_size: tuple[float, float, float] | None = None

    @model_validator(mode="after")
    def _fields_fit(self) -> Settings:
        names = [field.name for field in self.fields]
        if len(set(names)) < len(names):
            raise ValueError(f"fields: names one twice: {_original(*names)}")
        for name in self.fields_prediction:
            if name not in names:
                raise ValueError(f"fields_prediction: {_original(name)} is none of fields")
        for field in self.fields:
            others = set(field.coupled)
            if len(others) < len(field.coupled) or not others <= set(names) - {field.name}:
                raise ValueError(
                    f"fields: {_original(field.name)} is coupled to {_original(*field.coupled)}, which must "
                    f"be others of {_original(*names)}, each once"
                )
            if field.extent != self.fields[0].extent:
                raise ValueError(
                    f"fields: the tokens of {_original(field.name)} span {field.extent} grid points, those "
                    f"of {_original(names[0])} {self.fields[0].extent}; all must span the same"
                )
        return self

    @model_validator(mode="after")
    def _network_fits(self) -> Settings:
        if self.decoder_num_layers > self.encoder_num_layers:
            raise ValueError(
                f"decoder_num_layers = {self.decoder_num_layers} exceeds encoder_num_layers = "
                f"{self.encoder_num_layers}; the released code fails with it"
            )
        if int(self.decoder_cross_att_rate * (self.decoder_num_layers - 1)) >= self.encoder_num_layers:
            raise ValueError(
                f"decoder_cross_att_rate = {self.decoder_cross_att_rate} goes beyond the "
                f"{self.encoder_num_layers} layers of the encoder"
            )
        cross = int(self.decoder_num_heads * self.decoder_cross_att_ratio)
        if not 0 < cross < self.decoder_num_heads:
            raise ValueError(
                f"decoder_cross_att_ratio = {self.decoder_cross_att_ratio} gives {cross} of "
                f"decoder_num_heads = {self.decoder_num_heads} to the encoder; the released code fails with "
                "none and with all"
            )
        if any(field.coupled for field in self.fields) and not self.coupling_num_heads_per_field:
            raise ValueError("coupling_num_heads_per_field = 0, but fields are coupled")
        return self


def _original(*names: str) -> str:
    inverse = {ours: original for original, ours in NAMES.items()}
    return ", ".join(inverse[name] for name in names)


def read(path: Path) -> tuple[Settings, dict[str, Any]]:
    """Return the settings in ``path``, and all that is in it.

    Raises:
        ConfigError: naming each setting that is missing, wrong or not supported.
    """
    try:
        values = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is truncated or no JSON ({error}); fetch it again") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: is no configuration of AtmoRep; fetch it again")
    unsupported = [
        f"{key} = {values[key]!r} is not supported: {why}"
        for key, (value, why) in _ONLY.items()
        if values.get(key, value) != value
    ]
    if unsupported:
        raise ConfigError("\n  ".join([f"{path}:", *unsupported]))
    try:
        return Settings.model_validate(values), values
    except ValidationError as error:
        raise ConfigError("\n  ".join([f"{path}:", *map(_explain, error.errors())])) from None


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{where}: is missing; the network cannot be known without it"
    message = error["msg"].removeprefix("Value error, ")
    shown = f"{where} = {error['input']!r}: " if where else ""
    return f"{shown}{message[0].lower() + message[1:]}"
