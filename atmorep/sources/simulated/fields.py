"""ERA5's fields from the model's state, on the configured grid and levels."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from dinosaur.primitive_equations import State, get_geopotential_on_sigma, get_sigma_ratios
from dinosaur.sigma_coordinates import cumulative_sigma_integral
from dinosaur.spherical_harmonic import get_cos_lat_vector
from jax import Array
from numpy.typing import NDArray

from atmorep.config.data import Levels
from atmorep.grids import Grid
from atmorep.sources.simulated.core import REFERENCE_TEMPERATURE, Core
from atmorep.sources.simulated.horizontal import Horizontal
from atmorep.sources.simulated.levels import coefficients
from atmorep.sources.simulated.model import Weather
from atmorep.sources.simulated.relief import land_fraction

LAPSE_RATE = 0.0065
"""Of the standard atmosphere in K / m: continues temperature below the lowest layer's centre, and
below the ground, as ECMWF does (Trenberth, Berry and Buja 1993)."""
ROUGHNESS_SEA, ROUGHNESS_LAND = 2e-4, 0.1
"""Roughness lengths in m (Stull 1988, fig. 9.6: open sea, farmland)."""


class Output:
    """Diagnoses fields of one grid and set of levels.

    Winds, vorticity and divergence come from the same spectral coefficients, so that they agree.
    """

    def __init__(self, core: Core, grid: Grid, levels: Levels, names: tuple[str, ...]) -> None:
        """Prepare the diagnosis of the fields ``names``, keys of ``DIAGNOSED``."""
        self.core = core
        self.horizontal = Horizontal(core.grid, grid)
        self.coefficients = tuple(x[:, None, None] for x in coefficients(levels))
        self.land = land_fraction(self.horizontal.longitude, self.horizontal.latitude)
        self._fields = jax.jit(lambda weather: {name: DIAGNOSED[name](_Air(self, weather)) for name in names})

    def fields(self, weather: Weather) -> dict[str, NDArray[np.float32]]:
        """Return each field (level, rows, columns), surface fields with one level."""
        found: dict[str, NDArray[np.float32]] = jax.device_get(self._fields(weather))
        return found


class _Air:
    """One state on the output grid: layers where not said otherwise, each computed when asked for."""

    def __init__(self, output: Output, weather: Weather) -> None:
        self._core, self._to, self._land = output.core, output.horizontal, output.land
        self._coefficients, self._rain = output.coefficients, weather.precipitation
        self._state: State = weather.pair[1]

    @cached_property
    def surface_pressure(self) -> Array:
        """Pa, (1, rows, columns)."""
        return jnp.exp(self._to.spectral(self._state.log_surface_pressure))

    @cached_property
    def surface_height(self) -> Array:
        """m, (1, rows, columns)."""
        return self._to.spectral(self._core.orography)[None]

    @cached_property
    def temperature(self) -> Array:
        return REFERENCE_TEMPERATURE + self._to.spectral(self._state.temperature_variation)

    @cached_property
    def humidity(self) -> Array:
        return jnp.maximum(self._to.spectral(self._state.tracers["q"]), 0)

    @cached_property
    def vorticity(self) -> Array:
        return self._to.spectral(self._state.vorticity)

    @cached_property
    def divergence(self) -> Array:
        return self._to.spectral(self._state.divergence)

    @cached_property
    def wind(self) -> tuple[Array, Array]:
        state, cosine = self._state, np.cos(self._to.latitude)
        vector = get_cos_lat_vector(state.vorticity, state.divergence, self._core.grid, clip=False)
        u, v = (self._to.spectral(component) / cosine for component in vector)
        return u, v

    @cached_property
    def pressure_velocity(self) -> Array:
        """Pa / s at the layers' centres (Durran 2010, eq. 8.124, as the core has it)."""
        slope = self._core.grid.cos_lat_grad(self._state.log_surface_pressure, clip=False)
        gradient = [self._to.spectral(component) / np.cos(self._to.latitude) for component in slope]
        advection = self.wind[0] * gradient[0] + self.wind[1] * gradient[1]
        layers = self._core.coordinates.vertical
        above = cumulative_sigma_integral(self.divergence + advection, layers)
        above = above * get_sigma_ratios(layers)[:, None, None]
        lifted = (above + jnp.pad(above, [(1, 0), (0, 0), (0, 0)])[:-1]) / self._core.thickness
        return (advection - lifted) * self._core.sigma * self.surface_pressure

    @cached_property
    def geopotential(self) -> Array:
        constants = self._core.constants
        return get_geopotential_on_sigma(
            self.temperature,
            nodal_orography=self.surface_height,
            sigma=self._core.coordinates.vertical,
            gravity_acceleration=constants.g,
            ideal_gas_constant=constants.R,
        )

    # -- output levels ---------------------------------------------------------------------

    @cached_property
    def pressure(self) -> Array:
        """Pa at the output levels."""
        a, b = self._coefficients
        return a + b * self.surface_pressure

    @cached_property
    def _passed(self) -> list[Array]:
        """How far down between a layer's centre and the next an output level is, in log(pressure)."""
        at, centres = jnp.log(self.pressure / self.surface_pressure), np.log(self._core.sigma.ravel())
        return [jnp.clip((at - top) / (down - top), 0, 1) for top, down in pairwise(centres)]

    def level(self, layers: Array) -> Array:
        """Interpolate to the output levels; constant beyond the outermost layers' centres."""
        steps = zip(layers[1:] - layers[:-1], self._passed, strict=True)
        return layers[0] + sum(step * passed for step, passed in steps)

    def level_temperature(self) -> Array:
        lowest = self._core.sigma[-1] * self.surface_pressure
        return self.level(self.temperature) * self._warmer(jnp.maximum(self.pressure / lowest, 1))

    def _warmer(self, ratio: Array | float) -> Array:
        """Temperature further down over the one above, by the ``ratio`` of their pressures."""
        return jnp.asarray(ratio) ** (self._core.constants.R * LAPSE_RATE / self._core.constants.g)

    def level_geopotential(self) -> Array:
        """Interpolated as the difference from the standard atmosphere, which is nearly linear."""
        centres = self._core.sigma * self.surface_pressure
        return self._standard(self.pressure) + self.level(self.geopotential - self._standard(centres))

    def _standard(self, pressure: Array) -> Array:
        warmer = self._warmer(pressure / 101325.0)
        return self._core.constants.g * 288.15 / LAPSE_RATE * (1 - warmer)

    # -- surface ---------------------------------------------------------------------------

    @cached_property
    def surface_temperature(self) -> Array:
        return self.temperature[-1:] * self._warmer(1 / self._core.sigma[-1].item())

    def dewpoint(self) -> Array:
        """From the lowest layer's humidity (Bolton 1980, eq. 11), not above the temperature."""
        humidity = jnp.maximum(self.humidity[-1:], 1e-7)
        vapour = humidity * self.surface_pressure / (0.622 + 0.378 * humidity)
        logarithm = jnp.log(vapour / 611.2)
        dewpoint = 273.15 + 243.5 * logarithm / (17.67 - logarithm)
        return jnp.minimum(dewpoint, self.surface_temperature)

    def surface_wind(self, layers: Array) -> Array:
        """Wind at 10 m by the logarithmic law from the lowest layer's centre (Stull 1988, sec. 9.7)."""
        constants = self._core.constants
        height = -constants.R * self.temperature[-1:] / constants.g * np.log(self._core.sigma[-1])
        shares = [
            jnp.log(10 / roughness) / jnp.log(height / roughness)
            for roughness in (ROUGHNESS_SEA, ROUGHNESS_LAND)
        ]
        return layers[-1:] * (shares[0] + self._land * (shares[1] - shares[0]))

    def sea_level_pressure(self) -> Array:
        """Hypsometric equation below the ground at the standard lapse rate."""
        constants = self._core.constants
        mean = self.surface_temperature + LAPSE_RATE * self.surface_height / 2
        return self.surface_pressure * jnp.exp(constants.g * self.surface_height / (constants.R * mean))

    def column_vapour(self) -> Array:
        """Total column in kg / m2."""
        column = (self.humidity * self._core.thickness).sum(0, keepdims=True)
        return column * self.surface_pressure / self._core.constants.g

    def precipitation(self) -> Array:
        """Sum over the last hour in m."""
        return self._to.gaussian(self._rain)[None]


DIAGNOSED: dict[str, Callable[[_Air], Array]] = {
    "vo": lambda air: air.level(air.vorticity),
    "d": lambda air: air.level(air.divergence),
    "u": lambda air: air.level(air.wind[0]),
    "v": lambda air: air.level(air.wind[1]),
    "w": lambda air: air.level(air.pressure_velocity),
    "t": lambda air: air.level_temperature(),
    "q": lambda air: jnp.maximum(air.level(air.humidity), 0),  # against rounding
    "z": lambda air: air.level_geopotential(),
    "tp": lambda air: air.precipitation(),
    "msl": lambda air: air.sea_level_pressure(),
    "2t": lambda air: air.surface_temperature,
    "2d": lambda air: air.dewpoint(),
    "10u": lambda air: air.surface_wind(air.wind[0]),
    "10v": lambda air: air.surface_wind(air.wind[1]),
    "sp": lambda air: air.surface_pressure,
    "tcwv": lambda air: air.column_vapour(),
}
"""How each field of :mod:`atmorep.fields` comes about."""
