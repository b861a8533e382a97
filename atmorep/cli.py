"""The command line: one subcommand a stage, in the order of the workflow, then those that use a model."""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from atmorep import __version__
from atmorep.errors import AtmoRepError


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        name: what the user types.
        help: one line.
        function: ``module:function`` below ``atmorep``, called with the configuration and the options below.
        options: names of the options it takes, from ``_OPTIONS``.
        arguments: names of what it takes by place, from ``_OPTIONS``.
        optional: names of options that can be left out.
        configured: whether it takes the configuration of an experiment.
    """

    name: str
    help: str
    function: str
    options: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    configured: bool = True


def _use(name: str, text: str, options: tuple[str, ...], optional: tuple[str, ...] = ()) -> Command:
    """A command that uses a trained model on a user's own files; no configuration is needed."""
    function, arguments = f"inference.commands:{name}", ("bundle", "inputs")
    return Command(name, text, function, ("output", *options), arguments, optional, configured=False)


COMMANDS = (
    Command("check", "ask the sources whether they can deliver", "targets.stage:check"),
    Command("download", "fetch raw files", "sources.stage:download", ("group", "span")),
    Command("download-target", "fetch a target's files", "targets.stage:download", ("target", "span")),
    Command("download-static", "fetch a static field's files", "targets.stage:download_static", ("static",)),
    Command("convert", "raw files to shards of the store", "store.convert:convert", ("field", "span")),
    Command(
        "convert-target",
        "a target's files to shards of its store",
        "targets.convert:convert",
        ("target", "span"),
    ),
    Command("static", "a static field on a target's grid", "targets.statics:static", ("static", "target")),
    Command("compare", "compare the store with the raw files", "store.compare:compare", ("field", "span")),
    Command("sums", "partial sums over training days", "store.statistics:partial", ("field", "span")),
    Command("statistics", "monthly mean and standard deviation", "store.statistics:merge", ("field",)),
    Command("pretrain", "train one field's transformer", "training.pretrain:pretrain", ("field",)),
    Command("couple", "couple the fields and train them together", "training.couple:couple"),
    Command("finetune", "train a downstream task on", "downstream.finetune:finetune", ("task",)),
    Command("evaluate", "score a model on the test days", "evaluation.stage:evaluate", ("model",)),
    Command("baselines", "fit what a downstream task is compared with", "downstream.fitted:fit", ("task",)),
    Command(
        "evaluate-task",
        "score a downstream task on the test days",
        "evaluation.downstream:evaluate_task",
        ("task",),
    ),
    Command("report", "collect the scores and write the report", "report.stage:report"),
    _use("forecast", "forecast from a file of one's own", ("hours",), ("members", "start")),
    _use("interpolate", "fill the times between given ones", (), ("members",)),
    _use("fill", "fill missing values", (), ("members",)),
    _use("correct", "predict distorted states anew", (), ("members",)),
    _use("downscale", "predict the target of a downstream task", (), ("members",)),
    _use("precipitation", "correct precipitation by a downstream task", (), ("members",)),
    _use(
        "counterfactual",
        "forecast as if states were of another time or place",
        ("hours",),
        ("members", "start", "year", "day", "hour", "latitude", "longitude"),
    ),
    _use(
        "attention",
        "what the tokens at a time and place attend to",
        ("field", "time", "latitude", "longitude"),
    ),
    _use(
        "embed",
        "the tokens around a time and place after each block",
        ("field", "time", "latitude", "longitude"),
    ),
    Command(
        "site",
        "wind, power and wind roses at sites of a wind farm",
        "site.stage:site",
        arguments=("study",),
        configured=False,
    ),
    Command(
        "card",
        "a bundle's model card with its skill",
        "card:card",
        ("output", "metrics"),
        ("bundle",),
        configured=False,
    ),
    Command("size", "parameters, operations and memory of the models", "sizes:show"),
    Command("scale", "jobs, files, bytes and GPU hours of each stage", "scale:show"),
    Command(
        "verify",
        "compare artefacts with their manifests",
        "verify:verify",
        arguments=("paths",),
        configured=False,
    ),
    Command(
        "import-weights",
        "a checkpoint of the original AtmoRep to a bundle",
        "legacy.stage:import_weights",
        arguments=("directory", "bundle"),
        optional=("normalisation",),
        configured=False,
    ),
    Command(
        "schema",
        "write the configuration's schema and reference",
        "config.stage:write",
        configured=False,
    ),
)

_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG, errno.EIO}
"""What a disk may have against being written to."""

_OPTIONS = {
    "field": "ERA5 short name",
    "model": "multiformer, or the field whose own model is scored, where fields are not coupled",
    "task": "downstream task, a name in finetune",
    "span": "YYYY-MM, or YYYY-MM-DD_YYYY-MM-DD within a month; several are done one after the other",
    "target": "name of a target",
    "static": "name of a static field",
    "time": "valid time of a token, ISO 8601, UTC",
    "latitude": "degrees north",
    "longitude": "degrees east",
    "output": "NetCDF file (.nc) or Zarr store (.zarr) to be written; of a card a Markdown file",
    "study": "YAML file of sites, turbine and wind, as config/examples/wind-farm.yaml",
    "metrics": "metrics.csv of the experiment that scored it",
    "directory": "folder with model_id<ID>.json and AtmoRep_id<ID>.mod",
    "bundle": "folder of a trained model; where it is to be written, it must not exist",
    "inputs": "GRIB files, NetCDF files or Zarr stores with the model's fields",
    "hours": "how far ahead",
    "members": "members of the ensemble; default all",
    "start": "initial time, ISO 8601, UTC; default the last of the input",
    "year": "year of the initial time",
    "day": "day of the year, from 1",
    "hour": "hour of the day, UTC",
    "paths": "files, or folders with all below them: data, models, results",
    "normalisation": "folder of the files that 'atmorep statistics' writes",
    "group": "what the source fetches together; 'atmorep check' lists the groups",
}


_TYPES: dict[str, type] = {
    **dict.fromkeys(("hours", "members", "year", "day", "hour"), int),
    **dict.fromkeys(("latitude", "longitude"), float),
}

_SEVERAL = ("span", "inputs", "paths")
"""What may be given several times."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    root = argparse.ArgumentParser(prog="atmorep", description=__doc__)
    root.add_argument("--version", action="version", version=f"atmorep {__version__}")
    stages = root.add_subparsers(dest="command", required=True, metavar="STAGE")
    for command in COMMANDS:
        stage = stages.add_parser(command.name, help=command.help, description=command.help)
        for argument in command.arguments:
            stage.add_argument(argument, **_described(argument))
        if command.configured:
            text = "YAML file of the experiment; of several, later ones replace single keys"
            stage.add_argument("--config", required=True, nargs="+", help=text)
        for option in command.options:
            stage.add_argument(f"--{option}", required=True, **_described(option))
        for option in command.optional:
            stage.add_argument(f"--{option}", **_described(option))
    return root


def _described(option: str) -> dict[str, Any]:
    several = "+" if option in _SEVERAL else None
    return {"help": _OPTIONS[option], "type": _TYPES.get(option, str), "nargs": several}


def _call(function: str) -> Callable[..., Any]:
    module, name = function.split(":")
    found: Callable[..., Any] = getattr(importlib.import_module(f"atmorep.{module}"), name)
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; returns the exit status (2 for an input that is refused, 1 for a disk that is)."""
    options = vars(parser().parse_args(arguments))
    name = options.pop("command")
    command = next(c for c in COMMANDS if c.name == name)
    if image := os.environ.get("APPTAINER_CONTAINER"):
        print(f"atmorep {name}: version {__version__} in {image}", file=sys.stderr)
    try:
        if "config" in options:
            from atmorep.config import load

            options["config"] = load(*options["config"])
        spans = options.pop("span", None)
        for each in [{}] if spans is None else [{"span": span} for span in spans]:
            _call(command.function)(**options, **each)
    except AtmoRepError as error:
        print(f"atmorep {command.name}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in _DISK:
            raise
        remedy = "nothing half-written stays; mend the disk and run it again"
        print(f"atmorep {command.name}: {error}; {remedy}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
