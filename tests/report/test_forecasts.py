"""The page of an experiment with a fine-tuned forecast task: its scores are in the sections of the fields."""

from pathlib import Path

import pandas as pd
import pytest

from atmorep.errors import IntegrityError
from atmorep.paths import Paths
from atmorep.report.stage import report

from . import artefacts


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = artefacts.configuration(
        fields={"t": None},
        finetune={"ahead": {"kind": "forecast", "hours": 3, "rollout_hours": 6}},
    )
    artefacts.make(config, {"forecast": artefacts.TASKS["forecast"]})
    artefacts.make_forecasts(config, "ahead")
    return config


def test_scores_and_figures_of_the_task_are_shown(config):
    report(config)
    paths = Paths(config)
    table = pd.read_csv(paths.metrics)
    assert set(table.task) == {"forecast", "ahead"}
    page = paths.report.read_text()
    assert '<h3 id="t-ahead">Temperature: ahead</h3>' in page
    assert "Damped persistence RMSE (K)" in page
    assert "Zero-shot RMSE (K)" in page
    assert "go on from themselves, up to 6 h, member by member" in page
    names = {path.name for path in paths.figures.iterdir()}
    assert {"t-ahead-850-skill.svg", "t-ahead-times.svg"} <= names
    assert "t-fine-tuned-for-ahead-training.svg" in names
    assert {name for name in names if name.endswith("map.webp") and "-ahead-" in name}


def test_a_missing_artefact_names_its_stage(config):
    (Paths(config).task_evaluation("ahead") / Path("t", "maps.nc")).unlink()
    with pytest.raises(IntegrityError, match=r"maps\.nc: is missing \(task ahead\); run 'atmorep evaluate-t"):
        report(config)
