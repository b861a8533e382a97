"""Where the results come from: versions, commit, artefacts and the cost of each stage."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import pandas as pd

from atmorep.artefacts import sha256
from atmorep.cli import COMMANDS
from atmorep.report.evidence import Evidence, Trained
from atmorep.report.skill import Cell, Table
from atmorep.report.units import in_order


def commit() -> str:
    """The git commit of the running code, with a note if it was changed; empty if it is not known."""
    here = Path(__file__).resolve()
    try:
        # an installed copy may lie inside another repository: only a tracked file tells
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no", "--", "../")
        return _git(here.parent, "rev-parse", "HEAD") + (" with uncommitted changes" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def versions() -> Table:
    """Versions of Python and of the packages AtmoRep requires."""
    required = [r for r in metadata.requires("atmorep") or () if "extra ==" not in r]
    names = sorted({re.split(r"[^A-Za-z0-9._-]", r)[0] for r in required}, key=str.lower)
    found = [("Python", platform.python_version()), ("atmorep", metadata.version("atmorep"))]
    found += [(name, metadata.version(name)) for name in names]
    rows = tuple((Cell(name), Cell(version)) for name, version in found)
    return Table("Versions", ("Package", "Version"), rows)


def artefacts(files: Iterable[Path]) -> Table:
    """Paths, sizes and SHA-256 of ``files``."""
    rows = tuple(
        (Cell(str(path)), Cell(f"{path.stat().st_size / 1e6:.2f}"), Cell(sha256(path), kind="hash"))
        for path in files
    )
    return Table("Artefacts behind this page", ("File", "Size (MB)", "SHA-256"), rows)


def training_cost(trainings: Iterable[Trained]) -> Table:
    """Size, duration and throughput of the trainings of fields and tasks; coupled fields share one."""
    rows = []
    for training in trainings:
        log = training.log
        samples, seconds = float(log["samples"].iloc[-1]), float(log["seconds"].sum())
        rows.append(
            (
                Cell(training.title),
                Cell(f"{training.parameters:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")),
                Cell(str(len(log))),
                Cell(f"{samples:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")),
                Cell(f"{seconds:.0f}"),
                Cell(f"{log['samples_per_second'].median():.1f}"),
            )
        )
    head = ("Field", "Parameters", "Epochs", "Samples seen", "Time (s)", "Median samples per second")
    return Table("Training", head, tuple(rows))


def stage_cost(folder: Path, files: Iterable[Path]) -> Table | None:
    """Cost of each stage from the workflow's benchmark files; None if there are none.

    Files of jobs for another configuration of the experiment are left out.

    Args:
        folder: holds ``<stage>/**/*.tsv`` as Snakemake writes them: seconds ``s``, peak resident memory
            ``max_rss`` in MiB, mean load ``mean_load`` in per cent of a core.
        files: artefacts whose names carry the identities of this configuration.
    """
    jobs = []
    current = {name for path in files for name in (path.stem, path.parent.name)}
    for path in sorted(folder.rglob("*.tsv")):
        if re.search(r"-[0-9a-f]{10}$", path.stem) and path.stem not in current:
            continue
        job = pd.read_csv(path, sep="\t", na_values="-")
        jobs.append(job.assign(stage=path.relative_to(folder).parts[0].removesuffix(".tsv")))
    if not jobs:
        return None
    rows = []
    table = pd.concat(jobs)
    order = [command.name for command in COMMANDS]
    for stage in in_order(table["stage"], order):
        group = table[table["stage"] == stage]
        seconds, memory = group["s"], group["max_rss"].max()
        load = (group["mean_load"] * seconds).sum() / seconds.sum() / 100 if seconds.sum() else float("nan")
        rows.append(
            (
                Cell(stage),
                Cell(str(len(group))),
                Cell(f"{seconds.sum():.1f}"),
                Cell(f"{seconds.max():.1f}"),
                Cell("–" if pd.isna(memory) else f"{memory:.0f}"),
                Cell("–" if pd.isna(load) else f"{load:.2f}"),
            )
        )
    head = ("Stage", "Jobs", "Sum (s)", "Longest job (s)", "Largest memory (MiB)", "Mean cores in use")
    return Table("Cost of each stage, summed over its jobs in this experiment", head, tuple(rows))


def comparison(evidence: Iterable[Evidence]) -> Table:
    """What the comparison of the store with the raw files found, per field."""
    rows = []
    for field in evidence:
        outcomes = list(field.compared.values())
        hours = sum(int(o["hours"]) for o in outcomes)
        missing = sum(_count(o["missing"]) for o in outcomes)
        worst = max(outcomes, key=lambda o: float(o["max_abs_error"]) - float(o["tolerance"]))
        within = all(float(o["max_abs_error"]) <= float(o["tolerance"]) for o in outcomes)
        rows.append(
            (
                Cell(field.spec.name),
                Cell(str(len(outcomes))),
                Cell(str(hours)),
                Cell(str(missing)),
                Cell(f"{float(worst['max_abs_error']):.2g}"),
                Cell(f"{float(worst['tolerance']):.2g}"),
                Cell(field.spec.units),
                Cell(
                    "equal within the tolerance" if within else "differs",
                    kind="better" if within else "worse",
                ),
            )
        )
    head = ("Field", "Spans", "Hours", "Hours missing", "Largest difference", "Tolerance", "Units", "Result")
    return Table("The store against the raw files", head, tuple(rows))


def _count(missing: object) -> int:
    return len(missing) if isinstance(missing, list) else int(str(missing))
