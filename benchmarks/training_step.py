"""A training step on the CPU, against the machine's rate of float32 matrix products in the same minutes.

    python benchmarks/training_step.py [--width 256 512] [--repeats 9] [--threads 2] [--precision bf16-mixed]

One field at the published sizes but for its width: 12 x 6 x 12 tokens of 3 x 9 x 9 at five levels, 6 + 6
blocks of 16 heads, 16 tails, batch 1. The step is the one that `atmorep pretrain` takes, driven by Lightning:
forward, loss, backward, clipping and AdamW. The batch is random numbers with masks drawn as in training;
reading is not measured.

Products are timed before and after each step, and a step counts by their mean. With one thread, times are
those of the CPU, which other work on the machine disturbs least. Operations are those of PyTorch's counter:
of matrix products and attention, a multiplication and an addition being two. Its formula for the backward
pass of fused attention has five products, since one is computed again; the ratio with four is printed too.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from atmorep import bundle, sizes
from atmorep.config import Config, parse
from atmorep.masking import training_masks
from atmorep.model.attention import Attend
from atmorep.sampling.batches import Batch, FieldBatch
from atmorep.sampling.info import FEATURES
from atmorep.training import outside
from atmorep.training.engine import lightning_trainer
from atmorep.training.problem import MaskedTokens
from atmorep.training.progress import Progress
from atmorep.training.task import TrainingTask

FIELD = "t"
WARM_UP = 2
"""Steps before those that are timed."""
SIZE = 3072
"""Rows and columns of the matrices."""
TARGETS = {256: "; target 0.60, better 0.70", 512: "; target 0.60, better 0.80"}
"""What the ratio should reach, and better, by width."""


def configuration(width: int, precision: str, steps: int) -> Config:
    """A single field as published, but for its width, one sample a step."""
    days = [{"start": f"2020-01-{day}1", "end": f"2020-01-{day}5"} for day in range(3)]
    return parse(
        {
            "experiment": "benchmark",
            "source": {"kind": "simulated"},
            "data": {"periods": {"train": days[:1], "validation": days[1:2], "test": days[2:]}},
            "fields": {FIELD: None},
            "network": {
                "token_size": {"time": 3, "latitude": 9, "longitude": 9},
                "embed_dim": width,
                "position": "harmonic",
            },
            "evaluation": {"lead_hours": [3]},
            "training": {
                "batch_size": 1,
                "epochs": 1,
                "samples_per_epoch": steps,
                "precision": precision,
                "gpus": 0,
            },
        }
    )


def batch(config: Config) -> Batch:
    """One sample: random states, masks as in training."""
    tokens = (1, len(config.model_levels(FIELD)), *config.tokens(FIELD).shape)
    rng = np.random.default_rng(0)
    masks = training_masks(config, [FIELD])[FIELD].draw(rng, rng)
    values = torch.randn(*tokens, int(np.prod(config.token_size(FIELD).shape)))
    blank, selected = (torch.from_numpy(part).unsqueeze(0) for part in (masks.blank, masks.selected))
    return {
        FIELD: FieldBatch(
            source=values.masked_fill(blank.unsqueeze(-1), 0),
            target=values,
            info=torch.randn(*tokens, FEATURES[config.network.information]),
            blank=blank,
            selected=selected,
            weight=torch.ones(1, 1, 1, tokens[3], 1, values.shape[-1]),
        )
    }


def operations(config: Config) -> tuple[int, int]:
    """Floating-point operations of a step with five products in attention's backward pass, and with four."""
    again = 0

    def scores(_: nn.Module, given: tuple[Tensor, Tensor, Tensor, None]) -> None:
        nonlocal again
        again += 2 * given[0].numel() * given[1].shape[-2]

    meta = torch.device("meta")
    model = bundle.build(config, [FIELD]).to(meta)
    for module in model.modules():
        if isinstance(module, Attend):
            module.register_forward_pre_hook(scores)
    model({name: part.to(meta).inputs for name, part in batch(config).items()})
    least = sizes.size(config, [FIELD]).step
    return least + again, least


@dataclass
class Clock(L.Callback):
    """Times each step and, around it, a product of matrices, in seconds."""

    now: Callable[[], float]
    steps: list[float] = field(default_factory=list)
    products: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matrices = torch.randn(2, SIZE, SIZE)
        self.result = torch.empty(SIZE, SIZE)

    def product(self) -> None:
        """Time a product."""
        start = self.now()
        torch.mm(*self.matrices, out=self.result)
        self.products.append(self.now() - start)

    def on_train_batch_start(self, *_: object) -> None:
        """Begin a step."""
        if not self.products:
            self.product()
        self.start = self.now()

    def on_train_batch_end(self, *_: object) -> None:
        """End a step."""
        self.steps.append(self.now() - self.start)
        self.product()


def measure(width: int, precision: str, repeats: int) -> None:
    """Train for some steps, and print medians and ranges."""
    config = configuration(width, precision, WARM_UP + repeats)
    torch.manual_seed(0)
    model = bundle.build(config, [FIELD])
    clock = Clock(time.process_time if torch.get_num_threads() == 1 else time.perf_counter)
    progress = Progress.begin(model.predicted)
    task = TrainingTask(model, MaskedTokens(config, [FIELD]), progress)
    driver = lightning_trainer(config.training, model, progress, [clock])
    outside.speed_up(model, config.training, driver.strategy.root_device)
    driver.fit(task, DataLoader([batch(config)] * (WARM_UP + repeats), batch_size=None))
    report(config, clock)


def report(config: Config, clock: Clock) -> None:
    """Print what was measured of a width."""
    flops, least = operations(config)
    steps, products = np.array(clock.steps[WARM_UP:]), np.array(clock.products[WARM_UP:])
    rates = 2 * SIZE**3 / (0.5 * (products[:-1] + products[1:]))
    ratios = flops / steps / rates
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    width, resident = config.network.embed_dim, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"width {width}, {config.training.precision}, {torch.get_num_threads()} threads, {len(steps)} steps"
    )
    print(f"  {flops / 1e12:.2f} TFLOP and {np.median(steps):.2f} s a step")
    print(f"  matrix products: {np.median(rates) / 1e9:.0f} GFLOP/s")
    print(f"  ratio: {middle:.2f} (half of them {low:.2f} to {high:.2f}){TARGETS.get(width, '')}")
    print(f"  ratio with four products in attention's backward pass: {middle * least / flops:.2f}")
    print(f"  resident: {resident / 2**20:.1f} GB at most so far", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the widths in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    for width in given.width:
        measure(width, given.precision, given.repeats)


if __name__ == "__main__":
    main()
