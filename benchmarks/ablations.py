"""Ablations: one model a variant of the configuration, trained alike, in one table.

    python benchmarks/ablations.py results/demo/config.yaml benchmarks/ablations.yaml

The store and the statistics of the configuration must be there (below the working directory), as after

    snakemake --profile profiles/local --omit-from pretrain

All variants of a seed see the same samples, masks and validation samples, and start from the same seed. What
is trained already is not trained again. Operations are those of training (forward, backward, optimiser), in
matrix products and attention only. A variant has reached the reference when its validation RMSE, after an
epoch, is at most the least that the reference ever had with the same seed.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from itertools import islice
from pathlib import Path
from typing import Any, Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
import yaml
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from atmorep import bundle
from atmorep.config import Config, load, merged, parse
from atmorep.config.base import Section
from atmorep.losses import loss_of
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch
from atmorep.training.loaders import training_loader
from atmorep.training.optimizers import build_optimizers
from atmorep.training.pretrain import pretrain
from atmorep.training.problem import MaskedTokens

BATCHES = 7
"""Training steps of each variant that are counted and timed; with visible tokens only they differ."""


class Group(Section):
    """Variants that are compared with each other."""

    title: str
    """Heading of the table."""
    reference: str
    """Variant that the others are compared with."""
    seeds: tuple[int, ...]
    """Seeds of the trainings of each variant."""
    variants: dict[str, dict[str, Any]]
    """What each variant changes of the configuration, by name."""
    score: Literal["loss", "rmse"] = "loss"
    """What differences are of: losses of different terms do not compare, errors do."""


class Plan(Section):
    """What is trained."""

    field: str
    """ERA5 short name."""
    common: dict[str, Any]
    """What all variants change of the configuration."""
    groups: tuple[Group, ...]
    """Tables."""


def trained(config: Config, field: str) -> pd.DataFrame:
    """Train, where that has not been done, and return the log, a row an epoch."""
    folder = Paths(config).model(field)
    if not folder.exists():
        with redirect_stdout(sys.stderr):
            pretrain(config, field)
    return pd.read_csv(folder / bundle.LOG)


def cost(config: Config, field: str) -> dict[str, float]:
    """Floating-point operations of training on a sample, parameters, and CPU seconds of a training step."""
    model, problem = bundle.build(config, [field]), MaskedTokens(config, [field])
    optimizers = build_optimizers(model, config.training)
    batches = list(islice(training_loader(problem), BATCHES))
    times = [_step(model, optimizers, batch, problem) for batch in batches]
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        for batch in batches:  # the other kernels of attention are not counted on a CPU
            _step(model, optimizers, batch, problem)
    return {
        "flops": counted.get_total_flops() / sum(len(batch[field].source) for batch in batches),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": float(np.median(times)),
    }


def _step(model: nn.Module, optimizers: Sequence[Optimizer], batch: Batch, problem: MaskedTokens) -> float:
    start = time.process_time()
    loss_of(problem.score(model, batch), problem.weights, problem.config.loss).total.backward()
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad()
    return time.process_time() - start


def measure(base: dict[str, Any], plan: Plan, group: Group) -> pd.DataFrame:
    """Train all variants of a group; returns a row a variant and seed."""
    rows = []
    for seed in group.seeds:
        for name, changes in group.variants.items():
            changed = merged(merged(base, plan.common), {**changes, "experiment": "ablations"})
            config = parse(merged(changed, {"training": {"seed": seed}}), name)
            log = trained(config, plan.field)
            best = log.loc[log["val_loss"].idxmin()]
            print(f"{name}, seed {seed}: validation loss {best['val_loss']:.4f}", file=sys.stderr, flush=True)
            rows.append({"variant": name, "seed": seed, **cost(config, plan.field)})
            rows[-1] |= {"loss": best["val_loss"], "rmse": best["val_rmse"]}
            rows[-1] |= {"samples": config.training.samples_per_epoch, "epochs": list(log["val_rmse"])}
    return pd.DataFrame(rows)


def table(found: pd.DataFrame, reference: str, score: str) -> Iterator[str]:
    """Yield the lines of a Markdown table: means over seeds, differences seed by seed to the reference."""
    yield (
        f"| | validation loss | RMSE | difference ({'RMSE' if score == 'rmse' else score}) | MFLOP a sample "
        "| TFLOP to reach the reference | time of a step | parameters |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    scores = found.pivot(index="seed", columns="variant", values=score)
    spent = reached(found, reference)
    means = found.groupby("variant", sort=False).mean(numeric_only=True)
    for name, row in means.iterrows():
        slower = row["seconds"] / means.loc[reference, "seconds"]
        yield (
            f"| {name} | {row['loss']:.4f} | {row['rmse']:.4f} | "
            f"{_difference(scores[name] / scores[reference] - 1)} | {row['flops'] / 1e6:.1f} | "
            f"{_spent(spent[name], spent[reference])} | {slower:.2f} | {row['parameters']:,.0f} |"
        )


def reached(found: pd.DataFrame, reference: str) -> pd.DataFrame:
    """Operations until the RMSE is at most the reference's least, by seed and variant; NaN where never."""
    goals = found[found["variant"] == reference].set_index("seed")["epochs"].map(min)
    epochs = [
        next((n for n, error in enumerate(row["epochs"], 1) if error <= goals[row["seed"]]), math.nan)
        for _, row in found.iterrows()
    ]
    spent = found.assign(spent=np.array(epochs) * found["samples"] * found["flops"])
    return spent.pivot(index="seed", columns="variant", values="spent")


def _spent(spent: pd.Series, reference: pd.Series) -> str:
    """Mean over seeds and, as a factor, how many times less than the reference."""
    if spent.isna().any():
        return "never" if spent.isna().all() else f"{spent.notna().sum()} of {len(spent)} seeds"
    return f"{spent.mean() / 1e12:.3f} ({(reference / spent).mean():.1f} x less)"


def _difference(relative: pd.Series) -> str:
    """Mean and, of several seeds, its standard error, in percent."""
    if not relative.any():
        return "reference"
    error = relative.std(ddof=1) / math.sqrt(len(relative)) if len(relative) > 1 else math.nan
    return f"{100 * relative.mean():+.1f} %" + ("" if math.isnan(error) else f" ± {100 * error:.1f} %")


def main() -> None:
    """Train what is not trained yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="YAML file of the experiment")
    parser.add_argument("plan", type=Path, help="YAML file of the variants")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    base = load(arguments.config).model_dump(mode="json")
    plan = Plan.model_validate(yaml.safe_load(arguments.plan.read_text()))
    for group in plan.groups:
        found = measure(base, plan, group)
        seeds = "one seed" if len(group.seeds) == 1 else f"mean of {len(group.seeds)} seeds"
        print(f"## {group.title}\n\n{seeds[0].upper()}{seeds[1:]}.\n")
        print("\n".join(table(found, group.reference, group.score)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
