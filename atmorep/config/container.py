"""The image that the stages run in: named in a way that another image has another name."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

_FILE = re.compile(r"[\w./+~-]*-(v?\d[\w.+]*|[0-9a-f]{7,64})\.sif")
_ADDRESS = re.compile(r"(docker|oras)://[\w.-]+(:\d+)?(/[\w.-]+)*@sha256:[0-9a-f]{64}")


def pinned(image: str) -> str:
    """Return ``image``, a file or address whose name says which one it is.

    Raises:
        ValueError: if its content can change while its name stays: nothing would then tell that it did.
    """
    if not (_FILE.fullmatch(image) or _ADDRESS.fullmatch(image)):
        raise ValueError(
            "must be a file NAME-VERSION.sif or NAME-DIGEST.sif, or an address docker://NAME@sha256:DIGEST "
            "or oras://NAME@sha256:DIGEST; what has no version, or a tag such as :latest, may change unseen"
        )
    return image


Image = Annotated[str, AfterValidator(pinned)]
"""An Apptainer image."""
