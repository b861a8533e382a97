"""Targets and static fields as they are declared in a configuration, for tests of readers."""

from typing import Any

from atmorep.config import Static, Target

_FILES = {"kind": "files", "folder": "raw", "pattern": "*"}


def target(variable: str, units: str, field: str, **time: Any) -> Target:
    """A target of files, with the keys of its section ``time``."""
    return Target.model_validate(
        {"source": _FILES, "variable": variable, "units": units, "field": field, "time": time}
    )


def static(variable: str, units: str) -> Static:
    """A static field of files."""
    return Static.model_validate({"source": _FILES, "variable": variable, "units": units})
