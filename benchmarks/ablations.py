"""Ablations: one model a variant of the configuration, trained alike, in one table.

    python benchmarks/ablations.py results/demo/config.yaml benchmarks/ablations.yaml > docs/ablations.md

The store and the statistics of the configuration must be there (below the working directory), as after

    snakemake --profile profiles/local --omit-from pretrain

All variants of a seed see the same samples, masks and validation samples, and start from the same seed. What
is trained already is not trained again.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
import yaml
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from atmorep import bundle
from atmorep.config import Config, load, merged, parse
from atmorep.config.base import Section
from atmorep.losses import loss_of
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch
from atmorep.training.data import validation_loader
from atmorep.training.pretrain import pretrain

REPEATS = 7
"""Steps that are timed of each variant."""


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


class Plan(Section):
    """What is trained."""

    field: str
    """ERA5 short name."""
    common: dict[str, Any]
    """What all variants change of the configuration."""
    groups: tuple[Group, ...]
    """Tables."""


def trained(config: Config, field: str) -> pd.Series:
    """Train, where that has not been done, and return the epoch of least validation loss."""
    folder = Paths(config).model(field)
    if not folder.exists():
        with redirect_stdout(sys.stderr):
            pretrain(config, field)
    log = pd.read_csv(folder / bundle.LOG)
    return log.loc[log["val_loss"].idxmin()]


def cost(config: Config, field: str) -> dict[str, float]:
    """Floating-point operations of predicting a sample, parameters, and CPU seconds of a training step."""
    model = bundle.build(config, [field])
    batch = next(iter(validation_loader(config, [field])))
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted, torch.no_grad():
        model({field: batch[field].inputs})  # the other kernels of attention are not counted on a CPU
    times = [_step(model, batch, config) for _ in range(REPEATS)]
    return {
        "flops": counted.get_total_flops() / len(batch[field].source),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "seconds": float(np.median(times)),
    }


def _step(model: torch.nn.Module, batch: Batch, config: Config) -> float:
    start = time.process_time()
    members = model({name: part.inputs for name, part in batch.items()})
    loss_of(members, batch, config).total.backward()
    return time.process_time() - start


def measure(base: dict[str, Any], plan: Plan, group: Group) -> pd.DataFrame:
    """Train all variants of a group; returns a row a variant and seed."""
    rows = []
    for seed in group.seeds:
        for name, changes in group.variants.items():
            changed = merged(merged(base, plan.common), {**changes, "experiment": "ablations"})
            config = parse(merged(changed, {"training": {"seed": seed}}), name)
            best = trained(config, plan.field)
            print(f"{name}, seed {seed}: validation loss {best['val_loss']:.4f}", file=sys.stderr, flush=True)
            losses = {"loss": best["val_loss"], "rmse": best["val_rmse"]}
            rows.append({"variant": name, "seed": seed, **losses, **cost(config, plan.field)})
    return pd.DataFrame(rows)


def table(found: pd.DataFrame, reference: str) -> Iterator[str]:
    """Yield the lines of a Markdown table: means over seeds, differences seed by seed to the reference."""
    yield "| | validation loss | difference | RMSE | MFLOP a sample | time of a step | parameters |"
    yield "|---|---|---|---|---|---|---|"
    losses = found.pivot(index="seed", columns="variant", values="loss")
    means = found.groupby("variant", sort=False).mean()
    for name, row in means.iterrows():
        relative = losses[name] / losses[reference] - 1
        slower = row["seconds"] / means.loc[reference, "seconds"]
        yield (
            f"| {name} | {row['loss']:.4f} | {_difference(relative)} | {row['rmse']:.4f} | "
            f"{row['flops'] / 1e6:.1f} | {slower:.2f} | {row['parameters']:,.0f} |"
        )


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
        print("\n".join(table(found, group.reference)), end="\n\n", flush=True)


if __name__ == "__main__":
    main()
