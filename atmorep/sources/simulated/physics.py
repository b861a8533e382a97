"""Column physics, once an hour: friction, radiation, evaporation and rain, each as simple as it goes.

A relaxation in the spirit of Held and Suarez (1994) keeps the circulation going; a hydrological
cycle like that of Frierson et al. (2006, without their radiation) rains. Coefficients without a
source were tuned so that temperature, wind and precipitation look like the Earth's.
All arrays are (layer, longitude, latitude) on the Gaussian grid, in SI units.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from dinosaur.primitive_equations import State
from dinosaur.radiation import OrbitalTime, get_declination, get_solar_sin_altitude
from dinosaur.spherical_harmonic import get_cos_lat_vector
from jax import Array
from numpy.typing import NDArray

from atmorep.sources.simulated.core import REFERENCE_TEMPERATURE, Core

HOUR, DAY = 3600.0, 86400.0
LATENT_HEAT = 2.501e6
"""Of vaporisation, J / kg."""
VAPOUR_CONSTANT = 461.0
"""Gas constant of water vapour, J / (kg K)."""
WATER_DENSITY = 1000.0
"""kg / m3."""

BOUNDARY_LAYER = 0.7
"""Sigma above which friction and surface heating act (Held and Suarez 1994)."""
FRICTION_SEA, FRICTION_LAND = 0.7 / DAY, 1.7 / DAY
"""Rayleigh friction at the surface in 1 / s; Held and Suarez (1994) have 1 / day everywhere."""
RELAXATION_AIR, RELAXATION_SURFACE = 1 / 40 / DAY, 1 / 4 / DAY
"""Newtonian relaxation in 1 / s (Held and Suarez 1994)."""
THERMAL_LAG_DAYS = 30.0
"""The equilibrium temperature follows the sun this much later."""
THERMAL_EQUATOR = 0.5
"""Latitude of the thermal equator over the sun's declination."""
SOLAR_HEATING = 40.0 / DAY
"""Heating of the surface by the overhead sun in K / s, less the day's mean."""
SEA_RESPONSE = 0.1
"""Share of the daily cycle over sea."""
SURFACE_HUMIDITY = 0.95
"""Relative humidity of the air that leaves the surface."""
DRY_LAND = 0.6
"""Share by which land evaporates less than sea."""
MIXING_DAYS = {4: 1.0, 3: 3.0, 2: 10.0}
"""Time scale in days at which shallow convection moistens a layer from the one below it."""
MIXED_HUMIDITY = 0.8
"""Share of the lower layer's relative humidity to which it does."""
CRITICAL_HUMIDITY = 0.85
"""Relative humidity of a grid cell above which water condenses (Sundqvist 1978)."""
CONDENSATION_TIME = 7200.0
"""Time scale of condensation in s."""
LATENT_SHARE = 0.2
"""Share of the latent heat that warms the air; with all of it grid-point storms drown the eddies."""


class Columns(NamedTuple):
    """The air on the Gaussian grid: winds times cos(latitude), temperature, humidity, pressure."""

    u: Array
    v: Array
    temperature: Array
    humidity: Array
    pressure: Array


def saturation(temperature: Array, pressure: Array) -> Array:
    """Saturation specific humidity in kg / kg (Bolton 1980, eq. 10, over water)."""
    vapour = 611.2 * jnp.exp(17.67 * (temperature - 273.15) / (temperature - 29.65))
    return 0.622 * vapour / jnp.maximum(pressure - 0.378 * vapour, 1.0)


def columns(core: Core, state: State) -> Columns:
    """Bring a spectral state to the Gaussian grid."""
    nodal = core.grid.to_nodal
    wind = get_cos_lat_vector(state.vorticity, state.divergence, core.grid, clip=False)
    u, v = (nodal(component) for component in wind)
    temperature = REFERENCE_TEMPERATURE + nodal(state.temperature_variation)
    pressure = core.sigma * jnp.exp(nodal(state.log_surface_pressure))
    return Columns(u, v, temperature, nodal(state.tracers["q"]), pressure)


def equilibrium(core: Core, pressure: Array, declination: Array) -> Array:
    """Radiative-equilibrium temperature in K (Held and Suarez 1994), its equator moved."""
    latitude = core.latitude - THERMAL_EQUATOR * declination
    ratio = pressure / 1e5
    warm = 315 - 60 * jnp.sin(latitude) ** 2 - 10 * jnp.log(ratio) * jnp.cos(latitude) ** 2
    return jnp.maximum(warm * ratio ** (2 / 7), 200.0)


def sunshine(core: Core, time: OrbitalTime) -> Array:
    """Sine of the sun's altitude, 0 at night, less its mean over the day."""
    phases = (time.orbital_phase, time.synodic_phase)
    altitude = get_solar_sin_altitude(*phases, core.longitude, core.latitude)
    declination = get_declination(time.orbital_phase)
    sine = jnp.sin(core.latitude) * jnp.sin(declination)
    cosine = jnp.cos(core.latitude) * jnp.cos(declination)
    sunset = jnp.arccos(jnp.clip(-sine / cosine, -1, 1))
    return jnp.maximum(altitude, 0) - (sunset * sine + cosine * jnp.sin(sunset)) / np.pi


def _decay(rate: Array | float, seconds: float = HOUR) -> Array:
    """Share of a difference that is gone after ``seconds`` at ``rate`` (1 / s)."""
    return -jnp.expm1(-rate * seconds)


def _low(core: Core) -> NDArray[np.float64]:
    """Weight of a layer in the boundary layer, 1 at the surface (Held and Suarez 1994)."""
    weight: NDArray[np.float64] = np.maximum((core.sigma - BOUNDARY_LAYER) / (1 - BOUNDARY_LAYER), 0)
    return weight


def _heating(core: Core, air: Columns, time: OrbitalTime) -> Array:
    """Relaxation and the daily cycle: change of temperature in K over the hour."""
    low = _low(core)
    season = get_declination(time.orbital_phase - 2 * np.pi * THERMAL_LAG_DAYS / 365.25)
    rate = RELAXATION_AIR + (RELAXATION_SURFACE - RELAXATION_AIR) * low * np.cos(core.latitude) ** 4
    towards = (equilibrium(core, air.pressure, season) - air.temperature) * _decay(rate)
    response = SEA_RESPONSE + (1 - SEA_RESPONSE) * core.land
    return towards + sunshine(core, time) * low * response * SOLAR_HEATING * HOUR


def _evaporate(core: Core, air: Columns, saturated: Array) -> Array:
    """Bulk evaporation into the lowest layer: its humidity after the hour."""
    wind = jnp.hypot(air.u[-1], air.v[-1]) / core.grid.cos_lat
    exchange = _decay((0.1 + wind / 15) / DAY) * (1 - DRY_LAND * core.land)
    lowest = air.humidity[-1]
    return lowest + jnp.maximum(SURFACE_HUMIDITY * saturated[-1] - lowest, 0) * exchange


def _mix(core: Core, humidity: Array, saturated: Array) -> Array:
    """Shallow convection: moisten layers from below, conserving water."""
    relative = humidity / saturated
    for layer, days in MIXING_DAYS.items():
        below = layer + 1
        upper, lower = core.thickness[layer], core.thickness[below]
        excess = jnp.maximum(MIXED_HUMIDITY * relative[below] - relative[layer], 0)
        room = jnp.minimum(saturated[layer] * upper, saturated[below] * lower)
        moved = excess * room * _decay(1 / (days * DAY))
        humidity = humidity.at[layer].add(moved / upper).at[below].add(-moved / lower)
    return humidity


def _condense(core: Core, temperature: Array, humidity: Array, saturated: Array) -> Array:
    """Large-scale condensation, damped by the warming it causes: kg / kg over the hour."""
    slope = LATENT_HEAT**2 * saturated / (core.constants.Cp * VAPOUR_CONSTANT * temperature**2)
    excess = jnp.maximum(humidity - CRITICAL_HUMIDITY * saturated, 0)
    return excess / (1 + slope) * _decay(1 / CONDENSATION_TIME)


def increment(core: Core, state: State, time: OrbitalTime) -> tuple[State, Array]:
    """Return what an hour of physics adds to ``state``, and its precipitation.

    Args:
        core: the dynamical core.
        state: spectral state at the beginning of the hour.
        time: phases of the year and of the day (UTC) in radians.

    Returns:
        Spectral increment, and precipitation (longitude, latitude) in m over the hour.
    """
    air = columns(core, state)
    temperature = air.temperature + _heating(core, air, time)
    saturated = saturation(temperature, air.pressure)
    moist = air._replace(humidity=jnp.maximum(air.humidity, 0))
    humidity = moist.humidity.at[-1].set(_evaporate(core, moist, saturated))
    humidity = _mix(core, humidity, saturated)
    rain = _condense(core, temperature, humidity, saturated)
    warmed = temperature + LATENT_SHARE * LATENT_HEAT / core.constants.Cp * rain
    surface_pressure = air.pressure[-1] / core.sigma[-1]
    fallen = (rain * core.thickness).sum(0) * surface_pressure / core.constants.g / WATER_DENSITY
    return _spectral(core, air, warmed - air.temperature, humidity - rain - air.humidity), fallen


def _spectral(core: Core, air: Columns, warming: Array, moistening: Array) -> State:
    """Friction and the given changes of temperature and humidity as a spectral increment."""
    modal, grid = core.grid.to_modal, core.grid
    slowed = -_decay(_low(core) * (FRICTION_SEA + (FRICTION_LAND - FRICTION_SEA) * core.land))
    drag = modal(air.u * slowed * grid.sec2_lat), modal(air.v * slowed * grid.sec2_lat)
    return State(
        grid.curl_cos_lat(drag),
        grid.div_cos_lat(drag),
        grid.clip_wavenumbers(modal(warming)),
        jnp.zeros((1, *grid.modal_shape), warming.dtype),
        {"q": grid.clip_wavenumbers(modal(moistening))},
    )
