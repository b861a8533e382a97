"""The workflow on a real Slurm: every stage goes through it, and trainings survive what clusters do."""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cluster
import pandas as pd
import pytest
from conftest import Workflow
from era5 import experiment, write_experiment, write_month
from safetensors.numpy import load_file

pytestmark = [
    pytest.mark.workflow,
    pytest.mark.skipif(bool(cluster.lacking()), reason=cluster.lacking() or "there is Slurm"),
]

by_itself = pytest.mark.skipif(
    "ATMOREP_SLURM_FAULTS" not in os.environ, reason="takes minutes for each fault: make test-slurm"
)

LONG = 200
"""Epochs that take longer than two minutes."""

TWO_NODES = {"nodes": 2, "gpus": 1}
STAGES = {
    "download_2t",
    "convert",
    "compare_2001",
    "sums_2001",
    "statistics",
    "pretrain",
    "evaluate",
    "report",
}


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running cluster."""
    with cluster.running(tmp_path_factory.mktemp("slurm")) as found:
        yield found


class ClusterWorkflow(Workflow):
    """The workflow as ``snakemake --profile slurm`` runs it, with shorter waits."""

    def command(self, *arguments):
        """Return the arguments of Snakemake."""
        waits = ("--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "10")
        profile = ("--profile", self.repository / "slurm", "--workflow-profile", "none")
        return [*profile, *waits, "--rerun-triggers", "mtime", *arguments]

    def finish(self, values, *arguments):
        """Run it to its end; what Snakemake printed."""
        argument = write_experiment(self.folder, values)
        # nodes of this cluster have no names of their own that ranks could find each other by
        done = self.run(*self.command(argument, *arguments), MASTER_ADDR="127.0.0.1")
        assert done.returncode == 0, f"{done.stdout}\n{self.logs()}"
        return done.stdout

    def logs(self):
        """The last lines of every job's log, its own and Slurm's, the oldest first."""
        paths = [*self.folder.glob("logs/**/*.log"), *self.folder.glob(".snakemake/slurm_logs/**/*.log")]
        ends = {path: path.read_text().splitlines()[-15:] for path in paths}
        by_age = sorted(ends, key=lambda path: path.stat().st_mtime)
        return "\n".join(line for path in by_age for line in (f"== {path}", *ends[path]))


def prepared(folder, training):
    """Write an archive of two months; the configuration of two epochs with ``training``."""
    for month in ("2001-01", "2001-02"):
        write_month(folder / "archive", month)
    values = experiment(folder / "archive")
    values["training"] |= {"epochs": 2, **training}
    return values


@pytest.fixture(scope="module")
def finished(slurm, repository, tmp_path_factory):
    """The workflow run to its end on the cluster, its training on two nodes."""
    workflow = ClusterWorkflow(repository, tmp_path_factory.mktemp("run"))
    values = prepared(workflow.folder, TWO_NODES)
    workflow.finish(values)
    return workflow, values, slurm.jobs()


def test_every_stage_went_through_the_cluster(finished):
    workflow, _, jobs = finished
    assert set(jobs) == STAGES
    assert all(job["state"] == "COMPLETED" for several in jobs.values() for job in several)
    assert (workflow.folder / "results/small/report.html").exists()


def test_training_had_a_process_and_a_gpu_on_each_node(finished):
    workflow, _, jobs = finished
    (job,) = jobs["pretrain"]
    assert job["nodes"] == "gpu[1-2]"
    assert "gpu" in job["gres"]
    log = (workflow.folder / "logs/small/pretrain").glob("2t-*.log")
    assert "epoch 2/2" in next(log).read_text()


def longer(finished, folder, **training):
    """Return a workflow in ``folder`` with the store that is there already, and a training of many epochs."""
    workflow, values, _ = finished
    shutil.copytree(workflow.folder / "data", folder / "data")
    settings = {**values["training"], "epochs": 40, "checkpoint_steps": 1, **training}
    return ClusterWorkflow(workflow.repository, folder), {**values, "training": settings}


def interrupted(slurm, workflow, values, blow):
    """Run the training; once it has left a state within its first epochs let ``blow`` fall on its job."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(workflow.finish, values, "--until", "pretrain")
        pattern = "models/training/*/state.safetensors"
        cluster.wait_for(lambda: running.done() or any(workflow.folder.glob(pattern)), 600, "a state")
        blow(slurm.running("pretrain", 10))
        return running.result()


@pytest.fixture
def undisturbed(finished, tmp_path):
    """Weights of the longer training, run by hand with as many threads."""
    workflow, values = longer(finished, tmp_path / "undisturbed", nodes=1, gpus=0)
    config = write_experiment(workflow.folder, values).removeprefix("--configfile=")
    command = [Path(sys.executable).with_name("atmorep"), "pretrain", "--config", config, "--field", "2t"]
    subprocess.run(command, cwd=workflow.folder, env={**os.environ, "OMP_NUM_THREADS": "2"}, check=True)
    return weights(workflow)


def weights(workflow):
    """The weights the training has left."""
    (path,) = workflow.folder.glob("models/2t-*/model.safetensors")
    return load_file(path)


def assert_same(found, expected):
    """Check that weights agree to the last bit."""
    assert found.keys() == expected.keys()
    assert all((found[key] == expected[key]).all() for key in found)


@by_itself
@pytest.mark.parametrize("name", ["USR1", "KILL"])
def test_a_training_told_to_stop_or_killed_ends_as_if_it_had_not_been(
    slurm, finished, undisturbed, tmp_path, name
):
    workflow, values = longer(finished, tmp_path / "disturbed", nodes=1, gpus=0)
    output = interrupted(
        slurm, workflow, values, lambda job: subprocess.run(["scancel", f"--signal={name}", job], check=True)
    )
    assert "Trying to restart job" in output
    assert_same(weights(workflow), undisturbed)


@by_itself
def test_a_killed_rank_takes_the_others_along_and_the_retry_goes_on(slurm, finished, tmp_path):
    workflow, values = longer(finished, tmp_path / "disturbed")
    output = interrupted(slurm, workflow, values, kill_second_rank)
    assert "Trying to restart job" in output
    (log,) = workflow.folder.glob("models/2t-*/training.csv")
    assert list(pd.read_csv(log).epoch) == list(range(1, 41))


def kill_second_rank(job):
    """Kill the process of rank 1 of ``job``."""
    for process, environment in cluster.processes(job):
        if "pretrain" in process.cmdline() and environment.get("SLURM_PROCID") == "1":
            process.kill()


@by_itself
def test_a_training_whose_machine_is_lost_begins_anew_on_another(slurm, finished, undisturbed, tmp_path):
    workflow, values = longer(finished, tmp_path / "disturbed", nodes=1, gpus=0)
    lost = []
    interrupted(slurm, workflow, values, lambda job: lost.append(slurm.lose_node(job)))
    slurm.start_node(*lost)
    job = max(slurm.jobs()["pretrain"], key=lambda found: int(found["job"]))
    assert job["state"] == "COMPLETED"
    assert job["nodes"] != lost[0]
    assert_same(weights(workflow), undisturbed)


@by_itself
def test_a_training_longer_than_its_time_limit_takes_several(slurm, finished, tmp_path):
    """Of three minutes: the signal two minutes ahead of it comes up to a minute early."""
    workflow, values = longer(finished, tmp_path / "disturbed", nodes=1, gpus=0, epochs=LONG)
    before = len(slurm.jobs()["pretrain"])
    limit = ("--set-resources", "pretrain:runtime=3", "--until", "pretrain", "--retries", "9")
    assert "Trying to restart job" in workflow.finish(values, *limit)
    assert len(slurm.jobs()["pretrain"]) > before + 1
    (log,) = workflow.folder.glob("models/2t-*/training.csv")
    assert list(pd.read_csv(log).epoch) == list(range(1, LONG + 1))
