"""Every stage runs in the image that is configured, on this machine and on a cluster, or not at all."""

import os
import subprocess
from pathlib import Path

import cluster
import images
import pytest
from conftest import Workflow
from era5 import experiment, write_experiment, write_month
from test_pins import pins
from test_slurm import STAGES, TWO_NODES, ClusterWorkflow, prepared

import atmorep
from atmorep.config import parse
from atmorep.container import environment

pytestmark = pytest.mark.workflow


def test_without_apptainer_a_configured_image_is_refused_since_all_would_run_on_the_host(workflow):
    (workflow.folder / "atmorep-1.sif").write_text("")
    done = workflow.run("--dry-run", "--config", "container=atmorep-1.sif")
    assert done.returncode
    assert "container = atmorep-1.sif: every job would run on the host; add --sdm apptainer" in done.stdout
    assert "Traceback" not in done.stdout


def test_apptainer_without_an_image_is_refused_likewise(workflow):
    done = workflow.run("--dry-run", "--sdm", "apptainer")
    assert done.returncode
    assert "no image is configured" in done.stdout


def test_an_image_that_is_not_there_is_refused(workflow):
    done = workflow.run("--dry-run", "--sdm", "apptainer", "--config", "container=atmorep-1.sif")
    assert done.returncode
    assert "container = atmorep-1.sif: no such file" in done.stdout


@pytest.fixture(scope="module")
def image(repository):
    """The Apptainer file of the CPU image, or the one that ATMOREP_IMAGE names."""
    if named := os.environ.get("ATMOREP_IMAGE"):
        yield Path(named)
        return
    if why := images.lacking(repository):
        pytest.skip(why)
    path = images.build(repository)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def finished(repository, image, tmp_path_factory):
    """The workflow run to its end in the image, on an archive outside the working directory."""
    workflow = Workflow(repository, tmp_path_factory.mktemp("run"))
    archive = tmp_path_factory.mktemp("archive")
    for month in ("2001-01", "2001-02"):
        write_month(archive, month)
    values = experiment(archive) | {"container": str(image)}
    workflow.done(write_experiment(workflow.folder, values), "--sdm", "apptainer")
    return workflow, values


def assert_all_ran_in(image, folder):
    """Every stage notes the image it finds itself in: Apptainer tells it, nothing of the workflow does."""
    logs = list((folder / "logs").rglob("*.log"))
    stages = {path.relative_to(folder / "logs/small").parts[0].removesuffix(".log") for path in logs}
    assert len(stages) == len(STAGES)
    for path in logs:
        assert f" in {image}\n" in path.read_text(), path


def test_every_stage_ran_in_the_image(finished, image):
    workflow, _ = finished
    assert_all_ran_in(image, workflow.folder)
    assert (workflow.folder / "results/small/report.html").exists()


def test_nothing_is_left_in_the_working_directory_but_what_the_workflow_writes(finished):
    workflow, _ = finished
    written = {path.name for path in workflow.folder.iterdir()}
    assert written == {".snakemake", "experiment.yaml", "data", "logs", "models", "results"}


def test_another_image_makes_anew_what_software_makes_if_that_is_asked_for(finished, image):
    workflow, values = finished
    other = workflow.folder.parent / "atmorep-cpu-0.0.0.sif"
    other.symlink_to(image)
    given = ("--sdm", "apptainer", "--workflow-profile", workflow.repository / "profiles/default")
    asked = (*given, "--rerun-triggers", "mtime", "params", "input", "software-env")
    argument = write_experiment(workflow.folder, values | {"container": str(other)})
    assert workflow.planned(argument, *given) == {}
    assert set(workflow.planned(argument, *asked)) == STAGES | {"all"}
    same = write_experiment(workflow.folder, values)
    assert workflow.planned(same, *asked) == {}


@pytest.mark.skipif(bool(cluster.lacking()), reason=cluster.lacking() or "there is Slurm")
def test_on_a_cluster_every_process_of_a_training_starts_in_the_image(image, repository, tmp_path):
    workflow = ClusterWorkflow(repository, tmp_path / "run")
    workflow.folder.mkdir()
    values = prepared(workflow.folder, TWO_NODES) | {"container": str(image)}
    with cluster.running(tmp_path / "slurm") as slurm:
        workflow.finish(values, "--sdm", "apptainer")
        assert set(slurm.jobs()) == STAGES
    assert_all_ran_in(image, workflow.folder)
    (log,) = (workflow.folder / "logs/small/pretrain").glob("*.log")
    assert log.read_text().count(f" in {image}\n") == 2


def within(image, *command, **inherited):
    """What ``command`` prints in the image."""
    done = subprocess.run(
        ["apptainer", "exec", image, *command],
        env={"PATH": os.environ["PATH"], **inherited},
        cwd="/",  # which Python looks into first
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_image_holds_the_pinned_versions_and_no_others(image, repository):
    ask = "import importlib.metadata as m; [print(d.name, d.version, sep='==') for d in m.distributions()]"
    installed = pins(within(image, "python", "-c", ask).replace("+cpu", "").splitlines())
    assert installed.pop("atmorep") == atmorep.__version__
    wanted = pins((repository / "constraints.txt").read_text().splitlines())
    assert installed.items() <= wanted.items()
    assert {"torch", "dinosaur", "cdsapi", "snakemake"} <= installed.keys()


def test_the_image_has_no_compiler(image):
    assert within(image, "sh", "-c", "command -v cc gcc c++ make || true") == ""


def test_packages_of_the_host_are_not_seen(finished, image, tmp_path):
    (tmp_path / "atmorep.py").write_text("")
    _, values = finished
    shown = environment(parse(values), {"APPTAINER_BIND": str(tmp_path)})
    ask = "import atmorep; print(atmorep.__file__)"
    assert within(image, "python", "-c", ask, PYTHONPATH=str(tmp_path), **shown).startswith("/opt/atmorep/")
