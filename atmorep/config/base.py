"""What every section of the configuration has in common."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
"""A name that users choose: letters, digits and underscores, part of paths and of ``metrics.csv``."""


class Section(BaseModel):
    """A section of the configuration: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def below_folder(pattern: str, **placeholders: object) -> str:
    """Return ``pattern`` if it is a path below a folder with no placeholders but these, given by example."""
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        raise ValueError("must stay below 'folder'; set 'folder' instead")
    try:
        pattern.format(**placeholders)
    except (KeyError, IndexError, ValueError) as error:
        known = " ".join(f"{{{name}}}" for name in placeholders)
        raise ValueError(f"knows {known}, not {error}") from None
    return pattern


def identity(*parts: Any) -> str:
    """Return ten hex digits that identify JSON-like ``parts`` (sections or plain values)."""
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]
