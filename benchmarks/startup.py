"""What starting a stage costs, in seconds of CPU: `atmorep --help`, and the imports of each rule's command.

    python benchmarks/startup.py

Every repeat is a new Python; a stage's figure is all that it imports before it begins to work.
"""

from __future__ import annotations

import os
import subprocess
import sys

from measuring import Row, Target, measured, parser, report

from atmorep.cli import COMMANDS

REPEATS = 1


def cpu_seconds_of(*arguments: str) -> float:
    """Seconds of CPU that Python takes for ``arguments``."""
    before = os.times()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def start(*arguments: str, repeats: int = REPEATS) -> list[float]:
    """Repeats of :func:`cpu_seconds_of`; the first, which fills caches, does not count."""
    return [cpu_seconds_of(*arguments) for _ in range(repeats + 1)][1:]


def stages() -> dict[str, list[str]]:
    """Names of the stages by the module each imports."""
    found: dict[str, list[str]] = {}
    for command in COMMANDS:
        if command.configured:
            found.setdefault(command.function.split(":")[0], []).append(command.name)
    return found


def row(module: str, names: list[str]) -> Row:
    """Measure the imports of a module."""
    program = f"import atmorep.cli, atmorep.config, atmorep.{module}"
    return measured(f"start of {', '.join(names)}", start("-c", program), "s of CPU")


def main() -> None:
    """Measure the help, then the stages."""
    rows = parser(__doc__).parse_args().rows
    target = Target("value", "≤", 0.3)
    report(measured("atmorep --help", start("-m", "atmorep", "--help", repeats=5), "s of CPU", target), rows)
    for module, names in stages().items():
        report(row(module, names), rows)


if __name__ == "__main__":
    main()
