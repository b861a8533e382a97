"""All benchmarks, one after the other: prints the table and writes it to results.json and docs/benchmarks.md.

    make benchmark          # or: python benchmarks/run.py [--minutes 12]

A benchmark that fails, or for which no time is left, leaves the rows it has; the others go on. Nothing else
should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from measuring import Target, absent

HERE = Path(__file__).parent
RESULTS, DOCS = HERE / "results.json", HERE.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    ("demo.py",),
    ("startup.py",),
    ("convert.py",),
    ("reading.py",),
    ("inference.py",),
    ("ranks.py",),
    ("training_step.py", "--width", "256", "--repeats", "4"),
    ("training_step.py", "--width", "512", "--repeats", "3"),
    ("training_step.py", "--width", "256", "--fields", "3", "--repeats", "1"),
    ("training_step.py", "--width", "1024", "--repeats", "1"),
)
"""Scripts and their arguments, those that can be done without last."""
ELSEWHERE = absent(
    "cost to a validation loss, published form over ours",
    "trains for hours: benchmarks/ablations.py, table in ablations.md",
    Target("value", "≥", 3),
)
BEGIN, END = "<!-- table: written by benchmarks/run.py -->", "<!-- end of the table -->"
PACKAGES = ("torch", "numpy", "tensorstore", "numcodecs", "zarr", "eccodes", "lightning")

Line = dict[str, Any]


def run(command: Sequence[str], seconds: float) -> list[Line]:
    """Run a benchmark; returns its rows, and one that says so if it was not finished."""
    print(f"\n{' '.join(command)}", flush=True)
    with TemporaryDirectory() as folder:
        rows, why = Path(folder) / "rows", ""
        program = [sys.executable, str(HERE / command[0]), *command[1:], "--rows", str(rows)]
        try:
            done = subprocess.run(program, timeout=max(1.0, seconds), check=False)
            why = f"ended with status {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = "no time was left"
        found = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    return [*found, *([asdict(absent(" ".join(command), why))] if why else [])]


def unique(lines: Sequence[Line]) -> list[Line]:
    """Return the rows by name, each once: several runs of a script say what they cannot measure."""
    return list({line["name"]: line for line in lines}.values())


def machine() -> str:
    """Say on what was measured."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(": ")[1] for line in lines if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split()[1] if info.exists() else "0"
    cpu = f"{len(names)} cores of {names[0]}" if names else platform.processor()
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cpu}, {int(memory) / 2**20:.0f} GB; Python {platform.python_version()}, {packages}."


def table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield the lines of the Markdown table."""
    yield "| | value | limit | ratio | repeats | target | |"
    yield "|---|---|---|---|---|---|---|"
    for line in lines:
        reached = {True: "reached", False: "short", None: ""}[line["reached"]]
        cells = [line["name"], *_numbers(line), line["target"] or "", reached]
        yield "| " + " | ".join(cells) + " |"


def _numbers(line: Line) -> list[str]:
    if line["value"] is None:
        return [f"not measured: {line['note']}", "", "", ""]
    limit = f"{line['limit']:.4g}: {line['note']}" if line["limit"] is not None else line["note"]
    ratio = f"{line['ratio']:.2f}" if line["ratio"] is not None else ""
    spread = "{:.3g} to {:.3g}, {}".format(*line["spread"], line["repeats"]) if line["spread"] else "1"
    return [f"{line['value']:.4g} {line['unit']}".strip(), limit, ratio, spread]


def document(text: str, lines: Sequence[Line]) -> str:
    """Return ``text`` with the table put in the place of the one before."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    now = time.strftime("%Y-%m-%d")
    return "\n".join([f"{before}{BEGIN}", f"{machine()} Measured {now}.", "", *table(lines), f"{END}{after}"])


def main() -> None:
    """Run all within the time."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12, help="time for all")
    end = time.monotonic() + 60 * parser.parse_args().minutes
    lines = []
    for command in BENCHMARKS:
        lines += run(command, end - time.monotonic())
    lines = unique([*lines, asdict(ELSEWHERE)])
    RESULTS.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n")
    DOCS.write_text(document(DOCS.read_text(), lines))
    print("\n" + "\n".join(table(lines)))


if __name__ == "__main__":
    main()
