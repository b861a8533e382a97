"""Two ranks, a core each, against one: samples a second of a training step on the CPU, by the clock.

    python benchmarks/ranks.py

The step is forward, loss, backward and AdamW of one field of the published token grid and width 256, with
2 + 2 blocks instead of 6 + 6 (computation and communication both grow with them), one sample a rank, its
gradients averaged over gloo. Two cores must be free.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import torch
import torch.distributed as dist
from measuring import Target, absent, measured, parser, report
from torch.nn.parallel import DistributedDataParallel
from training_step import FIELDS, batch, configuration

from atmorep import bundle
from atmorep.config import Config
from atmorep.losses import loss_of
from atmorep.training import outside
from atmorep.training.optimizers import build_optimizers
from atmorep.training.problem import MaskedTokens

STEPS = 4
WIDTH, BLOCKS = 256, 2
NAME, TARGET = "two ranks (gloo) against twice one", Target("ratio", "≥", 0.9)


def small() -> Config:
    """The configuration of the training step, with fewer blocks."""
    config = configuration(FIELDS[:1], WIDTH, "32-true", STEPS)
    network = config.network.model_copy(update={"encoder_blocks": BLOCKS, "decoder_blocks": BLOCKS})
    return config.model_copy(update={"network": network})


def steps(rank: int, ranks: int, port: int) -> list[float]:
    """Take steps as one of ``ranks``; returns the seconds of each but the first."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = small()
    problem, given = MaskedTokens(config, FIELDS[:1]), batch(config)
    network = bundle.build(config, FIELDS[:1])
    outside.speed_up(network, config.training, torch.device("cpu"))
    optimizers = build_optimizers(network, config.training)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=ranks)
    model = DistributedDataParallel(network) if ranks > 1 else network
    found = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        loss_of(problem.score(model, given), problem.weights, config.loss).total.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        found.append(time.perf_counter() - start)
    dist.destroy_process_group()
    return found[1:]


def together(ranks: int) -> list[float]:
    """Samples a second of all ranks, step by step."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with ProcessPoolExecutor(ranks, multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(partial(steps, ranks=ranks, port=port), range(ranks)))
    return [ranks / max(times) for times in zip(*found, strict=True)]


def main() -> None:
    """Measure one rank, then two."""
    rows = parser(__doc__).parse_args().rows
    if len(os.sched_getaffinity(0)) < 2:
        report(absent(NAME, "there is but one core", TARGET), rows)
        return
    one = together(1)
    limits = 2 * sorted(one)[len(one) // 2]
    report(measured(NAME, together(2), "samples/s", TARGET, limits=limits, note="twice one rank"), rows)


if __name__ == "__main__":
    main()
