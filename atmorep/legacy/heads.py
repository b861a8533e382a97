"""The older layout, one projection a head, to the current one, all heads of a block in one matrix.

The original's ``translate_weights`` does it for single fields of one size; this is the same for any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from atmorep.errors import IntegrityError
from atmorep.legacy.settings import OriginalField, Settings
from atmorep.legacy.tensors import Tensors

MARK = ".heads_self."
"""What the names of the older layout have in every encoder block."""


def per_head(names: Iterable[str]) -> bool:
    """Whether tensors of these names are of the older layout."""
    return any(MARK in name for name in names)


def fuse(tensors: Tensors, settings: Settings) -> None:
    """Replace the projections of single heads, which ``tensors`` have, by fused ones.

    Raises:
        IntegrityError: if a head is missing, or coupled in a way that is not defined.
    """
    _refuse_undefined(tensors)
    fields = {field.name: field for field in settings.fields}
    for number, field in enumerate(settings.fields):
        for layer in range(settings.encoder_num_layers):
            block = _Block(
                tensors, f"encoders.{number}.heads.{layer}", field.dim // settings.encoder_num_heads
            )
            block.encoder(field, [fields[other].dim for other in field.coupled], settings)
    for number, name in enumerate(settings.fields_prediction):
        for layer in range(settings.decoder_num_layers):
            width = fields[name].dim // settings.decoder_num_heads
            block = _Block(tensors, f"decoders.{number}.blocks.{2 * layer}", width)
            block.decoder(fields[name], settings)


def _refuse_undefined(tensors: Tensors) -> None:
    """Cross-attention heads of the encoder under a name that fits no released code."""
    undefined = [n for n in tensors.left if n.startswith("encoders.") and ".heads_other." in n]
    if undefined:
        raise IntegrityError(
            f"{tensors.path}: {undefined[0]}: how such heads of the encoder are applied is not defined: the "
            "released loader makes one projection of queries of them, of another size than it has; coupled "
            "heads are read as heads_coupling"
        )


@dataclass(frozen=True)
class _Block:
    """The attention of one block.

    Attributes:
        tensors: of the checkpoint.
        name: of the block.
        width: width of a head.
    """

    tensors: Tensors
    name: str
    width: int

    def encoder(self, field: OriginalField, others: Sequence[int], settings: Settings) -> None:
        """Self-attention, and ``coupling_num_heads_per_field`` heads a coupled field, field by field."""
        self._self(field, "heads_self", settings.encoder_num_heads)
        if not others:
            return
        each = settings.coupling_num_heads_per_field
        queries = self._heads("heads_coupling", range(len(others) * each), ["qs"], field.dim)
        self._put("proj_heads_other.0", queries)
        for number, dim in enumerate(others):
            own = range(number * each, (number + 1) * each)
            self._put(f"proj_heads_other.{number + 1}", self._heads("heads_coupling", own, ["ks", "vs"], dim))

    def decoder(self, field: OriginalField, settings: Settings) -> None:
        """Self-attention, attention to the encoder, and norms of queries and keys.

        In the older code these norms have no weights. The released loader sets weight and bias to one, where
        the bias changes nothing: with q and k of mean zero, (q + 1)ᵀ(k + 1) = qᵀk + d.
        """
        cross = int(settings.decoder_num_heads * settings.decoder_cross_att_ratio)
        self._self(field, "heads", settings.decoder_num_heads - cross)
        self._put("proj_heads_o_q", self._heads("heads_other", range(cross), ["qs"], field.dim))
        self._put("proj_heads_o_kv", self._heads("heads_other", range(cross), ["ks", "vs"], field.dim))
        norms = [f"{self.name}.ln_{one}.{part}" for one in "qk" for part in ("weight", "bias")]
        if not any(name in self.tensors for name in norms):
            for name in norms:
                self.tensors.put(name, torch.ones(self.width))

    def _self(self, field: OriginalField, kind: str, heads: int) -> None:
        self._put("proj_heads", self._heads(kind, range(heads), ["qs", "ks", "vs"], field.dim))

    def _heads(self, kind: str, heads: Sequence[int], parts: Sequence[str], dim: int) -> Tensor:
        """Projections of ``heads`` below each other, each with its ``parts``."""
        return torch.cat(list(self._projections(kind, heads, parts, dim)))

    def _projections(
        self, kind: str, heads: Sequence[int], parts: Sequence[str], dim: int
    ) -> Iterator[Tensor]:
        for head in heads:
            for part in parts:
                yield self.tensors.take(f"{self.name}.{kind}.{head}.proj_{part}.weight", self.width, dim)

    def _put(self, name: str, weight: Tensor) -> None:
        self.tensors.put(f"{self.name}.{name}.weight", weight)
