"""What is done to the network from outside: blocks computed again, shares on ranks, parts of a batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy, ParallelStrategy, Strategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.utils.checkpoint import checkpoint

from atmorep.config import Training
from atmorep.model.attention import Attend
from atmorep.model.blocks import DecoderBlock, EncoderBlock
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.batches import Batch
from atmorep.training import native


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the blocks of all encoders and decoders."""
    return (module for module in model.modules() if isinstance(module, EncoderBlock | DecoderBlock))


def speed_up(model: nn.Module, settings: Training, device: torch.device) -> None:
    """Apply what ``settings`` and ``device`` say of memory and speed; parameters keep their names."""
    if device.type == "cpu" and _tokens(model) >= native.LEAST_TOKENS:
        attend_natively(model)
    if settings.gradient_checkpointing:
        recompute_blocks(model)
    if settings.compile:
        # one graph: what depends on the masks, which tokens the encoder processes, is settled before
        model.process = torch.compile(model.process)  # type: ignore[arg-type, assignment]


def _tokens(model: nn.Module) -> int:
    """Tokens of a neighbourhood of the field that has most."""
    networks = (module for module in model.modules() if isinstance(module, Multiformer))
    return max((math.prod(shape.tokens) for one in networks for shape in one.shapes.values()), default=0)


def attend_natively(model: nn.Module) -> None:
    """Compute attention by the kernel of :mod:`~atmorep.training.native` where it suits, if it compiles."""
    if native.kernel() is not None:
        for module in model.modules():
            if isinstance(module, Attend):
                module.forward = partial(native.attend, module.forward)  # type: ignore[method-assign]


def recompute_blocks(model: nn.Module) -> None:
    """Keep of each block only what goes in, and compute it again in the backward pass."""
    for block in blocks(model):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)  # type: ignore[method-assign]


def shard(model: nn.Module, mesh: DeviceMesh) -> None:
    """Leave each rank of ``mesh`` a share of every parameter (FSDP2), gathered a block at a time."""
    for module in (*blocks(model), model):
        fully_shard(module, mesh=mesh)


def strategy(settings: Training) -> ModelParallelStrategy | str:
    """Return what Lightning is to spread a training by."""
    return ModelParallelStrategy() if settings.strategy == "fsdp" else "auto"


def allow_unread(strategy: Strategy, model: nn.Module) -> None:
    """Let ranks agree on gradients where some parameters of ``model`` have none.

    What the last block makes of a field that is not predicted is read by none. One process needs nothing.
    """
    whole = isinstance(model, Multiformer) and model.predicted == tuple(model.fields)
    if isinstance(strategy, DDPStrategy) and not whole:
        strategy._ddp_kwargs["find_unused_parameters"] = True  # before it wraps the model


def unsynchronised(trainer: L.Trainer) -> AbstractContextManager[None]:
    """Return the context in which gradients are added up on each rank alone, where the strategy can."""
    if isinstance(trainer.strategy, ParallelStrategy):
        return trainer.strategy.block_backward_sync()
    return nullcontext()


def divided(batch: Batch, parts: int) -> list[Batch]:
    """Divide the samples of ``batch`` into ``parts`` of equal size, in their order."""
    samples = len(next(iter(batch.values())))
    steps = range(0, samples, samples // parts)
    return [
        {name: field.samples(first, first + steps.step) for name, field in batch.items()} for first in steps
    ]
