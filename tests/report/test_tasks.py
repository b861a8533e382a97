"""The page of an experiment with a downstream task, whose scores are those of made-up weather."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from downstream.known import Known, reliable
from downstream.made import configuration, make, temperature

from atmorep.downstream.fitted import fit, load
from atmorep.downstream.inputs import Inputs
from atmorep.errors import IntegrityError
from atmorep.evaluation.downstream import TaskEvaluation, score_task
from atmorep.paths import Paths
from atmorep.report.stage import report

from . import artefacts

TASK = {
    "baselines": ["bilinear", "bicubic", "lapse_rate", "regression"],
    "holdout": {"north": 50, "south": 47, "west": 5, "east": 9},
    "scores": {
        "thresholds": [280.0, 284.0],
        "scales": [1, 3],
        "points": {"city": {"latitude": 50.1, "longitude": 8.6}},
    },
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A configuration, its paths and the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("tasks"))
        config = configuration(
            fields={"2t": {"coupled": []}, "msl": None, "tp": None},
            finetune={"down": {"fields": ["2t"], **TASK}},
        )
        artefacts.make(config, {"forecast": artefacts.TASKS["forecast"]})
        relief = 400 * np.random.default_rng(0).random((12, 16))
        make(config, temperature, relief)
        fit(config, "down")
        inputs = Inputs(config, "down")
        score_task(TaskEvaluation(inputs, Known(inputs, reliable), load(inputs)))
        artefacts.make_model(Paths(config).finetuned("down"), "head.")
        report(config)
        root = Path.cwd()
        yield config, Paths(config, root), Paths(config, root).report.read_text()


def test_metrics_are_those_of_fields_and_tasks(written):
    _, paths, _ = written
    table = pd.read_csv(paths.metrics)
    assert set(table.task) == {"forecast", "down"}
    own = pd.read_csv(paths.task_evaluation("down") / "metrics.csv")
    assert (table.task == "down").sum() == len(own)


def test_every_figure_of_the_task_is_there(written):
    _, paths, page = written
    names = {path.name for path in paths.figures.iterdir() if "-down-" in path.name}
    assert names == {
        f"2t-down-{what}"
        for what in (
            "0-0h-map.webp",
            "skill.svg",
            "times.svg",
            "spectra.svg",
            "ranks.svg",
            "reliability.svg",
            "quantiles.svg",
            "diurnal.svg",
            "series.svg",
        )
    }
    for text in ("Wavelength (km)", "Predicted probability (1)", "Quantile of the target (K)"):
        assert text in page or any(text in p.read_text() for p in paths.figures.glob("*.svg"))


def test_tables_say_what_was_fitted_and_what_differs(written):
    _, paths, page = written
    assert re.search(r"Lapse rate</th>\s*<td[^>]*><span>[−\d.e]+ K km⁻¹, offset", page)
    assert re.search(r"mean coefficients: .*one 2\d\d", page)
    tables = re.findall(r"<table>.*?</table>", page, re.S)
    events = [table for table in tables if '<th scope="row">FSS, 3 cells (1)</th>' in table]
    assert len(events) == 2  # domain and holdout
    assert '<th scope="col">Threshold (K)</th>' in events[0]
    own = pd.read_csv(paths.task_evaluation("down") / "metrics.csv")
    value = own.query("metric == 'fss>284@3' and model == 'regression' and region == 'domain'").value.item()
    assert f"{value:.3f}" in page
    assert "Regression RMSE (K)" in page


def test_a_missing_artefact_names_its_stage(written, monkeypatch):
    config, paths, _ = written
    monkeypatch.chdir(paths.root)
    series = paths.task_evaluation("down") / "series.nc"
    aside = series.rename(series.with_suffix(".aside"))
    try:
        with pytest.raises(
            IntegrityError, match=r"series\.nc: is missing \(task down\); run 'atmorep evaluate-t"
        ):
            report(config)
    finally:
        aside.rename(series)
