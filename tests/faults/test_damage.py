"""Files cut short, or with a bit flipped: ``verify`` names them, and no stage takes them for whole."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from atmorep.errors import IntegrityError
from atmorep.verify import verify

from .conftest import Step
from .experiment import FIELDS
from .harness import FULL, TRIED, content, copied, output, run

UNLISTED = (".lock", "config.yaml", "training.csv", "README.md")
"""Ends of the names of files that no manifest lists, where they are no artefacts: they are made anew."""


def artefacts(folder: Path) -> list[Path]:
    """Files that a manifest answers for, relative to ``folder``."""
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    return [f for f in files if not f.name.endswith(UNLISTED) or (f.parts[0] == "models" and _in_bundle(f))]


def _in_bundle(file: Path) -> bool:
    return file.parts[1] != "training" and file.name not in ("README.md",)


def kinds(files: list[Path]) -> list[list[Path]]:
    """Files that are alike: of the same form in folders of the same kind; alone in the full harness."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for file in files:
        folders = [re.sub(r"-?[0-9a-f]{10}$", "", part) for part in file.parts[:4] if part not in FIELDS]
        form = "manifest" if file.name.endswith("manifest.json") else file.suffix
        kind = (*folders[: 3 if "zarr" in str(file) else 2], str("zarr" in str(file)), form)
        alone = FULL and "c" not in file.parts
        found.setdefault(file.parts if alone else kind, []).append(file)
    return list(found.values())


def damaged(data: bytes, draw: random.Random) -> dict[str, bytes]:
    """The same bytes cut short at offsets of all kinds, and with a bit flipped."""
    cuts = {"to nothing": 0, "to a byte": 1, "by half": len(data) // 2, "by a byte": len(data) - 1}
    found = {f"cut {name}": data[:size] for name, size in cuts.items() if size < len(data)}
    for name, place in {"first": 0, "middle": len(data) // 2, "last": len(data) - 1, "any": None}.items():
        flipped = bytearray(data)
        flipped[draw.randrange(len(data)) if place is None else place] ^= 1 << draw.randrange(8)
        found[f"bit flipped, {name} byte"] = bytes(flipped)
    return found


def test_verify_names_each_damaged_file(finished, work, monkeypatch, capsys):
    monkeypatch.chdir(copied(finished, work))
    draw, unseen = random.Random(1), []
    for files in kinds(artefacts(work)):
        for file in [draw.choice(files)]:
            whole = file.read_bytes()
            for what, data in damaged(whole, draw).items():
                if file.suffix == ".json" and data == whole.rstrip():
                    continue  # the end of the last line says nothing
                file.write_bytes(data)
                TRIED[f"{what}, then verify"] += 1
                if not named(file, capsys):
                    unseen.append(f"{file} {what}")
            file.unlink()
            TRIED["deleted, then verify"] += 1
            if not named(file, capsys) and file.suffix != ".json":  # an artefact that is not there
                unseen.append(f"{file} deleted")
            file.write_bytes(whole)
    assert unseen == []


def named(file: Path, capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether ``verify`` refuses, naming the file or the Zarr store that it is in."""
    try:
        verify([file.parts[0]])
    except IntegrityError:
        store = next((parent for parent in file.parents if parent.suffix == ".zarr"), file)
        return str(file) in (found := capsys.readouterr().out) or str(store) in found
    return False


READ_OF_ALL = {
    "convert": ["data/raw"],
    "sums": ["data/store"],
    "statistics": ["data/store"],
    "pretrain": ["data/store"],
    "couple": ["models", "data/store"],
    "evaluate": ["models", "data/store"],
    "convert-target": ["data/targets"],
    "static": ["data/targets"],
    "finetune": ["data", "models"],
    "baselines": ["data"],
    "evaluate-task": ["models", "data"],
    "report": ["results", "models"],
}
"""Folders that hold what a stage reads."""

READ = READ_OF_ALL if FULL else dict(list(READ_OF_ALL.items())[:4])


@pytest.mark.parametrize("stage", READ)
def test_no_stage_takes_a_damaged_file_for_a_whole_one(steps, work, stage):
    step = next(step for step in steps if step.job.stage == stage)
    draw, wrong = random.Random(stage), []
    below = [f for f in artefacts(step.before) if str(f).startswith(tuple(READ[stage]))]
    of_kinds = kinds(below)
    for files in of_kinds if FULL else draw.sample(of_kinds, min(2, len(of_kinds))):
        file = draw.choice(files)
        what, data = draw.choice(list(damaged((step.before / file).read_bytes(), draw).items()))
        (copied(step.before, work) / file).write_bytes(data)
        TRIED[f"{what.partition(',')[0].partition(' to ')[0]}, then {stage}"] += 1
        if problem := taken(step, work, file):
            wrong.append(f"{file}, {what}: {problem}")
    assert wrong == []


def taken(step: Step, work: Path, file: Path) -> str:
    """What is wrong with how a job takes a damaged file: nothing if it refuses, or does not need it."""
    code = run(work, step.command)
    printed = output(work)
    if code == 0:
        ours, theirs = content(work), content(step.after)
        odd = sorted(
            n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n) and n != str(file)
        )
        return f"another outcome, {odd[:5]}" if odd else ""
    if code < 0 or "Traceback" in printed:
        return f"no error that says what to do: {printed[-600:]}"
    return "" if f"atmorep {step.job.stage}: " in printed else f"exit {code}: {printed[-600:]}"
