"""Where the output levels are: pressure a + b times surface pressure, for either level type."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from atmorep.config.data import Levels


def half_levels() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients a (Pa) and b of ECMWF's 138 half levels, from the top (L137, as tabled by ECMWF)."""
    from dinosaur.hybrid_coordinates import HybridCoordinates

    table = HybridCoordinates.ECMWF137()
    return table.a_boundaries * 100, table.b_boundaries


def coefficients(levels: Levels) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coefficients a (Pa) and b of each of ``levels``.

    A model level lies in the middle of its half levels, as in ECMWF's table of L137.
    """
    if levels.type == "pressure":
        return np.array(levels.values) * 100.0, np.zeros(len(levels.values))
    index = np.array(levels.values)
    a, b = ((half[index - 1] + half[index]) / 2 for half in half_levels())
    return a, b
