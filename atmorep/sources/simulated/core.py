"""The dynamical core: primitive equations of the package ``dinosaur`` and their time stepping.

Everything is in SI units. Spectral arrays are (layer, m, l); arrays on the Gaussian grid are
(layer, longitude, latitude), west to east and south to north; layers run from top to bottom.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from dinosaur.coordinate_systems import CoordinateSystem
from dinosaur.filtering import exponential_filter, horizontal_diffusion_filter
from dinosaur.leapfrog_utils import (
    leapfrog_step_filter,
    robert_asselin_leapfrog_filter,
    semi_implicit_leapfrog,
)
from dinosaur.primitive_equations import PrimitiveEquationsSigma, State
from dinosaur.scales import SI_SCALE
from dinosaur.sigma_coordinates import SigmaCoordinates
from dinosaur.spherical_harmonic import Grid as SpectralGrid
from dinosaur.time_integration import repeated, step_with_filters
from dinosaur.units import SimUnits

from atmorep.sources.simulated.relief import land_fraction, relief

SIGMA_BOUNDARIES = (0.0, 0.1, 0.25, 0.45, 0.65, 0.85, 1.0)
"""Pressure over surface pressure between the layers."""
REFERENCE_TEMPERATURE = 288.0
"""Temperature in K about which the implicit terms are linearised."""
TIME_STEPS = {21: 1800, 31: 1800, 42: 1200}
"""Seconds a step by truncation: the Courant number of a 80 m/s jet is about 0.7 at most."""
DIFFUSION_HOURS = 12.0
"""E-folding time of the smallest scale under the eighth-order diffusion."""
ROBERT_ASSELIN = 0.05
"""Coefficient of the filter that ties the two time levels of the leapfrog together."""

Pair = tuple[State, State]
"""Two consecutive states, as the leapfrog needs them."""


class Core:
    """Primitive equations on sigma layers, spectral in the horizontal.

    Semi-implicit leapfrog (Robert 1969; Hoskins and Simmons 1975) with a Robert-Asselin filter.

    Attributes:
        grid: spectral and Gaussian grid.
        coordinates: the grid and the layers.
        constants: gravity ``g``, gas constant ``R``, heat capacity ``Cp`` and so on.
        sigma: pressure over surface pressure at the layers' centres (layer, 1, 1).
        thickness: the layers' thickness in the same unit (layer, 1, 1).
        orography: spectral height of the surface in m (m, l).
        land: share of land on the Gaussian grid.
        hour: integrates the adiabatic equations over an hour.
        latitude, longitude: of the Gaussian grid in radians (longitude, latitude).
    """

    def __init__(self, truncation: int) -> None:
        """Set up a triangular ``truncation`` of ``TIME_STEPS``."""
        self.constants = SimUnits.from_si(scale=SI_SCALE)
        self.grid = getattr(SpectralGrid, f"T{truncation}")(radius=self.constants.radius)
        layers = SigmaCoordinates(SIGMA_BOUNDARIES)
        self.coordinates = CoordinateSystem(self.grid, layers)
        self.sigma = layers.centers[:, None, None]
        self.thickness = layers.layer_thickness[:, None, None]
        self.longitude, sine = self.grid.nodal_mesh
        self.latitude = np.arcsin(sine)
        self.land = land_fraction(self.longitude, self.latitude)
        # Sharp mountains would ring: the truncated relief is smoothed.
        height = self.grid.clip_wavenumbers(self.grid.to_modal(relief(self.longitude, self.latitude)))
        self.orography = exponential_filter(self.grid, attenuation=4, order=2)(height)
        self.equation = PrimitiveEquationsSigma(
            np.full(layers.layers, REFERENCE_TEMPERATURE), self.orography, self.coordinates, self.constants
        )
        self.hour: Callable[[Pair], Pair] = repeated(
            self._step(TIME_STEPS[truncation]), 3600 // TIME_STEPS[truncation]
        )

    def _step(self, seconds: float) -> Callable[[Pair], Pair]:
        smallest = abs(self.grid.laplacian_eigenvalues[-1])
        diffusion = horizontal_diffusion_filter(
            self.grid, seconds / (3600 * DIFFUSION_HOURS) / smallest**4, order=4
        )
        step: Callable[[Pair], Pair] = step_with_filters(
            semi_implicit_leapfrog(self.equation, seconds),
            [leapfrog_step_filter(diffusion), robert_asselin_leapfrog_filter(ROBERT_ASSELIN)],
        )
        return step
