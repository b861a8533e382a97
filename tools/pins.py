"""Resolve all extras with pip and write the exact pins: constraints.txt and environment.yml.

Run by `make pins` after a change of dependencies; a test keeps pyproject.toml and both files in step.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

EXTRAS = ".[dev,slurm,trackers]"
HEADER = "# Exact versions for Python 3.11, all extras; written by `make pins`, do not edit.\n"


def resolve() -> list[str]:
    """Return ``name==version`` of everything ``EXTRAS`` needs, keeping present pins where possible."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
    command += ["--report", "-", "--editable", EXTRAS, *sys.argv[1:]]
    report: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = (item["metadata"] for item in report["install"])
    pins = (f"{m['name']}=={m['version'].split('+')[0]}" for m in found if m["name"] != "atmorep")
    return sorted(pins, key=str.lower)


def write(pins: list[str], folder: Path) -> None:
    """Write both files below ``folder``."""
    (folder / "constraints.txt").write_text(HEADER + "\n".join(pins) + "\n")
    environment = {
        "name": "atmorep",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python=3.11", "pip", {"pip": pins}],
    }
    text = yaml.safe_dump(environment, sort_keys=False)
    (folder / "environment.yml").write_text(HEADER + text)


if __name__ == "__main__":
    write(resolve(), Path(__file__).resolve().parent.parent)
