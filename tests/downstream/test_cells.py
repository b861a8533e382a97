"""Batches of a task from real stores: the guess, the truth, and what is never seen."""

import numpy as np
import pytest
import torch
from downscaling import LAPSE_RATE, TASK, height, truth

from atmorep.config import TargetTask
from atmorep.downstream.batches import Scale, factors
from atmorep.downstream.interval import Interval
from atmorep.downstream.problem import TargetCells
from atmorep.errors import DataError
from atmorep.losses import loss_of
from atmorep.targets.store import evaluation_grid
from atmorep.timeaxis import TimeAxis

NAME = "downscaling"
HELD_OUT = {"north": 51, "south": 41, "west": 11, "east": 40}


def opened(config, purpose="train", rank=0, ranks=1):
    problem = TargetCells(config, NAME)
    return problem, problem.open(purpose, rank, ranks)


def patches(batches, number):
    return [
        batches.reader.patches.draw(batches.starts, batches.share.generator(sample))
        for sample in batches.share.samples(number)
    ]


def test_guess_truth_and_place_are_those_of_the_stores(prepared_task):
    config = prepared_task()
    problem, batches = opened(config)
    batch, axis = batches[1], TimeAxis.of(config.data)
    part, drawn = batch[NAME], patches(batches, 1)
    assert part.target.shape == part.guess.shape == (4, 2, 8, 10)
    guess, target = (problem.scale.physical(x.numpy()) for x in (part.guess, part.target))
    relief = height(evaluation_grid(config, "fine"))
    for sample, patch in enumerate(drawn):
        assert not batch["2t"].blank.any()
        for step in range(2):
            expected = truth(config, axis.at(np.int64(patch.window.start + 2 + step)))  # of the middle token
            np.testing.assert_allclose(target[sample, step], expected, atol=2e-2)
            np.testing.assert_allclose(guess[sample, step], expected + LAPSE_RATE * relief, atol=2e-2)
    weights = evaluation_grid(config, "fine").weights
    np.testing.assert_allclose(part.weight[0, 0], weights, rtol=1e-6)


def test_batches_are_functions_of_their_number_and_ranks_share_them(prepared_task):
    config = prepared_task()
    _, whole = opened(config)
    halves = [opened(config, rank=rank, ranks=2)[1] for rank in (0, 1)]
    for number in (0, 3):
        parts = [half[number][NAME] for half in halves]
        for name in ("target", "guess", "row", "column"):
            joined = torch.cat([getattr(part, name) for part in parts])
            assert torch.equal(joined.nan_to_num(-99), getattr(whole[number][NAME], name).nan_to_num(-99))


@pytest.mark.parametrize("purpose", ["train", "validation"])
def test_held_out_cells_are_never_seen(prepared_task, purpose):
    config = prepared_task({"holdout": HELD_OUT})
    problem, batches = opened(config, purpose)
    assert problem.holdout.sum() == 2 * 6  # 47.5 and 42.5 N, 12.5 to 37.5 E
    for number in range(4):
        target = batches[number][NAME].target
        assert (target.isnan() == torch.from_numpy(problem.holdout)).all()


def test_times_without_a_target_are_not_drawn(prepared_task):
    config = prepared_task()
    times = TimeAxis.of(config.data).times()
    first = times[opened(config)[1].starts]
    gap = [str(t) for t in times if np.datetime64("2001-02-01") <= t < np.datetime64("2001-02-08")]
    left = times[opened(prepared_task(missing=gap))[1].starts]
    offsets = np.array([12, 18], "timedelta64[h]")
    without = np.isin(first[:, None] + offsets, np.array(gap, "datetime64[h]")).all(1)
    assert set(left) == set(first[~without])
    with pytest.raises(
        DataError, match=r"no target, with a guess for it, at any predicted step in data\.periods\.train"
    ):
        opened(prepared_task(missing=[str(t) for t in times[: 4 * 47]]))


def test_cells_without_a_target_have_no_part_in_the_loss(prepared_task):
    config = prepared_task(hole=(slice(2, 5), slice(0, 3)))
    problem, batches = opened(config)
    batch = batches[0]
    members = torch.randn(4, 3, 2, 8, 10, requires_grad=True)
    found = problem.score(lambda *_: members, batch)[NAME]
    known = 4 * 2 * (80 - 9)
    assert problem.counts(batch) == {NAME: known}
    assert found.members.shape == (1, 3, known)
    assert torch.isfinite(found.target).all()
    loss_of({NAME: found}, problem.weights, problem.config.loss).total.backward()
    assert (members.grad[..., 2:5, 0:3] == 0).all()
    assert (members.grad != 0).sum() == 3 * known


def test_members_below_the_floor_count_as_the_floor(prepared_task):
    config = prepared_task({"censored": True})
    problem, batches = opened(config)
    batch = batches[0]
    floor = Scale("2t", *(getattr(problem.scale, name) for name in ("mean", "std"))).floor
    assert floor == pytest.approx(-problem.scale.mean / problem.scale.std)
    members = torch.full((4, 3, 2, 8, 10), floor - 2.0)
    assert problem.score(lambda *_: members, batch)[NAME].members.unique().item() == pytest.approx(
        floor - 0.1
    )


def test_what_is_finer_than_the_grid_is_a_factor_of_its_own():
    coarse = np.repeat(np.repeat(np.full((1, 3, 4), 2.0, np.float32), 2, 1), 2, 2)
    ripple = np.tile(np.array([[1, -1], [-1, 1]], np.float32), (3, 4))
    found = factors(np.stack([coarse[0], coarse[0] + ripple]), 2)
    assert found.shape == (4, 6, 8)
    assert (found[2] == 0).all()
    torch.testing.assert_close(found[3], torch.from_numpy(ripple / ripple.std(ddof=1)))
    assert factors(np.zeros((3, 5, 5), np.float32), 1).shape == (3, 5, 5)


def test_a_sum_is_compared_with_the_hours_of_its_interval(prepared_task):
    """6-hourly states of an accumulation over an hour: twelve times the mean of the two in 12 h."""
    rain = {"field": "tp", "units": "m", "time": {"kind": "sum", "window_hours": 12}}
    config = prepared_task({"guess": {"field": "tp"}, "fields": ["tp"]}, target=rain)
    interval = Interval.of(config, config.target_task(NAME))
    assert interval == Interval(2, 12.0)
    values = np.array([1, 3, 2, 6], np.float32)
    np.testing.assert_array_equal(interval.over(values), [24, 30, 48])
    assert interval.whole(np.array([1, 1, 0, 1, 1], bool)).tolist() == [0, 1, 0, 0, 1]
    temperature = Interval.of(prepared_task(), TargetTask.model_validate(TASK))
    np.testing.assert_array_equal(temperature.over(values), values)
