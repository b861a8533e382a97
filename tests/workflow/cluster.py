"""A real Slurm on the loopback interface: one controller, two nodes of four CPUs and a (virtual) GPU each."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scancel")
SYSTEM_CONFIG = Path("/etc/slurm/slurm.conf")
"""Where Slurm's programs look: the environment that could say otherwise does not reach all of them."""

NODES = ("gpu1", "gpu2")

CONFIG = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
ReturnToService=2
MinJobAge=3600
KillWait=5
SlurmdTimeout=10
NodeName=DEFAULT CPUs=4 RealMemory=64000 Gres=gpu:1
NodeName={nodes[0]} NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[1]}
NodeName={nodes[1]} NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[2]}
PartitionName=main Nodes={nodes[0]},{nodes[1]} Default=YES MaxTime=3000 State=UP
"""


def lacking() -> str:
    """Why no cluster can be started here; empty where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"no Slurm: {', '.join(absent)} not found; apt-get install slurm-wlm"
    if os.geteuid():
        return "Slurm's daemons need root"
    if SYSTEM_CONFIG.exists():
        return f"{SYSTEM_CONFIG} is there: this machine belongs to a cluster"
    return ""


class Cluster:
    """The running cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def jobs(self) -> dict[str, list[dict[str, str]]]:
        """All jobs Slurm knows of by the rule in their comment, with state, nodes, GPUs, tasks and number."""
        columns = {"job": "%i", "state": "%T", "comment": "%k", "gres": "%b", "nodes": "%N", "tasks": "%C"}
        shown = call("squeue", "--states=all", "--noheader", "-o", "|".join(columns.values()))
        found: dict[str, list[dict[str, str]]] = {}
        for line in shown.splitlines():
            job = dict(zip(columns, line.split("|"), strict=True))
            found.setdefault(job["comment"].removeprefix("rule_").split("_wildcards")[0], []).append(job)
        return found

    def running(self, rule: str, seconds: float) -> str:
        """Wait for a job of ``rule`` to run; its number."""
        return wait_for(lambda: self._running(rule), seconds, f"a running job of {rule}")

    def _running(self, rule: str) -> str:
        return next((job["job"] for job in self.jobs().get(rule, []) if job["state"] == "RUNNING"), "")

    def lose_node(self, job: str) -> str:
        """Kill all that runs for ``job`` and the daemon of its machine, as a power cut does; the node."""
        node = call("squeue", "--noheader", "--job", job, "-o", "%N").strip()
        daemon = psutil.Process(int((self.folder / f"run/{node}.pid").read_text()))
        steps = [p for p in psutil.process_iter() if f"slurmstepd: [{job}." in " ".join(p.cmdline())]
        for process in (daemon, *steps, *(found for found, _ in processes(job))):
            process.kill()
        return node

    def start_node(self, node: str) -> None:
        """Start the daemon of ``node``; returns when it takes jobs."""
        call("slurmd", "-N", node)
        wait_for(
            lambda: call("sinfo", "-h", "-n", node, "-t", "idle", "-o", "%D").strip(), 60, f"{node} idle"
        )


def processes(job: str) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """Yield the processes of ``job`` and their environments."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            environment = process.environ()
            if environment.get("SLURM_JOB_ID") == job:
                yield process, environment


def wait_for(look, seconds, what):
    """Return what ``look`` finds, as soon as it finds anything."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """Start a cluster whose files are in ``folder``; stop it in the end."""
    for name in ("state", "spool", "run", "log", "dev"):
        (folder / name).mkdir(parents=True)
    os.mknod(folder / "dev/nvidia0", 0o666 | 0o020000, os.makedev(1, 3))
    (folder / "slurm.conf").write_text(CONFIG.format(folder=folder, nodes=NODES, ports=_free_ports(3)))
    (folder / "gres.conf").write_text(f"NodeName={','.join(NODES)} Name=gpu File={folder}/dev/nvidia0\n")
    SYSTEM_CONFIG.parent.mkdir(parents=True, exist_ok=True)
    links = [SYSTEM_CONFIG.with_name(name) for name in ("slurm.conf", "gres.conf")]
    try:
        for link in links:
            link.symlink_to(folder / link.name)
        call("slurmctld", "-c")
        for node in NODES:
            call("slurmd", "-N", node)
        wait_for(lambda: call("sinfo", "-h", "-t", "idle", "-o", "%D").strip() == "2", 60, "idle nodes")
        yield Cluster(folder)
    finally:
        _stop(folder)
        for link in links:
            link.unlink(missing_ok=True)


def _stop(folder: Path) -> None:
    subprocess.run(["scancel", "--user=root"], check=False)
    for path in (folder / "run").glob("*.pid"):
        try:
            os.kill(int(path.read_text()), signal.SIGTERM)
        except (ProcessLookupError, ValueError):
            continue


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def call(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
