"""What Snakemake plans for each configuration that is shipped, and what it refuses to plan."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from atmorep.config import load
from atmorep.paths import Paths
from atmorep.scale import Scale
from atmorep.timeaxis import data_spans

NO_KEY = {"CDSAPI_URL": "https://cds.climate.copernicus.eu/api", "CDSAPI_KEY": ""}


def test_demo_is_the_default(workflow, repository):
    config = load(repository / "config/demo.yaml")
    planned = workflow.planned()
    fields, months = len(config.fields), len(data_spans(config.data))
    assert planned["download_all"] == months
    assert planned["convert"] == fields * months
    assert planned["compare_2001"] == planned["sums_2001"] == fields
    assert planned["pretrain"] == fields
    assert planned["couple"] == planned["evaluate"] == planned["report"] == 1
    for target in config.targets:
        assert planned[f"download_target_{target}"] == planned[f"convert_target_{target}"] == months
    for task in config.finetune:
        assert planned[f"finetune_{task}"] == planned[f"evaluate_{task}"] == 1
    assert jobs_by_stage(planned) == {stage.name: stage.jobs for stage in Scale(config).stages()}
    assert not (workflow.folder / "results").exists()


def jobs_by_stage(planned):
    """Number of planned jobs of each stage, as `atmorep scale` calls it."""
    found = {}
    for rule, count in planned.items():
        first, *rest = rule.split("_")
        if first == "evaluate" and rest:
            stage = "evaluate-task"
        else:
            stage = f"{first}-{rest[0]}" if rest and rest[0] in ("target", "static") else first
        found[stage] = found.get(stage, 0) + count
    found.pop("all")
    return found


def test_a_file_of_ones_own_inherits_nothing_from_the_demo(workflow, repository):
    values = yaml.safe_load((repository / "config/demo.yaml").read_text())
    kept = {key: values[key] for key in ("experiment", "source", "data")} | {
        "evaluation": {"lead_hours": [3]}
    }
    kept["data"]["grid"] |= {"east": 359, "resolution": 1}
    path = workflow.folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**kept, "fields": {"u": {}}}))
    assert workflow.planned("--configfile", str(path))["pretrain"] == 1


def test_values_are_overridden_one_by_one(workflow):
    done = workflow.run("--dry-run", "--config", "network={embed_dim: 100, heads: 7}")
    assert done.returncode
    assert "network: embed_dim = 100 must be even and a multiple of network.heads = 7" in done.stdout
    assert "Traceback" not in done.stdout


def test_a_wrong_value_is_refused_before_any_job(workflow):
    done = workflow.run("--config", "trainin={epochs: 1}")
    assert done.returncode
    assert "trainin" in done.stdout
    assert "did you mean 'training'?" in done.stdout
    assert not (workflow.folder / "data").exists()


@pytest.mark.parametrize(
    ("name", "fields", "models", "months"),
    [("uk-2t", 1, 1, 1), ("north-atlantic", 3, 1, 1), ("western-europe", 2, 2, 96)],
)
def test_examples(workflow, repository, shared, name, fields, models, months):
    values = yaml.safe_load((repository / f"config/examples/{name}.yaml").read_text())
    assert values["experiment"] == name
    folder = values["source"]["folder"].replace("../shared/data", str(shared))
    override = ["--config", f"source={{folder: {folder}}}"]
    planned = workflow.planned("--configfile", str(repository / f"config/examples/{name}.yaml"), *override)
    assert planned["convert"] == fields * months
    assert planned["evaluate"] == models


def test_a_level_the_source_lacks_is_refused(workflow, repository, shared):
    done = workflow.run(
        "--dry-run",
        "--configfile",
        str(repository / "config/examples/uk-2t.yaml"),
        "--config",
        f"source={{folder: {shared / 'era5_grib'}}}",
        "fields={t: {}, 2t: {}}",
    )
    assert done.returncode
    assert "era5-2mt-2019-03-uk.grib: no message of field t on model level 96" in done.stdout
    assert "the files hold 2t surface 0; correct fields or data.levels" in done.stdout
    assert "Traceback" not in done.stdout


def test_files_of_targets_and_static_fields(workflow, repository):
    values = yaml.safe_load((repository / "config/demo.yaml").read_text())
    source = {"kind": "files", "folder": str(workflow.folder), "pattern": "t2m-{year}{month}.nc"}
    targets = {"fine": {"source": source, "variable": "t2m", "units": "K", "field": "2t"}}
    relief = {"source": {**source, "pattern": "relief.nc"}, "variable": "z", "units": "m"}
    path = workflow.folder / "mine.yaml"
    own = {"targets": targets, "statics": {"relief": relief}, "finetune": {}}
    path.write_text(yaml.safe_dump({**values, **own}))
    config = load(path)
    spans = data_spans(config.data)
    lists = [Paths(config).static_raw("relief"), *(Paths(config).target_raw("fine", s) for s in spans)]
    arguments = ("--configfile", str(path), "--", *map(str, lists))
    done = workflow.run("--dry-run", *arguments)
    assert done.returncode
    assert f"t2m-{spans[0].start:%Y%m}.nc: no such file (fine, {spans[0]})" in done.stdout
    assert "Traceback" not in done.stdout
    for name in ("relief.nc", *(f"t2m-{span.start:%Y%m}.nc" for span in spans)):
        (workflow.folder / name).write_text("")
    planned = workflow.planned(*arguments)
    assert planned == {"download_target_fine": len(spans), "download_static_relief": 1}


def test_a_forecast_task_is_evaluated(workflow, repository):
    values = yaml.safe_load((repository / "config/demo.yaml").read_text())
    path = workflow.folder / "ahead.yaml"
    hours = values["network"]["token_size"]["time"] * values["data"].get("time_step", 1)
    task = {"kind": "forecast", "hours": hours, "rollout_hours": 2 * hours}
    path.write_text(yaml.safe_dump({**values, "finetune": {"ahead": task}}))
    planned = workflow.planned("--configfile", str(path))
    assert planned["finetune_ahead"] == planned["evaluate_ahead"] == planned["report"] == 1


@pytest.mark.workflow
def test_the_full_reproduction(workflow, repository):
    planned = workflow.planned("--configfile", str(repository / "config/config.yaml"), **NO_KEY)
    months = 12 * (2018 - 1979 + 1 + 1)
    assert planned["convert"] == 5 * months
    assert (planned["pretrain"], planned["couple"]) == (5, 1)
    assert planned["compare_1979"] == planned["sums_1979"] == 5
    assert planned["download_model_an"] == months
    assert planned["evaluate"] == 1


def test_a_folder_is_unlocked_without_a_number_of_cores(workflow):
    """As Snakemake itself tells who killed it to do."""
    command = [Path(sys.executable).with_name("snakemake"), "--unlock"]
    where = ["--snakefile", workflow.repository / "workflow/Snakefile"]
    done = subprocess.run([*command, *where], cwd=workflow.folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
