"""Optimiser, schedule and execution."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from atmorep.config.base import Section


class Execution(Section):
    """How a training is run: what changes its speed, its memory or what is noted down, but not its result.

    These keys enter no hash and may differ from one run of a training to the next.
    """

    workers: int = Field(default=0, ge=0)
    """Processes that read and prepare batches beside each rank; 0 prepares them between the steps."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that each rank takes its share of a batch in, one after the other to save memory."""
    gradient_checkpointing: bool = False
    """Blocks are computed again in the backward pass, not kept: less memory, a third more time."""
    compile: bool = False
    """The network is compiled by ``torch.compile``, which takes minutes at the start."""
    nodes: int = Field(default=1, ge=1)
    """Machines of a cluster that a training is spread over."""
    gpus: int | None = Field(default=None, ge=0)
    """GPUs of each machine, with a process for each; a cluster is asked for them. 0: one process on a CPU;
    null: all that a machine has, and a cluster is asked for none."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """Where there are several ranks: ``ddp`` keeps the network whole on each, ``fsdp`` a share of it."""
    checkpoint_minutes: float | None = Field(default=10.0, gt=0)
    """Minutes between two complete states within an epoch; null for none. Each epoch ends with one."""
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between two complete states within an epoch; null for none."""
    trackers: tuple[Literal["tensorboard", "mlflow", "wandb"], ...] = ()
    """Where the log goes besides ``training.csv``; one that fails is left out with a warning."""


class Training(Execution):
    """Optimisation of the network."""

    seed: int = Field(default=0, ge=0)
    """Seed of weights, samples and masks."""
    epochs: int = Field(default=128, ge=1)
    """Epochs; one validation each."""
    samples_per_epoch: int = Field(default=49_152, ge=1)
    """Training samples an epoch."""
    validation_samples: int = Field(default=1024, ge=1)
    """Validation samples; the same ones each epoch."""
    batch_size: int = Field(default=96, ge=1)
    """Samples a step, over all ranks."""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """``adamw`` as published; ``muon`` orthogonalises the updates of linear layers (Jordan et al. 2024)
    and leaves tails, biases and norms to AdamW."""
    schedule: Literal["published", "cosine"] = "published"
    """``published``: linear warm-up, then division by ``decay_rate`` each epoch; ``cosine``: to
    ``lr_end`` at the last step."""
    lr_start: float = Field(default=5e-6, gt=0)
    """Learning rate at step 0."""
    lr_max: float = Field(default=1.5e-4, gt=0)
    """Learning rate after the warm-up."""
    lr_end: float = Field(default=4e-5, ge=0)
    """Smallest learning rate after the warm-up."""
    warmup_epochs: float = Field(default=3.0, ge=0)
    """Epochs of linear warm-up."""
    decay_rate: float = Field(default=1.025, ge=1)
    """Divisor of the learning rate each epoch of the published schedule."""
    weight_decay: float = Field(default=0.05, ge=0)
    """Decoupled weight decay of matrices; biases and norms have none."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Decay per step of the exponential moving average of the weights; 0 keeps none."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Arithmetic of the forward pass, in Lightning's terms."""

    @model_validator(mode="after")
    def _sane(self) -> Training:
        if self.samples_per_epoch % self.batch_size:
            raise ValueError(
                f"samples_per_epoch = {self.samples_per_epoch} must be a multiple of batch_size = "
                f"{self.batch_size}"
            )
        if self.lr_start > self.lr_max or self.lr_end > self.lr_max:
            raise ValueError("lr_start and lr_end must not exceed lr_max")
        if self.batch_size % self.accumulate:
            raise ValueError(
                f"accumulate = {self.accumulate} must divide batch_size = {self.batch_size}; each part is "
                "of as many samples"
            )
        return self

    @property
    def ranks(self) -> int:
        """Processes that a cluster is asked to start."""
        return self.nodes * (self.gpus or 1)

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps an epoch."""
        return self.samples_per_epoch // self.batch_size

    def determining(self) -> dict[str, Any]:
        """Return the keys that determine the result, as plain values: all but those of :class:`Execution`."""
        return self.model_dump(mode="json", exclude=set(Execution.model_fields))
