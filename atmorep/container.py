"""What a stage in a container sees of the machine, and how the processes of a training start in one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from atmorep.config import Config
from atmorep.errors import ConfigError

_HANDED_ON = {
    "APPTAINERENV_PYTHONPATH": "",  # or the image's Python would look for packages of the host
    "APPTAINERENV_PYTHONHOME": "",
    "APPTAINERENV_MPLCONFIGDIR": ".snakemake/matplotlib",  # not in the working directory, which is home
}
"""What Apptainer replaces in the environment that it hands on."""


def environment(config: Config, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that make Apptainer show the stages of ``config`` their files.

    Beside the working directory these are all folders and bundles that the configuration names, and what
    links in the working directory lead to. What ``inherited`` shows already stays.

    Raises:
        ConfigError: if the configuration names a path that Apptainer cannot be told.
    """
    given = filter(None, inherited.get("APPTAINER_BIND", "").split(","))
    bound = dict.fromkeys([*given, *(_told(path) for path in outside(config))])
    return {"APPTAINER_BIND": ",".join(bound), **_HANDED_ON}


def outside(config: Config) -> list[Path]:
    """Return the existing paths outside the working directory that stages of ``config`` go to."""
    here = Path.cwd()
    named = (Path(os.path.abspath(path)) for path in _paths(config))
    linked = (path.resolve() for path in here.iterdir() if path.is_symlink())
    found = dict.fromkeys((*named, *linked))
    return [path for path in found if path.exists() and not path.is_relative_to(here)]


def command(image: str, arguments: str) -> str:
    """Return what is put before a command so that it runs in ``image``, as Snakemake does it.

    Needed where several processes start by ``srun``: it is on the host that they are started.
    """
    return f'apptainer exec --home "$PWD" {arguments} {image}'


def _paths(value: Any) -> Iterator[Path]:
    """All paths in a section, mapping or list, at any depth."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, BaseModel):
        yield from _paths(dict(value))
    elif isinstance(value, Mapping):
        yield from _paths(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _paths(part)


def _told(path: Path) -> str:
    if set(str(path)) & set(":,"):
        raise ConfigError(f"{path}: Apptainer takes no path with ':' or ','; rename it, or link to it")
    return str(path)
