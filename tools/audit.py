"""Look for known vulnerabilities of what constraints.txt pins: `make audit`, and CI, which it never stops.

Asks PyPI's advisories through pip-audit, which is installed to a folder for the moment: it is no dependency.
Where PyPI cannot be reached, or is a mirror without advisories, it says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import requests  # type: ignore[import-untyped]

DATABASE = "https://pypi.org/pypi/{}/{}/json"
WAIT_SECONDS = 10
LONGEST_SECONDS = 300


def unreachable() -> str:
    """Why the database cannot be asked, tried with the first pin; empty where it can."""
    first = next(line for line in Path("constraints.txt").read_text().splitlines() if "==" in line)
    url = DATABASE.format(*first.split("=="))
    try:
        response = requests.get(url, timeout=WAIT_SECONDS)
        response.raise_for_status()
        return "" if "vulnerabilities" in response.json() else f"{url} knows no advisories"
    except requests.RequestException as error:
        return f"{url}: {type(error).__name__}"


def audit(folder: str) -> int:
    """Install pip-audit to ``folder`` and run it; its exit status."""
    install = ("pip", "install", "--quiet", "--target", folder, "pip-audit>=2.7,<3")
    look = ("pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip")
    subprocess.run([sys.executable, "-m", *install], check=True, timeout=LONGEST_SECONDS)
    found = subprocess.run(
        [sys.executable, "-m", *look, "--progress-spinner", "off"],
        env={**os.environ, "PYTHONPATH": folder},
        timeout=LONGEST_SECONDS,
    )
    return found.returncode


def main() -> int:
    """Audit; 0 where nothing is known or nobody can be asked."""
    if reason := unreachable():
        print(f"audit: skipped, no database ({reason})")
        return 0
    with TemporaryDirectory() as folder:
        try:
            return audit(folder)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"audit: skipped, pip-audit cannot be had ({error})")
            return 0


if __name__ == "__main__":
    sys.exit(main())
