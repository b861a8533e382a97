import numpy as np
import pytest

from atmorep.config import parse
from atmorep.config.downstream import ZERO_SHOT
from atmorep.evaluation.tasks import TASKS, forecast, hindcast, spatial, tasks, to_points

from .known import SETTINGS, merged


def config(**changes):
    return parse(merged(SETTINGS, changes))


def points(task, config, field, seed=0):
    tokens = (len(config.model_levels(field)), *config.tokens(field).shape)
    mask = task.strategy.select(tokens, np.random.default_rng(seed))
    return to_points(mask, config.token_size(field).shape)


@pytest.mark.parametrize(("time", "token", "leads"), [(6, 2, [6, 12]), (12, 3, [6, 12, 24]), (8, 2, [18])])
def test_a_forecast_sees_nothing_after_its_initial_time(time, token, leads):
    setting = config(
        network={"neighbourhood": {"time": time}, "token_size": {"time": token}},
        evaluation={"lead_hours": leads},
    )
    task = forecast(setting, "t")
    hidden = points(task, setting, "t")
    assert hidden[task.initial_step + 1 :].all()
    assert not hidden[: task.initial_step + 1].any()
    assert task.lead_hours == tuple(leads)
    assert [6 * (s - task.initial_step) for s in task.steps] == leads
    assert hidden[list(task.steps)].all()
    assert (time - 1 - task.initial_step) * 6 - leads[-1] < token * 6  # no token more than needed


@pytest.mark.parametrize(("time", "token", "leads"), [(6, 2, [6, 12]), (12, 3, [6, 12, 24]), (8, 2, [18])])
def test_a_hindcast_sees_nothing_before_its_initial_time(time, token, leads):
    setting = config(
        network={"neighbourhood": {"time": time}, "token_size": {"time": token}},
        evaluation={"lead_hours": leads},
    )
    task = hindcast(setting, "t")
    hidden = points(task, setting, "t")
    assert hidden[: task.initial_step].all()
    assert not hidden[task.initial_step :].any()
    assert task.lead_hours == tuple(-lead for lead in reversed(leads))
    assert [6 * (s - task.initial_step) for s in task.steps] == list(task.lead_hours)
    assert min(task.steps) >= 0


def test_a_gap_in_space_is_the_same_at_all_times_and_levels_and_in_all_fields():
    setting = config(evaluation={"gap_ratio": 0.5})
    task = spatial(setting, "t")
    hidden = points(task, setting, "t")
    assert hidden[0].mean() == 0.5
    assert (hidden == hidden[0, 0]).all()
    assert (points(spatial(setting, "2t"), setting, "2t")[0, 0] == hidden[0, 0]).all()
    assert any((points(task, setting, "t", seed) != hidden).any() for seed in (1, 2, 3))


def test_interpolation_hides_the_middle_token_only():
    setting = config(network={"neighbourhood": {"time": 10}})
    task = tasks(setting, "t")[2]
    hidden = points(task, setting, "t")
    assert np.flatnonzero(hidden.all((1, 2, 3))).tolist() == [4, 5] == list(task.steps)
    assert hidden.sum() == hidden[4:6].size
    assert task.initial_step == 3
    assert task.lead_hours == (6, 12)


def test_reconstruction_hides_the_share_on_each_level():
    setting = config(evaluation={"mask_ratio": 0.25})
    task = tasks(setting, "t")[0]
    hidden = points(task, setting, "t")
    assert hidden.shape == (6, 2, 4, 6)
    assert hidden.mean(axis=(0, 2, 3)).tolist() == [0.25, 0.25]
    assert (hidden != points(task, setting, "t", seed=1)).any()


@pytest.mark.parametrize(
    ("time", "names"),
    [
        (6, ["reconstruction", "forecast", "temporal_interpolation"]),
        (4, ["reconstruction", "forecast"]),
    ],
)
def test_a_short_neighbourhood_has_fewer_tasks(time, names):
    assert [t.name for t in tasks(config(network={"neighbourhood": {"time": time}}), "t")] == names
    without = config(network={"neighbourhood": {"time": time}}, evaluation={"lead_hours": []})
    assert "forecast" not in [t.name for t in tasks(without, "t")]


def test_only_what_is_asked_for_in_the_order_of_the_tasks():
    asked = ["spatial", "hindcast", "reconstruction"]
    found = tasks(config(evaluation={"tasks": asked}), "t")
    assert [t.name for t in found] == ["reconstruction", "hindcast", "spatial"]


def test_masks_cover_whole_tokens():
    mask = np.zeros((1, 2, 1, 2), bool)
    mask[0, 1, 0, 1] = True
    spread = to_points(mask, (3, 2, 2))
    assert spread.shape == (6, 1, 2, 4)
    assert spread[3:, 0, :, 2:].all()
    assert spread.sum() == 12


def test_no_task_of_ones_own_has_the_name_of_these():
    assert [make.__name__ for make in TASKS] == list(ZERO_SHOT)
