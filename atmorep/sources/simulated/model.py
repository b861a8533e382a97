"""The simulated atmosphere in time: initial state, one hour after the other, state on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import jax
import jax.numpy as jnp
import numpy as np
from dinosaur.filtering import exponential_filter
from dinosaur.primitive_equations import State
from dinosaur.radiation import OrbitalTime, datetime64_to_datetime, datetime_to_orbital_time
from dinosaur.spherical_harmonic import uv_nodal_to_vor_div_modal
from jax import Array

from atmorep import integrity
from atmorep.errors import IntegrityError
from atmorep.sources.simulated.core import REFERENCE_TEMPERATURE, Core, Pair
from atmorep.sources.simulated.physics import equilibrium, increment, saturation

INITIAL_JET = 35.0
"""Zonal wind in m / s at 45 degrees at the top of the initial state."""
INITIAL_PRESSURE = 101_325.0
"""Pressure in Pa at sea level at the beginning."""
INITIAL_MEAN = 270.0
"""Mean temperature in K by which pressure falls with the height of the ground at the beginning."""
INITIAL_NOISE = 2.0
"""Standard deviation in m / s of the noise that sets the first eddies off."""
INITIAL_HUMIDITY = 0.6
"""Relative humidity of the initial state at the surface; less above."""


class Weather(NamedTuple):
    """Everything the next hour depends on.

    Attributes:
        pair: two consecutive spectral states, the second at the valid time.
        precipitation: on the Gaussian grid (longitude, latitude), m over the last hour.
    """

    pair: Pair
    precipitation: Array


class Model:
    """The dynamical core with its physics."""

    def __init__(self, truncation: int) -> None:
        """Set up the model; see :class:`~atmorep.sources.simulated.core.Core`."""
        _configure_jax()
        self.core = Core(truncation)
        self._hour = jax.jit(self._advance)

    def initial(self, seed: int) -> Weather:
        """A zonal jet at radiative equilibrium with small random winds.

        Args:
            seed: of the random winds.
        """
        noise = np.random.default_rng(seed).standard_normal(self.core.coordinates.nodal_shape)
        weather: Weather = jax.jit(self._initial)(noise.astype(np.float32))
        return weather

    def _initial(self, noise: Array) -> Weather:
        core, grid = self.core, self.core.grid
        height = grid.to_nodal(core.orography)
        surface = INITIAL_PRESSURE * jnp.exp(-height * core.constants.g / (core.constants.R * INITIAL_MEAN))
        pressure = core.sigma * surface
        temperature = equilibrium(core, pressure, 0.0)
        humidity = INITIAL_HUMIDITY * saturation(temperature, pressure) * core.sigma
        zonal = INITIAL_JET * np.sin(2 * core.latitude) ** 2 * (1 - core.sigma) + INITIAL_NOISE * noise
        vorticity, _ = uv_nodal_to_vor_div_modal(grid, zonal, jnp.zeros_like(zonal))
        state = State(
            vorticity,
            jnp.zeros_like(vorticity),
            grid.to_modal(temperature - REFERENCE_TEMPERATURE),
            grid.to_modal(jnp.log(surface)[None]),
            {"q": grid.to_modal(humidity)},
        )
        state = exponential_filter(grid, attenuation=6, order=2)(state)
        return Weather((state, state), jnp.zeros(grid.nodal_shape, vorticity.dtype))

    def advance(self, weather: Weather, time: np.datetime64) -> Weather:
        """Integrate ``weather``, valid at ``time``, by an hour."""
        after: Weather = self._hour(weather, datetime_to_orbital_time(datetime64_to_datetime(time)))
        return after

    def _advance(self, weather: Weather, time: OrbitalTime) -> Weather:
        change, rain = increment(self.core, weather.pair[1], time)
        # The same increment on both time levels leaves no computational mode behind.
        pair = jax.tree.map(jnp.add, weather.pair, (change, change))
        return Weather(self.core.hour(pair), rain)


_SPECTRAL = ("vorticity", "divergence", "temperature_variation", "log_surface_pressure")


def save(path: Path, weather: Weather, time: np.datetime64) -> None:
    """Write ``weather``, valid at ``time``, to the NumPy archive ``path``, at once and exactly."""
    arrays = {"time": np.array(time), "precipitation": np.asarray(weather.precipitation)}
    for level, state in zip(("previous", "current"), weather.pair, strict=True):
        arrays |= {f"{level}_{name}": np.asarray(getattr(state, name)) for name in _SPECTRAL}
        arrays[f"{level}_humidity"] = np.asarray(state.tracers["q"])
    with (
        integrity.recorded(path, "rerun 'atmorep download' of the span it ends") as aside,
        aside.open("wb") as file,
    ):
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path) -> tuple[Weather, np.datetime64]:
    """Read what :func:`save` wrote.

    Raises:
        IntegrityError: if ``path`` is absent, truncated or something else.
    """
    try:
        integrity.checked(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        pair = tuple(_state(arrays, level) for level in ("previous", "current"))
        return Weather(pair, jnp.asarray(arrays["precipitation"])), arrays["time"][()]
    except (OSError, EOFError, KeyError, ValueError, BadZipFile) as error:
        raise IntegrityError(
            f"{path}: is not a state of the simulated atmosphere ({error}); delete it and rerun"
        ) from None


def _state(arrays: dict[str, np.ndarray], level: str) -> State:
    spectral = (jnp.asarray(arrays[f"{level}_{name}"]) for name in _SPECTRAL)
    return State(*spectral, {"q": jnp.asarray(arrays[f"{level}_humidity"])})


def _configure_jax() -> None:
    """One thread on the CPU, and compiled programs kept for the next job (unless the user says else)."""
    flag = "--xla_cpu_multi_thread_eigen"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}=false".strip()
    if not jax.config.jax_platforms:
        jax.config.update("jax_platforms", "cpu")
    if not jax.config.jax_compilation_cache_dir:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "atmorep/jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
