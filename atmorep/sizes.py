"""What a configured model costs: parameters, operations and memory, found on the meta device without data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from atmorep import bundle
from atmorep.config import Config
from atmorep.model.field_transformer import FieldShape
from atmorep.model.inputs import Inputs
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.info import FEATURES
from atmorep.training.outside import blocks, recompute_blocks

STATE = 4 * 4
"""Bytes a parameter in training: weight, gradient and AdamW's two moments in single precision."""


@dataclass(frozen=True)
class Size:
    """Cost of one model; activations are those of one sample, kept for the backward pass.

    Attributes:
        title: fields of the model.
        tokens: tokens of a neighbourhood, all fields.
        parameters: weights.
        forward: floating-point operations of predicting one sample.
        step: floating-point operations of training on one sample, nothing being computed twice.
        activations: bytes in single precision.
        activations_bf16: bytes in bfloat16.
        recomputed_bf16: bytes in bfloat16 where blocks are computed again in the backward pass.
    """

    title: str
    tokens: int
    parameters: int
    forward: int
    step: int
    activations: int
    activations_bf16: int
    recomputed_bf16: int

    @property
    def state(self) -> int:
        """Bytes of weights, gradients and AdamW's moments in single precision."""
        return STATE * self.parameters


def size(config: Config, fields: Sequence[str]) -> Size:
    """Return the cost of the model of ``fields``; blank tokens are counted as any others."""
    every = config.model_copy(
        update={"network": config.network.model_copy(update={"encoder_tokens": "all", "dropout": 0.0})}
    )
    with torch.device("meta"):
        model, inputs = bundle.build(every, fields), _inputs(every, fields)
    counts = _operations(model, inputs)
    plain, halved = _activations(model, inputs), _activations(*_bf16(model, inputs))
    recompute_blocks(model)
    return Size(
        title=" + ".join(fields),
        tokens=sum(given.blank.numel() for given in inputs.values()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        forward=counts[0],
        step=counts[1],
        activations=plain,
        activations_bf16=halved,
        recomputed_bf16=_activations(*_bf16(model, inputs)),
    )


def sizes(config: Config) -> list[Size]:
    """Return the cost of each field alone and, where fields are coupled, of the Multiformer."""
    fields = tuple(config.fields)
    found: dict[FieldShape, Size] = {}
    alone = []
    for name in fields:
        shape = bundle.shape(config, name, [name])
        if shape not in found:
            found[shape] = size(config, [name])
        alone.append(replace(found[shape], title=name))
    return [*alone, size(config, fields)] if config.coupled else alone


def _inputs(config: Config, fields: Sequence[str]) -> dict[str, Inputs]:
    """One sample of each field."""
    given = {}
    for name in fields:
        tokens = (1, len(config.model_levels(name)), *config.tokens(name).shape)
        volume = math.prod(config.token_size(name).shape)
        features = FEATURES[config.network.information]
        blank = torch.zeros(tokens, dtype=torch.bool)
        given[name] = Inputs(torch.empty(*tokens, volume), torch.empty(*tokens, features), blank)
    return given


def _operations(model: Multiformer, inputs: Mapping[str, Inputs]) -> tuple[int, int]:
    """Floating-point operations of a forward pass, and of a forward and backward pass."""
    with FlopCounterMode(display=False) as counter:
        members = model(inputs)
        forward = counter.get_total_flops()
        torch.stack([each.sum() for each in members.values()]).sum().backward()
    model.zero_grad(set_to_none=True)
    return forward, counter.get_total_flops()


def _bf16(model: Multiformer, inputs: Mapping[str, Inputs]) -> tuple[Multiformer, dict[str, Inputs]]:
    """Model and inputs in bfloat16."""
    halved = {
        name: given._replace(source=given.source.bfloat16(), info=given.info.bfloat16())
        for name, given in inputs.items()
    }
    return model.bfloat16(), halved


def _activations(model: nn.Module, inputs: Mapping[str, Inputs]) -> int:
    """Bytes kept for the backward pass, without weights and without the scores that fused attention drops."""
    kept: dict[int, tuple[Tensor, int]] = {}
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    tokens = {math.prod(given.blank.shape) for given in inputs.values()}

    def keep(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        scores = tensor.ndim > 2 and {*tensor.shape[-2:]} <= tokens
        if key not in weights and not scores:
            kept[key] = tensor, tensor.untyped_storage().nbytes()
        return tensor

    # what goes into a block is held, not saved, where the block is computed again
    hooks = [block.register_forward_pre_hook(lambda _, given: _each(given, keep)) for block in blocks(model)]
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(inputs)
    for hook in hooks:
        hook.remove()
    return sum(count for _, count in kept.values())


def _each(given: object, keep: Callable[[Tensor], Tensor]) -> None:
    """Call ``keep`` with each tensor of a block's arguments."""
    for tensor in tree_leaves(given):
        if isinstance(tensor, Tensor):
            keep(tensor)


def table(rows: Sequence[Size]) -> str:
    """Return the rows as a table in Markdown."""
    head = (
        "| fields | tokens | parameters | forward (GFLOP) | training (GFLOP) | state (GB) "
        "| activations float32 (GB) | bf16 (GB) | bf16, blocks recomputed (GB) |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(_row(row) for row in rows)


def _row(row: Size) -> str:
    gigabytes = (row.state, row.activations, row.activations_bf16, row.recomputed_bf16)
    cells = [
        row.title,
        str(row.tokens),
        f"{row.parameters / 1e6:,.1f} M",
        f"{row.forward / 1e9:,.1f}",
        f"{row.step / 1e9:,.1f}",
        *(f"{count / 1e9:,.2f}" for count in gigabytes),
    ]
    return f"| {' | '.join(cells)} |\n"


def show(config: Config) -> None:
    """Print the sizes of the models that ``config`` describes."""
    print(table(sizes(config)), end="")
