"""AtmoRep: representation learning of the atmosphere, from ERA5 GRIB to scored predictions.

The package mirrors the workflow: one subpackage, one rule file and one subcommand a stage.
Heavy imports stay inside the functions that need them, so that ``atmorep --help`` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from atmorep.inference.finetuned import FineTuned
    from atmorep.inference.pretrained import Pretrained

__version__ = "0.1.0"


def load(folder: str | Path) -> Pretrained | FineTuned:
    """Load a trained model from its bundle, anywhere.

    Its methods take xarray datasets: ``load(folder).forecast(dataset, hours=24)``. ``load(folder).model`` is
    a PyTorch module.

    Raises:
        IntegrityError: if a file is missing, has been altered, or does not fit the others.
    """
    from pathlib import Path

    from atmorep import manifest
    from atmorep.inference.finetuned import FineTuned
    from atmorep.inference.pretrained import Pretrained

    return (Pretrained if manifest.task(Path(folder)) is None else FineTuned).load(folder)
