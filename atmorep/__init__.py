"""AtmoRep: representation learning of the atmosphere, from ERA5 GRIB to scored predictions.

The package mirrors the workflow: one subpackage, one rule file and one subcommand a stage.
Heavy imports stay inside the functions that need them, so that ``atmorep --help`` is instant.
"""

from __future__ import annotations

__version__ = "0.1.0"
