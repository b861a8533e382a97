"""What the benchmarks have in common: rows of the table, the rate of matrix products, a synthetic globe.

A figure is measured against a limit in the same minutes, so that its ratio carries over to other machines.
With one thread times are those of the CPU, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

SIZE = 3072
"""Rows and columns of the matrices whose product is timed."""
SCRATCH_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Target:
    """What a row is to reach.

    Attributes:
        of: whether the value or its ratio to the limit.
        sense: which way is better.
        bound: the number to reach.
    """

    of: Literal["value", "ratio"]
    sense: Literal["≥", "≤"]
    bound: float

    def __str__(self) -> str:
        return f"{self.of} {self.sense} {self.bound:g}"

    def reached(self, value: float | None, ratio: float | None) -> bool | None:
        """Whether it is reached; None where nothing was measured."""
        number = value if self.of == "value" else ratio
        if number is None:
            return None
        return number >= self.bound if self.sense == "≥" else number <= self.bound


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what is measured.
        value: median of the repeats; None where it could not be measured.
        unit: its unit.
        limit: what could be had at best, in the same unit.
        ratio: share of the limit that is reached: 1 is the best there is.
        target: what is to be reached, see :class:`Target`.
        reached: whether it is.
        spread: least and largest of the repeats, of the ratio where the target is of it.
        repeats: their number.
        note: what the limit is, or why nothing was measured.
    """

    name: str
    value: float | None = None
    unit: str = ""
    limit: float | None = None
    ratio: float | None = None
    target: str | None = None
    reached: bool | None = None
    spread: tuple[float, float] | None = None
    repeats: int = 0
    note: str = ""

    def __str__(self) -> str:
        if self.value is None:
            return f"{self.name}: not measured: {self.note}"
        parts = [f"{self.name}: {self.value:.4g} {self.unit}"]
        if self.ratio is not None:
            parts.append(f"ratio {self.ratio:.2f} to {self.limit:.4g} ({self.note})")
        if self.spread is not None:
            parts.append("{:.3g} to {:.3g} in {} repeats".format(*self.spread, self.repeats))
        if self.target is not None:
            parts.append(f"target {self.target}: {'reached' if self.reached else 'short'}")
        return "; ".join(parts)


def measured(
    name: str,
    values: Sequence[float] | float,
    unit: str,
    target: Target | None = None,
    *,
    limits: Sequence[float] | float | None = None,
    note: str = "",
) -> Row:
    """Return the row of some repeats.

    Args:
        name: what is measured.
        values: a repeat each: rates (``…/s``, more is better) or costs (less is better).
        unit: of the values.
        target: what is to be reached.
        limits: the best possible in the same minutes, for each repeat or for all.
        note: what the limit is.
    """
    found = np.atleast_1d(np.asarray(values, float))
    ratios, limit = None, None
    if limits is not None:
        best = np.broadcast_to(np.asarray(limits, float), found.shape)
        ratios = found / best if unit.endswith("/s") else best / found
        limit = float(np.median(best))
    value, ratio = float(np.median(found)), None if ratios is None else float(np.median(ratios))
    spreading = found if ratios is None or (target and target.of == "value") else ratios
    return Row(
        name,
        value,
        unit,
        limit,
        ratio,
        str(target) if target else None,
        target.reached(value, ratio) if target else None,
        (float(spreading.min()), float(spreading.max())) if found.size > 1 else None,
        found.size,
        note,
    )


def absent(name: str, why: str, target: Target | None = None) -> Row:
    """Return the row of what could not be measured."""
    return Row(name, target=str(target) if target else None, note=why)


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser of what all benchmarks understand."""
    made = argparse.ArgumentParser(description=description.splitlines()[0])
    made.add_argument("--rows", type=_absolute, help="file to which the rows are added, a line of JSON each")
    return made


def _absolute(path: str) -> Path:
    return Path(path).absolute()


def report(row: Row, rows: Path | None) -> None:
    """Print a row and, if asked for, keep it: what comes later may fail."""
    print(row, flush=True)
    if rows is not None:
        with rows.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def cpu_seconds(work: Callable[[], object]) -> float:
    """Seconds of CPU that ``work`` takes in this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def resident() -> float:
    """Most memory that this process has held at once, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


class Products:
    """Times products of float32 matrices, the limit of what is computed.

    Args:
        now: clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        import torch

        self._now, self._product = now, torch.mm
        self._matrices, self._result = torch.randn(2, SIZE, SIZE), torch.empty(SIZE, SIZE)
        self.rate()  # the first product also starts the threads

    def rate(self) -> float:
        """Return the operations a second of one product."""
        start = self._now()
        self._product(*self._matrices, out=self._result)
        return 2 * SIZE**3 / (self._now() - start)


def scratch() -> str | None:
    """A folder in memory, if there is one with enough room, so that no disk is measured."""
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > SCRATCH_BYTES else None


@contextmanager
def workplace(where: str | None = None) -> Iterator[Path]:
    """Work in a temporary folder below ``where``."""
    before = Path.cwd()
    with TemporaryDirectory(dir=where) as folder:
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
