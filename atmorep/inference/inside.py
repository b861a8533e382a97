"""Looking inside a trained model: what its tokens attend to, and what becomes of them block by block.

Forward hooks take the queries and keys that the model itself attends with, so that nothing of it is in the
way of training, and what is shown is what is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from atmorep.inference.labels import TOKEN_DIMS, TokenIndex, query_coordinates, token_coordinates
from atmorep.inference.predictor import Predictor
from atmorep.model.field_transformer import Embedded, FieldTransformer
from atmorep.model.inputs import Tokens
from atmorep.sampling.windows import Window

Hook = Callable[[nn.Module, tuple[Any, ...], Any], None]


@torch.inference_mode()
def attention(
    predictor: Predictor,
    windows: Sequence[Window],
    hidden: Mapping[str, NDArray[np.bool_]],
    queries: Sequence[TokenIndex],
    blocks: Sequence[int] | None = None,
) -> dict[str, xr.Dataset]:
    """Return what some tokens of the predictor's field attend to: σ(q Kᵀ / √d) of every head.

    Memory: blocks · samples · heads · queries · tokens numbers; nothing of all tokens by all tokens is held.

    Args:
        predictor: the model and the store.
        windows: neighbourhoods, B of them.
        hidden: for each field of the model (B, L, K, I, J), True where a token is withheld.
        queries: tokens that attend.
        blocks: numbers of the blocks from 0, in encoder and decoder; all where absent.

    Returns:
        For ``encoder_self``, ``encoder_cross_<field>`` (each coupled field), ``decoder_self`` and
        ``decoder_encoder`` the weights ``attention`` (block, sample, head, query, level, step, row, column)
        of the tokens attended to. They add up to one, with that of a class token where there is one. NaN
        where a token is not in the sequence, as blank ones in an encoder of visible tokens. Coordinates are
        those of the tokens' centres.
    """
    inputs = predictor.inputs(windows, hidden)
    fields: dict[str, FieldTransformer] = dict(predictor.model.fields.items())  # type: ignore[arg-type]
    order = {name: _Order.of(field.embed(inputs[name])) for name, field in fields.items()}
    grid = inputs[predictor.field].blank.shape[1:]
    chosen = torch.from_numpy(np.ravel_multi_index(np.array(queries).T, tuple(grid))).to(predictor.device)
    sites = list(_sites(fields[predictor.field], predictor.field, order, blocks))
    found: dict[str, dict[int, Tensor]] = {}
    hooks = {site.module: site.recorder(chosen, found.setdefault(site.name, {})) for site in sites}
    with _hooked(hooks):
        predictor.model(inputs, [predictor.field])
    attended = {site.name: site.attended for site in sites}
    return {
        name: _labelled(predictor, windows, queries, weights, attended[name])
        for name, weights in found.items()
    }


def _labelled(
    predictor: Predictor,
    windows: Sequence[Window],
    queries: Sequence[TokenIndex],
    weights: Mapping[int, Tensor],
    attended: str,
) -> xr.Dataset:
    """Weights by block (B, A, Q, N) as a dataset."""
    keys = predictor.neighbourhoods[attended]
    values = torch.stack(list(weights.values())).unflatten(-1, keys.tokens).numpy()
    description = {"long_name": f"attention of {predictor.field} to {attended}", "units": "1"}
    return xr.Dataset(
        {"attention": (("block", "sample", "head", "query", *TOKEN_DIMS), values, description)},
        {
            "block": ("block", list(weights), {"long_name": "block, counted from 0"}),
            **token_coordinates(keys, windows),
            **query_coordinates(predictor.neighbourhoods[predictor.field], windows, queries),
        },
        {"field": predictor.field, "attended": attended},
    )


@torch.inference_mode()
def embeddings(
    predictor: Predictor, windows: Sequence[Window], hidden: Mapping[str, NDArray[np.bool_]]
) -> xr.Dataset:
    """Return the tokens of the predictor's field as they are embedded and after each block.

    Args:
        predictor: the model and the store.
        windows: neighbourhoods, B of them.
        hidden: for each field of the model (B, L, K, I, J), True where a token is withheld.

    Returns:
        ``embedding`` (block, sample, level, step, row, column, feature), where ``block`` is ``embedding``,
        ``encoder 0`` … and ``decoder 0`` …; NaN where a token is not in the sequence, as blank ones in an
        encoder of visible tokens. Coordinates are those of the tokens' centres.
    """
    inputs = predictor.inputs(windows, hidden)
    field: FieldTransformer = predictor.model.fields[predictor.field]  # type: ignore[assignment]
    embedded = field.embed(inputs[predictor.field])
    found, order = {"embedding": embedded.tokens.values.float().cpu()}, _Order.of(embedded)
    hooks: dict[nn.Module, Hook] = {}
    for number, block in enumerate(field.encoder):
        hooks[block] = _keep(f"encoder {number}", order, found)
    for number, block in enumerate(field.decoder):
        hooks[block] = _keep(f"decoder {number}", order.whole(), found)
    with _hooked(hooks):
        predictor.model(inputs, [predictor.field])
    reader = predictor.neighbourhoods[predictor.field]
    values = torch.stack(list(found.values())).unflatten(2, reader.tokens).numpy()
    description = {"long_name": f"embedded tokens of {predictor.field}", "units": "1"}
    return xr.Dataset(
        {"embedding": (("block", "sample", *TOKEN_DIMS, "feature"), values, description)},
        {"block": list(found), **token_coordinates(reader, windows)},
        {"field": predictor.field},
    )


def _keep(name: str, order: _Order, found: dict[str, Tensor]) -> Hook:
    def hook(_: nn.Module, __: tuple[Any, ...], output: Tokens) -> None:
        found[name] = order.spread(output.values.mT).mT.float().cpu()

    return hook


@contextmanager
def _hooked(hooks: Mapping[nn.Module, Hook]) -> Iterator[None]:
    with ExitStack() as stack:
        for module, hook in hooks.items():
            stack.callback(module.register_forward_hook(hook).remove)
        yield


@dataclass(frozen=True)
class _Order:
    """Which tokens a sequence is made of.

    Attributes:
        numbers: (B, P) of the N tokens of the neighbourhood.
        present: (B, P), False where a shorter sample was filled up.
        size: N.
    """

    numbers: Tensor
    present: Tensor
    size: int

    @classmethod
    def of(cls, embedded: Embedded) -> _Order:
        """The sequence that enters the encoder; a class token behind it has the number N."""
        (batch, size), device = embedded.tokens.values.shape[:2], embedded.tokens.values.device
        numbers, present = embedded.order, embedded.entering.present
        if numbers is None:
            numbers = torch.arange(size, device=device).expand(batch, -1)
        behind = embedded.entering.values.shape[1] - numbers.shape[1]
        numbers = nn.functional.pad(numbers, (0, behind), value=size)
        if present is None:
            present = torch.ones_like(numbers, dtype=torch.bool)
        return cls(numbers, present, size)

    def whole(self) -> _Order:
        """All tokens in their order, as in the decoder."""
        numbers = torch.arange(self.size, device=self.numbers.device).expand(len(self.numbers), -1)
        return _Order(numbers, torch.ones_like(numbers, dtype=torch.bool), self.size)

    def find(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Places (B, Q) of the tokens ``chosen`` (Q,) in the sequence, and whether they are there."""
        same = (self.numbers[:, None] == chosen[:, None]) & self.present[:, None]
        return same.to(torch.uint8).argmax(-1), same.any(-1)

    def spread(self, x: Tensor) -> Tensor:
        """Put (B, …, P) into the places of the neighbourhood (B, …, N); NaN where there is no token."""
        between = (-1, *[1] * (x.ndim - 2), self.numbers.shape[1])
        filled = torch.where(self.present.view(between), x, torch.nan)
        everywhere = torch.full((*x.shape[:-1], self.size + 1), torch.nan, dtype=x.dtype, device=x.device)
        return everywhere.scatter(-1, self.numbers.view(between).expand(x.shape), filled)[..., : self.size]


@dataclass(frozen=True)
class _Site:
    """One place where the model attends.

    Attributes:
        name: of the dataset.
        block: its number.
        module: what is called with queries, keys, values and which keys are present.
        attended: field of the keys.
        queries, keys: the sequences.
    """

    name: str
    block: int
    module: nn.Module
    attended: str
    queries: _Order
    keys: _Order

    def recorder(self, chosen: Tensor, found: dict[int, Tensor]) -> Hook:
        """Return the hook that keeps the weights (B, A, Q, N) of the tokens ``chosen`` (Q,)."""
        places, there = self.queries.find(chosen)

        def hook(_: nn.Module, arguments: tuple[Tensor, Tensor, Tensor, Tensor | None], __: Any) -> None:
            q, k, _values, present = arguments
            index = places[:, None, :, None].expand(-1, q.shape[1], -1, q.shape[3])
            scores = (q.gather(2, index) @ k.mT / math.sqrt(q.shape[3])).float()
            if present is not None:
                scores = scores.masked_fill(~present[:, None, None], -torch.inf)
            weights = torch.where(there[:, None, :, None], scores.softmax(-1), torch.nan)
            found[self.block] = self.keys.spread(weights).cpu()

        return hook


def _sites(
    field: FieldTransformer, name: str, order: Mapping[str, _Order], blocks: Sequence[int] | None
) -> Iterator[_Site]:
    """All places where the tokens of a field attend, block by block."""
    own, whole = order[name], order[name].whole()
    for number, block in _numbered(field.encoder, blocks):
        heads: Any = block.attention
        yield _Site("encoder_self", number, heads.attend, name, own, own)
        for other, cross in heads.cross.items():
            yield _Site(f"encoder_cross_{other}", number, cross.attend, other, own, order[other])
    for number, block in _numbered(field.decoder, blocks):
        heads = block.attention
        yield _Site("decoder_self", number, heads.attend, name, whole, whole)
        yield _Site("decoder_encoder", number, heads.attend_encoder, name, whole, own)


def _numbered(modules: nn.ModuleList, numbers: Sequence[int] | None) -> Iterator[tuple[int, Any]]:
    return ((n, block) for n, block in enumerate(modules) if numbers is None or n in numbers)
