"""The command line: reads like the DAG, starts light, prints what is wrong without a traceback."""

import importlib
import inspect
import json
import resource
import subprocess
import sys

import pytest

from atmorep.cli import COMMANDS, main
from atmorep.config import load

HEAVY = {
    "eccodes",
    "jax",
    "lightning",
    "matplotlib",
    "numpy",
    "pandas",
    "pydantic",
    "torch",
    "xarray",
    "zarr",
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_stage_takes_its_options(command):
    module, name = command.function.split(":")
    parameters = inspect.signature(getattr(importlib.import_module(f"atmorep.{module}"), name)).parameters
    taken = (*command.arguments, *(["config"] if command.configured else []), *command.options)
    assert tuple(parameters) == (*taken, *command.optional)
    assert all(parameters[name].default is None for name in command.optional)


def test_help_reads_like_the_dag_and_imports_nothing_heavy():
    program = (
        "import json, sys\n"
        "from atmorep.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    text, modules = done.stdout.rsplit("\n", 2)[:2]
    assert not HEAVY & set(json.loads(modules))
    stages = [line.split()[0] for line in text.splitlines() if line.startswith("    ") and line[4] != " "]
    assert stages == [command.name for command in COMMANDS]


def test_a_refused_configuration_ends_with_status_2(tmp_path, capsys):
    path = tmp_path / "mine.yaml"
    path.write_text("experimnt: x\n")
    assert main(["report", "--config", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"atmorep report: {path} is refused:")
    assert "experimnt = 'x': there is no such key; did you mean 'experiment'?" in error


def test_check_lists_the_groups(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["check", "--config", str(repository / "config/demo.yaml")]) == 0
    config = load(repository / "config/demo.yaml")
    levels = {field: config.store_levels(field) for field in config.fields}
    members = [f"{name} {level}" if level else name for name in levels for level in levels[name]]
    assert capsys.readouterr().out == f"all: {', '.join(members)}\n"


def test_an_unknown_group_names_the_known_ones(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--config", str(repository / "config/demo.yaml"), "--group", "x", "--span", "2001-01"]
    assert main(["download", *arguments]) == 2
    assert "group 'x' is not one of all" in capsys.readouterr().err


def test_a_disk_that_refuses_is_named_without_a_traceback(repository, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))  # bytes a file may have
    try:
        status = main(["schema"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    error = capsys.readouterr().err
    assert error.startswith("atmorep schema: ")
    assert "File too large" in error
    assert "nothing half-written stays" in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
