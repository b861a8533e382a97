"""pyproject.toml, constraints.txt and environment.yml are in step."""

import re
import tomllib

import yaml


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(lines):
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in pairs}


def test_every_dependency_is_pinned(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(r for extra in project["optional-dependencies"].values() for r in extra),
    ]
    names = {canonical(re.split(r"[\[<>=!~ ;]", requirement)[0]) for requirement in wanted} - {"atmorep"}
    constraints = pins((repository / "constraints.txt").read_text().splitlines())
    assert names <= set(constraints), "run 'make pins'"
    assert constraints["torch"] == "2.13.0"
    assert all(re.fullmatch(r"[0-9][0-9a-z.]*", version) for version in constraints.values())


def test_conda_has_the_same_pins(repository):
    environment = yaml.safe_load((repository / "environment.yml").read_text())
    *conda, pip = environment["dependencies"]
    assert "python=3.11" in conda
    assert pins(pip["pip"]) == pins((repository / "constraints.txt").read_text().splitlines())


def test_python_is_the_same_everywhere(repository):
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    assert project["project"]["requires-python"] == ">=3.11"
    assert project["tool"]["ruff"]["target-version"] == "py311"
    assert "PYTHON ?= python3.11" in (repository / "Makefile").read_text()
