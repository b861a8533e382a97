"""Training begins at the linear regression of the target on guess and static fields."""

import torch
from downscaling import LAPSE_RATE

from atmorep.downstream.model import build
from atmorep.downstream.problem import TargetCells
from atmorep.downstream.start import regression

NAME = "downscaling"


def begun(config):
    """The task's problem, and its untrained model where training begins."""
    problem, model = TargetCells(config, NAME), build(config, NAME)
    coefficients = regression(problem.open("train", rank=0, ranks=1))
    model.head.begin_at(coefficients)
    return problem, model, coefficients


def test_a_target_linear_in_guess_and_height_is_predicted_from_the_start(prepared_task):
    problem, model, _ = begun(prepared_task())
    batch = problem.open("validation", rank=0, ranks=1)[0]
    with torch.no_grad():
        members = model.eval()({name: batch[name].inputs for name in problem.fields}, batch[NAME].cells)
    error = members.mean(1) - batch[NAME].target
    assert error.abs().max() * problem.scale.std < 0.1 * LAPSE_RATE * 1000  # K; heights differ by 2000 m
    assert members.std(1).min() > 0


def test_missing_cells_take_no_part(prepared_task):
    _, _, whole = begun(prepared_task())
    _, _, holed = begun(prepared_task(hole=(slice(0, 4), slice(0, 5))))
    assert holed.isfinite().all()
    torch.testing.assert_close(holed, whole, rtol=0.05, atol=0.02)
