"""Training begins at a linear regression: on guess and static fields, or cell by cell on guess and hour."""

import numpy as np
import torch
from downscaling import LAPSE_RATE

from atmorep.downstream.bundle import load
from atmorep.downstream.finetune import finetune
from atmorep.downstream.model import build
from atmorep.downstream.problem import TargetCells
from atmorep.downstream.start import regression
from atmorep.paths import Paths

NAME = "downscaling"
LOCAL = {"guess": {"field": "2t", "regression": "cells"}}


def begun(config):
    """The task's problem, and its untrained model where training begins."""
    problem, model = TargetCells(config, NAME), build(config, NAME)
    coefficients = regression(problem.open("train", rank=0, ranks=1))
    model.head.begin_at(coefficients)
    return problem, model, coefficients


def test_a_target_linear_in_guess_and_height_is_predicted_from_the_start(prepared_task):
    error, spread = error_at_start(prepared_task())
    assert error < 0.1 * LAPSE_RATE * 1000  # K; heights differ by 2000 m
    assert spread > 0


def error_at_start(config):
    """Largest departure of the members' mean from the target in K, and of the members from each other."""
    problem, model, _ = begun(config)
    batch = problem.open("validation", rank=0, ranks=1)[0]
    with torch.no_grad():
        members = model.eval()({name: batch[name].inputs for name in problem.fields}, batch[NAME].cells)
    return float((members.mean(1) - batch[NAME].target).abs().max()) * problem.scale.std, members.std(1).min()


def test_cell_by_cell_heights_need_not_be_told(prepared_task):
    error, _ = error_at_start(prepared_task({"guess": {"field": "2t"}, "statics": []}))
    assert error > 0.5 * LAPSE_RATE * 1000
    error, _ = error_at_start(prepared_task(LOCAL | {"statics": []}))
    assert error < 0.1 * LAPSE_RATE * 1000


def test_cells_without_a_target_get_the_regression_of_the_others(prepared_task):
    hole = (slice(0, 4), slice(0, 5))
    config = prepared_task(LOCAL, hole=hole)
    problem = TargetCells(config, NAME)
    inside = problem.local[:, :4, :5]
    assert np.ptp(inside, axis=(1, 2)).max() == 0  # one for all
    assert np.ptp(problem.local[0]) * problem.scale.std > 0.5 * LAPSE_RATE * 2000
    np.testing.assert_allclose(problem.local[1], 1, atol=0.05)


def test_the_regression_goes_with_the_bundle(prepared_task):
    config = prepared_task(LOCAL | {"core": "scratch"})
    finetune(config, NAME)
    loaded = load(Paths(config).finetuned(NAME))
    np.testing.assert_array_equal(loaded.local, TargetCells(config, NAME).local)


def test_missing_cells_take_no_part(prepared_task):
    _, _, whole = begun(prepared_task())
    _, _, holed = begun(prepared_task(hole=(slice(0, 4), slice(0, 5))))
    assert holed.isfinite().all()
    torch.testing.assert_close(holed, whole, rtol=0.05, atol=0.02)
