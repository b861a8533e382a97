"""The original's tensors under the names and in the order of :mod:`atmorep.model`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from atmorep.errors import ConfigError, IntegrityError
from atmorep.legacy.heads import fuse, per_head
from atmorep.legacy.settings import MLP_FACTOR, TOKEN_INFO, OriginalField, Settings
from atmorep.legacy.tensors import Tensors

Named = Iterator[tuple[str, Tensor]]


def translated(tensors: Tensors, settings: Settings) -> dict[str, Tensor]:
    """Return the weights of the Multiformer; all of ``tensors`` are taken.

    Raises:
        IntegrityError: if a tensor is missing, unknown, or of another configuration.
    """
    if per_head(tensors.left):
        fuse(tensors, settings)
    else:
        _refuse_several_coupled_heads(settings)
    state = dict(_all(tensors, settings))
    tensors.check_taken()
    return state


def _refuse_several_coupled_heads(settings: Settings) -> None:
    number = settings.coupling_num_heads_per_field
    if number > 1 and any(field.coupled for field in settings.fields):
        raise ConfigError(
            f"coupling_num_heads_per_field = {number}: the released code fails with more than one head a "
            "coupled field, so that the order of these weights is not defined; only in its older layout it is"
        )


def _all(tensors: Tensors, settings: Settings) -> Named:
    info = _Information(tensors, settings)
    order = list(settings.fields_prediction)
    for number, field in enumerate(settings.fields):
        parts = [_embedding(tensors, number, field, info), _encoder(tensors, number, field, settings)]
        if field.name in order:
            parts += [_decoder(tensors, order.index(field.name), field, settings)]
            parts += [_tail(tensors, order.index(field.name), field, settings)]
        for part in parts:
            for name, tensor in part:
                yield f"fields.{field.name}.{name}", tensor
    info.drop()


class _Information:
    """The linear layer of the token information: one of all fields in older checkpoints.

    The original keeps both, and uses the shared one where the weight of the first field's own is zero
    throughout.
    """

    def __init__(self, tensors: Tensors, settings: Settings) -> None:
        self.tensors, self.number = tensors, len(settings.fields)
        self.shape = (settings.size_token_info_net, TOKEN_INFO)
        first = tensors.left.get("embeds_token_info.0.weight")
        self.shared = self._pair("embed_token_info") if first is None or not first.any() else None

    def of(self, field: int) -> tuple[Tensor, Tensor]:
        """Weight and bias of a field, its own also where they are the same for all."""
        if self.shared is None:
            return self._pair(f"embeds_token_info.{field}")
        weight, bias = self.shared
        return weight.clone(), bias.clone()

    def drop(self) -> None:
        """Leave out what the original has and does not use."""
        unused = ["embed_token_info"] if self.shared is None else []
        unused += [] if self.shared is None else [f"embeds_token_info.{n}" for n in range(self.number)]
        self.tensors.drop(*(f"{name}.{part}" for name in unused for part in ("weight", "bias")))

    def _pair(self, name: str) -> tuple[Tensor, Tensor]:
        weight = self.tensors.take(f"{name}.weight", *self.shape)
        return weight, self.tensors.take(f"{name}.bias", self.shape[0])


def _embedding(tensors: Tensors, number: int, field: OriginalField, info: _Information) -> Named:
    weight, bias = info.of(number)
    yield "embedding.info.weight", weight
    yield "embedding.info.bias", bias
    dim = field.dim - len(bias)
    yield "embedding.values.weight", _twice(tensors, number, "weight", dim, field.volume)
    yield "embedding.values.bias", _twice(tensors, number, "bias", dim)


def _twice(tensors: Tensors, number: int, part: str, *shape: int) -> Tensor:
    """The embedding, which the original lists under two names."""
    names = [f"embeds.{number}.{part}", f"encoders.{number}.embed.{part}"]
    found = [tensors.take(name, *shape) for name in names if name in tensors] or [
        tensors.take(names[0], *shape)
    ]
    if not torch.equal(found[0], found[-1]):
        raise IntegrityError(
            f"{tensors.path}: {' and '.join(names)} differ, which are one in the original; fetch it again"
        )
    return found[0]


def _encoder(tensors: Tensors, number: int, field: OriginalField, settings: Settings) -> Named:
    for layer in range(settings.encoder_num_layers):
        own, target = f"encoders.{number}.heads.{layer}", f"encoder.{layer}.attention"
        yield from _encoder_attention(tensors, own, target, field, settings)
        own, target = f"encoders.{number}.mlps.{layer}", f"encoder.{layer}.mlp"
        yield from _mlp(tensors, own, target, field.dim, settings.encoder_num_mlp_layers)


def _encoder_attention(
    tensors: Tensors, own: str, target: str, field: OriginalField, settings: Settings
) -> Named:
    heads, dim = settings.encoder_num_heads, field.dim
    qkv = tensors.take(f"{own}.proj_heads.weight", 3 * dim, dim)
    yield f"{target}.qkv.weight", _by_part(qkv, heads, 3)
    each = settings.coupling_num_heads_per_field * (dim // heads)
    out = tensors.take(f"{own}.proj_out.weight", dim, dim + each * len(field.coupled))
    yield f"{target}.out.weight", out[:, :dim]
    if not field.coupled:
        _drop_empty(tensors, f"{own}.proj_heads_other.0.weight")
        return
    queries = tensors.take(f"{own}.proj_heads_other.0.weight", each * len(field.coupled), dim)
    dims = {other.name: other.dim for other in settings.fields}
    for n, other in enumerate(field.coupled):
        part, cross = slice(n * each, (n + 1) * each), f"{target}.cross.{other}"
        kv = tensors.take(f"{own}.proj_heads_other.{n + 1}.weight", 2 * each, dims[other])
        yield f"{cross}.q.weight", queries[part]
        yield f"{cross}.kv.weight", _by_part(kv, settings.coupling_num_heads_per_field, 2)
        yield f"{cross}.out.weight", out[:, dim:][:, part]


def _drop_empty(tensors: Tensors, name: str) -> None:
    """Leave out what some versions of the original save of a coupling that there is not."""
    if name in tensors and not tensors.left[name].numel():
        tensors.drop(name)


def _decoder(tensors: Tensors, number: int, field: OriginalField, settings: Settings) -> Named:
    for layer in range(settings.decoder_num_layers):
        own, target = f"decoders.{number}.blocks.{2 * layer}", f"decoder.{layer}.attention"
        yield from _decoder_attention(tensors, own, target, field.dim, settings)
        own, target = f"decoders.{number}.blocks.{2 * layer + 1}", f"decoder.{layer}.mlp"
        yield from _mlp(tensors, own, target, field.dim, settings.decoder_num_mlp_layers)


def _decoder_attention(tensors: Tensors, own: str, target: str, dim: int, settings: Settings) -> Named:
    heads, width = settings.decoder_num_heads, dim // settings.decoder_num_heads
    cross = int(heads * settings.decoder_cross_att_ratio)
    qkv = tensors.take(f"{own}.proj_heads.weight", 3 * (heads - cross) * width, dim)
    yield f"{target}.qkv.weight", _by_part(qkv, heads - cross, 3)
    yield f"{target}.cross_q.weight", tensors.take(f"{own}.proj_heads_o_q.weight", cross * width, dim)
    kv = tensors.take(f"{own}.proj_heads_o_kv.weight", 2 * cross * width, dim)
    yield f"{target}.cross_kv.weight", _by_part(kv, cross, 2)
    yield f"{target}.out.weight", tensors.take(f"{own}.proj_out.weight", dim, dim)
    for one in "qk":
        for part in ("weight", "bias"):
            yield f"{target}.{one}_norm.{part}", tensors.take(f"{own}.ln_{one}.{part}", width)


def _by_part(weight: Tensor, heads: int, parts: int) -> Tensor:
    """Rows head by head, each with its queries, keys and values, to all queries, keys and values."""
    return weight.unflatten(0, (heads, parts, -1)).transpose(0, 1).flatten(0, 2)


def _mlp(tensors: Tensors, own: str, target: str, dim: int, layers: int) -> Named:
    """Linear layers; behind each, GELU and dropout are parts of the list too, in both."""
    widths = [dim, *[MLP_FACTOR * dim] * (max(2, layers) - 1), dim]
    for n in range(len(widths) - 1):
        source, layer = f"{own}.blocks.{3 * n}", f"{target}.layers.{1 + 3 * n}"
        yield f"{layer}.weight", tensors.take(f"{source}.weight", widths[n + 1], widths[n])
        yield f"{layer}.bias", tensors.take(f"{source}.bias", widths[n + 1])


def _tail(tensors: Tensors, number: int, field: OriginalField, settings: Settings) -> Named:
    nets = [f"tails.{number}.tail_nets.{net}" for net in range(settings.net_tail_num_nets)]
    dim, hidden = field.dim, settings.net_tail_num_layers

    def stacked(part: str, *shape: int) -> Tensor:
        return torch.stack([tensors.take(f"{net}.{part}", *shape) for net in nets])

    yield "tail.scale", stacked("0.weight", dim)
    yield "tail.shift", stacked("0.bias", dim)
    for n in range(hidden):
        yield f"tail.hidden.{n}.weight", stacked(f"{1 + 2 * n}.weight", dim, dim).mT
        yield f"tail.hidden.{n}.bias", stacked(f"{1 + 2 * n}.bias", dim)
    yield "tail.weight", stacked(f"{1 + 2 * hidden}.weight", field.volume, dim).mT
    yield "tail.bias", stacked(f"{1 + 2 * hidden}.bias", field.volume)
