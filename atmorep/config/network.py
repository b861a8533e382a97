"""The neighbourhood, the fields and the network that predicts them."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, model_validator

from atmorep.config.base import Section
from atmorep.config.masking import FieldMasking


class Extent(Section):
    """An extent in time and space, in grid points or in tokens."""

    time: int = Field(ge=1)
    """Time steps."""
    latitude: int = Field(ge=1)
    """Rows."""
    longitude: int = Field(ge=1)
    """Columns."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(time, latitude, longitude)."""
        return (self.time, self.latitude, self.longitude)


class FieldConfig(Section):
    """How one field enters the model; ``fields:`` maps ERA5 short names to these."""

    levels: tuple[int, ...] | None = None
    """Subset of ``data.levels`` the model uses; default all. Not for surface fields."""
    token_size: Extent | None = None
    """Grid points a token, where it differs from ``network.token_size``."""
    normalisation: Literal["global", "local"] = "global"
    """Monthly mean and standard deviation per level, or per level and grid point."""
    embed_dim: int | None = Field(default=None, ge=8)
    """Width of this field's transformer, where it differs from ``network.embed_dim``."""
    coupled: tuple[str, ...] = ()
    """Fields whose tokens this one attends to; where no field names any, each stays alone."""
    masking: FieldMasking | None = None
    """Shares of this field's tokens that are hidden, where they differ from ``masking``."""
    predicted: bool = True
    """Whether the coupled model predicts the field; one that is not has no decoder and informs the others."""
    weight: float = Field(default=1.0, gt=0)
    """Share of the field in the loss of fields that are trained together, over the sum of all of theirs."""


LEAST_ROTARY = 8
"""Features a head must have for the rotary encoding: two an axis."""

InformationPart = Literal["year", "day", "hour", "level", "latitude", "longitude", "resolution"]
"""A part of the token information."""


class Network(Section):
    """One field's transformer (Lessig et al. 2023, section 3 and appendix)."""

    neighbourhood: Extent = Extent(time=36, latitude=54, longitude=108)
    """Grid points a sample spans."""
    token_size: Extent = Extent(time=3, latitude=9, longitude=9)
    """Grid points a token; must divide the neighbourhood."""
    embed_dim: int = Field(default=1024, ge=8)
    """Width of the transformer, the embedded token information included."""
    info_dim: int = Field(default=16, ge=1)
    """Width of the embedded token information (year, day, hour, level, position, resolution) where it is
    appended."""
    information: Literal["circle", "published"] = "circle"
    """Form of the token information. ``circle``: day, local solar hour and longitude as points on a circle,
    all numbers of order one. ``published``: the eight raw numbers of the released code."""
    information_parts: tuple[InformationPart, ...] = Field(default=get_args(InformationPart), min_length=1)
    """Parts of the token information that the model is given. In the form ``circle`` the hour is that of
    local solar time, and so tells of the longitude."""
    information_place: Literal["appended", "added", "reappended", "class_token"] = "appended"
    """Where the token information enters. ``appended``: as the last ``info_dim`` features of each token, as
    published. ``added``: to all features. ``reappended``: appended, and again after the attention of each
    block. ``class_token``: as one token more in the encoder, that of the whole neighbourhood."""
    position: Literal["rotary", "harmonic", "published", "global", "learned"] = "rotary"
    """Positional encoding. ``rotary``: queries and keys are turned by level, time, row and column, so that
    attention depends on where tokens are to each other. ``harmonic``: of each token's own level, time, row
    and column, as in the paper. ``published``: as in the released code, whose row is wrong where the token
    grid of a field is not square. ``global``: ``harmonic``, and half a sine of latitude and longitude on the
    globe. ``learned``: a table of all tokens of the neighbourhood."""
    heads: int = Field(default=16, ge=1)
    """Attention heads a block."""
    decoder_heads: int | None = Field(default=None, ge=2)
    """Attention heads a block of the decoder, where they differ from ``heads``."""
    decoder_cross_ratio: float = Field(default=0.5, gt=0, lt=1)
    """Share of the decoder's heads that attend to the encoder, rounded down; the others to the decoder's own
    tokens."""
    encoder_blocks: int = Field(default=6, ge=1)
    """Blocks of the encoder."""
    decoder_blocks: int = Field(default=6, ge=1)
    """Blocks of the decoder; each attends to one encoder block, deepest first (U-Net order)."""
    decoder_cross_rate: float = Field(default=1.0, ge=0)
    """Encoder blocks that the next decoder block is further up, rounded down together: 1 is U-Net order,
    with 0 all attend to the deepest."""
    layer_norm: Literal["all", "decoder"] = "all"
    """Where a layer norm comes before: ``all`` attention and MLPs, or, as an option of the released code,
    the attention of the ``decoder`` only."""
    mlp_layers: int = Field(default=2, ge=2)
    """Linear layers of each MLP of the encoder."""
    decoder_mlp_layers: int | None = Field(default=None, ge=2)
    """Linear layers of each MLP of the decoder, where they differ from ``mlp_layers``."""
    mlp_factor: int = Field(default=2, ge=1)
    """Width of the hidden layers of each MLP over ``embed_dim``."""
    mlp_output: Literal["linear", "gelu"] = "linear"
    """Last step of each MLP; ``gelu`` as in the released code, which can only add to its input."""
    dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout rate."""
    tails: int = Field(default=16, ge=2)
    """Members of the tail ensemble."""
    tail_layers: int = Field(default=0, ge=0)
    """Hidden layers of each tail, of the width of the transformer."""
    qk_norm: bool = False
    """Layer norm on queries and keys of the encoder."""
    coupling_heads: int = Field(default=1, ge=1)
    """Attention heads a block for each coupled field, besides ``heads``."""
    coupling_norm: Literal["keys", "both"] = "keys"
    """What of the coupled heads ``qk_norm`` is of: ``keys`` as in the released code, or ``both`` queries and
    keys as in its older one."""
    encoder_tokens: Literal["all", "visible"] = "all"
    """``all``: the encoder processes blank tokens too, as published. ``visible``: blank tokens join in the
    decoder, which makes the encoder cheaper by their share or more."""
    first_guess: Literal["none", "temporal"] = "none"
    """``none``: the tails predict the state, as published. ``temporal``: they predict the departure
    from the linear interpolation in time of the visible tokens at the same place."""

    @model_validator(mode="after")
    def _divides(self) -> Network:
        if min(self.decoder_split) < 1:
            own, cross = self.decoder_split
            raise ValueError(
                f"decoder_cross_ratio = {self.decoder_cross_ratio} leaves {cross} of {own + cross} heads of "
                f"the decoder to the encoder and {own} to its own tokens; both need one"
            )
        self.check_width("embed_dim", self.embed_dim)
        if len(set(self.information_parts)) < len(self.information_parts):
            raise ValueError(f"information_parts = {list(self.information_parts)} names a part twice")
        if self.decoder_sources[-1] < 0:
            raise ValueError(
                f"decoder_blocks = {self.decoder_blocks} exceeds encoder_blocks = {self.encoder_blocks} at "
                f"decoder_cross_rate = {self.decoder_cross_rate}; each attends to an encoder block"
            )
        return self

    def check_width(self, key: str, width: int) -> None:
        """Refuse a width of a transformer that heads or token information do not fit into.

        Args:
            key: what the width is called.
            width: of the transformer.

        Raises:
            ValueError: naming ``key`` and what it must be.
        """
        for name, heads in (("heads", self.heads), ("decoder_heads", self.decoder_heads or self.heads)):
            if width % heads or width % 2:
                raise ValueError(f"{key} = {width} must be even and a multiple of network.{name} = {heads}")
            if self.position == "rotary" and (width // heads % 2 or width // heads < LEAST_ROTARY):
                raise ValueError(
                    f"{key} = {width}: network.position = rotary needs an even number of features a head, "
                    f"{LEAST_ROTARY} or more, which are {width // heads} with network.{name} = {heads}"
                )
        if self.info_dim >= width:
            raise ValueError(f"network.info_dim = {self.info_dim} must be below {key} = {width}")

    @property
    def decoder_split(self) -> tuple[int, int]:
        """Heads a block of the decoder: to its own tokens, and to the encoder's."""
        heads = self.decoder_heads or self.heads
        cross = int(heads * self.decoder_cross_ratio)
        return heads - cross, cross

    @property
    def decoder_sources(self) -> tuple[int, ...]:
        """Number of the encoder block that each decoder block attends to."""
        last = self.encoder_blocks - 1
        return tuple(last - int(self.decoder_cross_rate * n) for n in range(self.decoder_blocks))
