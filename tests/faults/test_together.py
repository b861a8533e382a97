"""The same work begun twice at once, and a clock that jumps: the outcome is that of one run."""

from __future__ import annotations

import pytest

from .harness import FULL, TRIED, assert_same, boundaries, copied, output, run, start

YEAR = 365 * 86400.0
TWICE = ["download", "convert", "sums"]
if FULL:
    TWICE += ["compare", "statistics", "download-target", "convert-target", "static"]


@pytest.mark.parametrize("stage", TWICE)
def test_a_job_started_twice_at_once(steps, work, stage):
    step = next(step for step in steps if step.job.stage == stage)
    for _ in range(10 if FULL else 1):
        copied(step.before, work)
        both = [start(work, step.command) for _ in range(2)]
        for process in both:
            process.join(120)
        TRIED[f"started twice at once ({stage})"] += 1
        assert [process.exitcode for process in both] == [0, 0], output(work)
        assert_same(work, step.after)


def test_fields_converted_at_once_from_nothing(steps, work):
    first, second = (s for s in steps if s.job.stage == "convert" and s.job.options[3].startswith("2001-01"))
    wanted = next(s for s in steps if s.job.stage == "compare").before
    others = [s for s in steps if s.job.stage == "convert" and s not in (first, second)]
    for _ in range(10 if FULL else 2):
        copied(first.before, work)
        both = [start(work, step.command) for step in (first, second)]
        for process in both:
            process.join(120)
        TRIED["two fields converted at once"] += 1
        assert [process.exitcode for process in both] == [0, 0], output(work)
        for step in others:
            assert run(work, step.command) == 0, output(work)
        assert_same(work, wanted)


@pytest.mark.parametrize("stage", ["convert", "pretrain"] if FULL else ["convert"])
def test_a_clock_that_jumps_between_a_kill_and_the_next_run(steps, work, stage):
    step = next(step for step in steps if step.job.stage == stage)
    count = len(boundaries(copied(step.before, work), step.command))
    for jump in (YEAR, -YEAR):
        copied(step.before, work)
        run(work, step.command, death=count // 2, CLOCK=str(jump))
        assert run(work, step.command, CLOCK=str(-jump)) == 0, output(work)
        TRIED[f"clock jumps by a year ({stage})"] += 1
        assert_same(work, step.after)
