"""The Multiformer: how coupled fields are trained together."""

from __future__ import annotations

from pathlib import Path

from atmorep.config.base import Section
from atmorep.config.training import Training


class Coupling(Section):
    """Training of the coupled fields; which field attends to which is said by ``fields.<name>.coupled``."""

    training: Training | None = None
    """Optimisation of the Multiformer; where absent, as ``training``."""
    start: Path | None = None
    """Bundle of a Multiformer to start from: its fields take their weights from it, only the others are
    pretrained alone. Where absent, all fields are pretrained alone."""
