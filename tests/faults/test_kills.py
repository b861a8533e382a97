"""Every stage killed at its boundaries and in between: run again, it ends as if nothing had been."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from atmorep.verify import verify

from .conftest import Step, Steps
from .harness import FULL, TRIED, assert_same, boundaries, copied, output, run, start

DATA = ("download", "convert", "compare", "sums", "statistics")
TARGETS = ("download-target", "convert-target", "download-static", "static")
MODELS = ("pretrain", "couple", "evaluate", "finetune", "baselines", "evaluate-task", "report")

SLOW = {"pretrain", "couple", "evaluate", "finetune", "evaluate-task", "report"}
STAGES = [*DATA, *TARGETS, *MODELS] if FULL else [*DATA, *TARGETS, "pretrain"]
KILLED_SIGNAL = -9


def chosen(steps: Steps, stage: str) -> Iterator[Step]:
    """Jobs of a stage that are disturbed: the first one, or all."""
    found = (step for step in steps if step.job.stage == stage)
    return found if FULL else islice(found, 1)


def some(count: int, stage: str) -> list[int]:
    """Numbers of the boundaries that are tried, of ``count``."""
    if FULL and (stage not in SLOW or count < 60):
        return list(range(1, count + 1))
    wanted = 30 if FULL else 2
    return sorted({round(1 + (count - 1) * (n + 0.5) / wanted) for n in range(wanted)})


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_killed_at_a_boundary_is_made_good_by_the_next_run(steps, work, stage):
    for step in chosen(steps, stage):
        events = boundaries(copied(step.before, work), step.command)
        assert_same(work, step.after)
        for number in some(len(events), stage):
            killed_and_rerun(step, work, number, events[number - 1])


def killed_and_rerun(step: Step, work: Path, number: int, event: str) -> None:
    copied(step.before, work)
    code = run(work, step.command, death=number)
    what = event.partition(" ")[0].removeprefix("os.")
    TRIED[f"killed before {what} ({step.job.stage})"] += 1
    assert code in (KILLED_SIGNAL, 0), event  # 0: threads let it end first
    assert run(work, step.command) == 0, output(work)
    assert_same(work, step.after)


@pytest.mark.parametrize("stage", STAGES if FULL else ["convert", "pretrain"])
def test_a_stage_killed_at_any_time_is_made_good_by_the_next_run(steps, work, stage):
    draw = random.Random(stage)
    step = next(step for step in steps if step.job.stage == stage)
    began = time.monotonic()
    assert run(copied(step.before, work), step.command) == 0
    seconds = time.monotonic() - began
    for _ in range(8 if FULL else 1):
        process = start(copied(step.before, work), step.command)
        process.join(draw.uniform(0, seconds))
        process.kill()
        process.join()
        TRIED[f"killed at any time ({stage})"] += 1
        assert run(work, step.command) == 0, output(work)
        assert_same(work, step.after)


def test_what_an_undisturbed_run_leaves_is_what_its_manifests_say(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished)
    verify(["data", "models", "results"])
    assert "artefacts are what their manifests say" in capsys.readouterr().out
