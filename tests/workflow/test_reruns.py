"""Real runs: what a second run, other settings, another month and a broken file lead to."""

import copy
import os
from itertools import product

import pandas as pd
import pytest
from conftest import Workflow
from era5 import experiment, write_experiment, write_month

from atmorep.config import parse
from atmorep.scale import Scale

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def finished(repository, tmp_path_factory):
    """A workflow that has run to its end on two months, and its configuration."""
    workflow = Workflow(repository, tmp_path_factory.mktemp("run"))
    archive = workflow.folder / "archive"
    for month in ("2001-01", "2001-02"):
        write_month(archive, month)
    values = experiment(archive)
    workflow.done(write_experiment(workflow.folder, values))
    return workflow, values


def test_it_delivers_scores_and_report(finished):
    workflow, _ = finished
    metrics = pd.read_csv(workflow.folder / "results/small/metrics.csv")
    assert ",".join(metrics.columns) == "task,model,field,level,lead_hours,region,metric,value,lower,upper,n"
    assert set(metrics.task) == {"reconstruction", "forecast", "temporal_interpolation"}
    assert set(metrics.model) >= {"atmorep", "persistence", "climatology", "linear"}
    assert "<html" in (workflow.folder / "results/small/report.html").read_text()


def test_it_leaves_as_many_files_as_reckoned(finished):
    workflow, values = finished
    scale = Scale(parse(values))
    left = {
        "download": ["data/raw/*/*/*/*.grib*"],
        "convert": ["data/store/*/era5.zarr/*/c/*/0/0/0", "data/store/*/parts/*/*"],
        "compare": ["data/store/*/compared/*/*"],
        "sums": ["data/store/*/sums/*/*"],
        "statistics": ["data/store/*/normalisation/*"],
        "evaluate": ["results/small/evaluation/*/2t/predictions/*/2t/c/**/[0-9]*"],
    }
    for stage in scale.stages():
        found = [path for pattern in left.get(stage.name, ()) for path in workflow.folder.glob(pattern)]
        assert sum(path.is_file() for path in found) == stage.files, stage.name


def test_a_second_run_does_nothing(finished):
    workflow, values = finished
    assert workflow.planned(write_experiment(workflow.folder, values)) == {}


def test_another_name_makes_nothing_but_the_results_anew(finished):
    workflow, values = finished
    planned = workflow.planned(write_experiment(workflow.folder, {**values, "experiment": "other"}))
    assert planned == {"evaluate": 1, "report": 1, "all": 1}


def test_evaluation_settings_rerun_evaluation_only(finished):
    workflow, values = finished
    changed = copy.deepcopy(values)
    changed["evaluation"]["lead_hours"] = [6, 12]
    argument = write_experiment(workflow.folder, changed)
    assert workflow.planned(argument) == {"evaluate": 1, "report": 1, "all": 1}
    models = _times(workflow.folder / "models")
    workflow.done(argument)
    assert _times(workflow.folder / "models") == models
    leads = {
        row.split(",")[4] for row in (workflow.folder / "results/small/metrics.csv").read_text().splitlines()
    }
    assert {"6", "12"} <= {lead.removesuffix(".0") for lead in leads}


def test_another_month_converts_that_month_only(finished):
    workflow, values = finished
    write_month(workflow.folder / "archive", "2001-03")
    longer = copy.deepcopy(values)
    longer["data"]["periods"]["test"][0]["end"] = "2001-03-31"
    argument = write_experiment(workflow.folder, longer)
    once = dict.fromkeys(("download_2t", "convert", "compare_2001", "evaluate", "report", "all"), 1)
    assert workflow.planned(argument) == once
    before = _times(workflow.folder / "data")
    workflow.done(argument, "--until", "compare_2001")
    after = _times(workflow.folder / "data")
    changed = {path for path in after if before.get(path) != after[path]}
    shards = {path for path in changed if "/era5.zarr/2t/c/" in path}
    assert {int(path.split("/c/")[1].split("/")[0]) for path in shards} == set(range(59, 90))
    assert {path for path in changed if "/parts/" in path or "/raw/" in path} == {
        path for path in changed if "2001-03" in path and "/compared/" not in path
    }


def _times(folder):
    """Modification time of each file below ``folder``."""
    files = (os.path.join(top, name) for top, _, names in os.walk(folder) for name in names)
    return {file: os.stat(file).st_mtime_ns for file in files}


def test_coupled_fields_are_trained_together_and_anew_without_pretraining(workflow):
    archive = workflow.folder / "archive"
    for month, field in product(("2001-01", "2001-02"), ("2t", "2d")):
        write_month(archive, month, field)
    values = experiment(archive) | {"fields": {"2t": {"coupled": ["2d"]}, "2d": {"coupled": ["2t"]}}}
    workflow.done(write_experiment(workflow.folder, values))
    metrics = pd.read_csv(workflow.folder / "results/small/metrics.csv")
    assert set(metrics.loc[metrics.metric == "rmse_minus_single", "field"]) == {"2t", "2d"}
    report = (workflow.folder / "results/small/report.html").read_text()
    for text in ("Against field alone", "2d to 2t; 2t to 2d", "Training of 2d, coupled:"):
        assert text in report
    values["coupling"] = {"training": {**values["training"], "epochs": 2}}
    argument = write_experiment(workflow.folder, values)
    assert workflow.planned(argument) == {"couple": 1, "evaluate": 1, "report": 1, "all": 1}


@pytest.fixture
def two_months(workflow):
    """An archive of two months in the working directory, not yet read."""
    archive = workflow.folder / "archive"
    return archive, [write_month(archive, month) for month in ("2001-01", "2001-02")]


def test_a_truncated_file_stops_its_own_month_only(workflow, two_months):
    archive, (_, second) = two_months
    second.write_bytes(second.read_bytes()[:-100])
    argument = write_experiment(workflow.folder, experiment(archive))
    done = workflow.run(argument, "--keep-going", "--until", "compare_2001", "statistics")
    assert done.returncode
    assert f"{second}, message 112" in done.stdout
    assert "truncated or corrupted" in done.stdout
    names = [path.name for path in (workflow.folder / "data").rglob("*") if path.is_file()]
    assert "2001-01.grib" in names
    assert "2001-02.grib" not in names
    assert not [name for name in names if name.endswith(".part")]
    assert {path.stem for path in workflow.folder.glob("data/store/*/parts/2t/*")} == {"2001-01"}
    assert list(workflow.folder.glob("data/store/*/normalisation/2t-*.nc"))


def test_it_goes_on_once_the_file_is_mended(workflow, two_months):
    archive, (_, second) = two_months
    whole = second.read_bytes()
    second.write_bytes(whole[:-100])
    argument = write_experiment(workflow.folder, experiment(archive))
    assert workflow.run(argument, "--keep-going", "--until", "compare_2001").returncode
    second.write_bytes(whole)
    once = dict.fromkeys(("download_2t", "convert", "compare_2001"), 1)
    assert workflow.planned(argument, "--until", "compare_2001") == once
    workflow.done(argument, "--until", "compare_2001")
