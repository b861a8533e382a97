"""A training step on the CPU, against the machine's rate of float32 matrix products in the same minutes.

    python benchmarks/training_step.py [--width 256 512] [--fields 1] [--repeats 9] [--threads 2]
    python benchmarks/training_step.py --precision bf16-mixed

One field, or several coupled, at the published sizes but for the width: 12 x 6 x 12 tokens of 3 x 9 x 9 at
five levels, 6 + 6 blocks of 16 heads, 16 tails, batch 1. The step is the one that `atmorep pretrain` takes,
driven by Lightning: forward, loss, backward, clipping and AdamW. The batch is random numbers with masks drawn
as in training; reading is not measured.

Products are timed before and after each step, and a step counts by their mean. With one thread, times are
those of the CPU, which other work on the machine disturbs least. Operations are those of PyTorch's counter:
of matrix products and attention, a multiplication and an addition being two. Its formula for the backward
pass of fused attention has five products, since one is computed again; the share of four is noted too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightning as L
import numpy as np
import torch
from measuring import Products, Target, absent, measured, parser, report, resident
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

FIELDS = ("t", "u", "v")
WARM_UP = 1
"""Steps before those that are timed."""
TARGETS = {256: 0.7, 512: 0.8, 1024: 0.8}
"""What the ratio should reach, by width."""


def configuration(fields: Sequence[str], width: int, precision: str, steps: int) -> Config:
    """Fields as published, each coupled to the others, but for the width, one sample a step."""
    coupled = {name: {"coupled": [other for other in fields if other != name]} for name in fields}
    days = [{"start": f"2020-01-{day}1", "end": f"2020-01-{day}5"} for day in range(3)]
    return parse(
        {
            "experiment": "benchmark",
            "source": {"kind": "simulated"},
            "data": {"periods": {"train": days[:1], "validation": days[1:2], "test": days[2:]}},
            "fields": coupled,
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
    return {name: field_batch(config, name) for name in config.fields}


def field_batch(config: Config, name: str) -> FieldBatch:
    """One field of the sample."""
    tokens = (1, len(config.model_levels(name)), *config.tokens(name).shape)
    rng = np.random.default_rng(0)
    masks = training_masks(config, list(config.fields))[name].draw(rng, rng)
    values = torch.randn(*tokens, int(np.prod(config.token_size(name).shape)))
    blank, selected = (torch.from_numpy(part).unsqueeze(0) for part in (masks.blank, masks.selected))
    return FieldBatch(
        source=values.masked_fill(blank.unsqueeze(-1), 0),
        target=values,
        info=torch.randn(*tokens, FEATURES[config.network.information]),
        blank=blank,
        selected=selected,
        weight=torch.ones(1, 1, 1, tokens[3], 1, values.shape[-1]),
    )


def operations(config: Config) -> tuple[int, int]:
    """Floating-point operations of a step with five products in attention's backward pass, and with four."""
    again = 0

    def scores(_: nn.Module, given: tuple[Tensor, Tensor, Tensor, None]) -> None:
        nonlocal again
        again += 2 * given[0].numel() * given[1].shape[-2]

    meta = torch.device("meta")
    model = bundle.build(config, list(config.fields)).to(meta)
    for module in model.modules():
        if isinstance(module, Attend):
            module.register_forward_pre_hook(scores)
    model({name: part.to(meta).inputs for name, part in batch(config).items()})
    least = sizes.size(config, list(config.fields)).step
    return least + again, least


@dataclass
class Clock(L.Callback):
    """Times each step in seconds and, around it, the rate of products of matrices."""

    now: Callable[[], float]
    steps: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.products = Products(self.now)

    def on_train_batch_start(self, *_: object) -> None:
        """Begin a step."""
        if not self.rates:
            self.rates.append(self.products.rate())
        self.start = self.now()

    def on_train_batch_end(self, *_: object) -> None:
        """End a step."""
        self.steps.append(self.now() - self.start)
        self.rates.append(self.products.rate())


def timed(config: Config) -> Clock:
    """Train for some steps."""
    torch.manual_seed(0)
    problem = MaskedTokens(config, list(config.fields))
    model = bundle.build(config, list(config.fields))
    clock = Clock(time.process_time if torch.get_num_threads() == 1 else time.perf_counter)
    progress = Progress.begin(model.predicted)
    driver = lightning_trainer(config.training, model, progress, [clock])
    outside.speed_up(model, config.training, driver.strategy.root_device)
    steps = config.training.samples_per_epoch
    driver.fit(TrainingTask(model, problem, progress), DataLoader([batch(config)] * steps, batch_size=None))
    return clock


def measure(fields: Sequence[str], width: int, precision: str, repeats: int, rows: Path | None) -> None:
    """Train for some steps, and report them."""
    config = configuration(fields, width, precision, WARM_UP + repeats)
    clock = timed(config)
    flops, least = operations(config)
    before, after = (np.array(part) for part in (clock.rates[WARM_UP:-1], clock.rates[WARM_UP + 1 :]))
    steps, limits = clock.steps[WARM_UP:], 2 * flops / (before + after)
    threads = torch.get_num_threads()
    name = f"training step, {described(fields, width, precision)}, {threads} thread{'s'[: threads > 1]}"
    target = Target("ratio", "≥", TARGETS[width]) if len(fields) == 1 and width in TARGETS else None
    unit = "s of CPU" if threads == 1 else "s"
    note = f"operations at the matrix rate; {least / flops:.2f} of the ratio without what attention repeats"
    report(measured(name, steps, unit, target, limits=limits, note=note), rows)
    report(measured(f"{name}, resident", resident() / 1024, "GB"), rows)


def described(fields: Sequence[str], width: int, precision: str) -> str:
    """Say what is trained."""
    of = "one field" if len(fields) == 1 else f"{len(fields)} coupled fields"
    return f"{of}, width {width}, {precision}"


def unmeasurable(rows: Path | None) -> None:
    """Say what this machine cannot show, or this script does not."""
    flags = Path("/proc/cpuinfo")
    if not (flags.exists() and "avx512_bf16" in flags.read_text()):
        name = "training step, one field, width 256, bf16 over float32"
        report(absent(name, "this CPU multiplies no bfloat16", Target("value", "≥", 1.7)), rows)
    gpu = "no GPU" if not torch.cuda.is_available() else "this script stays on the CPU"
    for name, target in (
        ("training step, published single field, bf16 on a GPU", Target("ratio", "≥", 0.5)),
        ("training step, published Multiformer, bf16 on a GPU", Target("ratio", "≥", 0.5)),
        ("loader, share of time that keeps the GPU busy", Target("value", "≥", 0.95)),
    ):
        report(absent(name, gpu, target), rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the widths in turn."""
    made = parser(__doc__)
    made.add_argument("--width", type=int, nargs="+", default=[256, 512])
    made.add_argument("--fields", type=int, default=1, choices=[1, 2, 3], help="how many, coupled")
    made.add_argument("--repeats", type=int, default=9)
    made.add_argument("--threads", type=int, default=2)
    made.add_argument("--precision", choices=["32-true", "bf16-mixed"], default="32-true")
    given = made.parse_args(arguments)
    torch.set_num_threads(given.threads)
    unmeasurable(given.rows)
    for width in given.width:
        measure(FIELDS[: given.fields], width, given.precision, given.repeats, given.rows)


if __name__ == "__main__":
    main()
