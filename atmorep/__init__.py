"""AtmoRep: representation learning of the atmosphere, from ERA5 GRIB to scored predictions.

The package mirrors the workflow: one subpackage, one rule file and one subcommand a stage.
Heavy imports stay inside the functions that need them, so that ``atmorep --help`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from atmorep.bundle import Bundle
    from atmorep.downstream.bundle import TaskBundle

__version__ = "0.1.0"


def load(folder: str | Path) -> Bundle | TaskBundle:
    """Load a trained model from its bundle, anywhere: ``load(folder).model`` is a PyTorch module.

    Raises:
        IntegrityError: if a file is missing, has been altered, or does not fit the others.
    """
    from pathlib import Path

    from atmorep import bundle, manifest
    from atmorep.downstream import bundle as task_bundle

    return bundle.load(folder) if manifest.task(Path(folder)) is None else task_bundle.load(folder)
