"""Stage ``schema``: what is generated from the typed configuration, written into the repository."""

from __future__ import annotations

from pathlib import Path

from atmorep.artefacts import write_text
from atmorep.config.schema import json_schema, reference

GENERATED = {
    Path("workflow/schemas/config.schema.json"): json_schema,
    Path("docs/configuration.md"): reference,
}
"""File in the repository, and the function that returns its text."""


def write() -> None:
    """Write all generated files, below the working directory."""
    for path, text in GENERATED.items():
        write_text(path, text())
