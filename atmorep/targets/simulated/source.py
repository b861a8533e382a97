"""The source ``simulated`` of targets: a file a month, made from that month's raw files."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from atmorep.config import Config
from atmorep.config.target import SimulatedTarget
from atmorep.errors import ConfigError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources.raw import describe, open_raw
from atmorep.sources.simulated.relief import relief
from atmorep.targets.simulated.geography import MapGrid, radar_grid, rotated_grid
from atmorep.timeaxis import Span

Array = NDArray[np.float64]

Weather = dict[str, Array]
"""Fields by name, at the points of a target's grid."""

_SEA_LEVEL_PRESSURE, _SCALE, _EXPONENT = 101_325.0, 44_330.8, 0.190263
"""Of the standard atmosphere in Pa and m: height = scale * (1 - (p / p0) ** exponent) (ICAO 1993)."""


class Simulated:
    """Makes the files of one target or static field; see :class:`atmorep.targets.source.TargetSource`."""

    def __init__(self, config: Config, name: str) -> None:
        """Bind the configuration; ``name`` is one of ``targets`` or ``statics``, of source ``simulated``."""
        gridded = config.targets[name] if name in config.targets else config.statics[name]
        if not isinstance(gridded.source, SimulatedTarget):
            raise ValueError(f"{name} is not simulated")
        self._config, self._source = config, gridded.source

    def check(self) -> None:
        """Look whether the simulated atmosphere is there around the target.

        Raises:
            ConfigError: naming the key and the remedy.
        """
        if self._source.product != "relief":
            self._bilinear  # noqa: B018  (what computes it checks)

    def raw(self, span: Span) -> list[Path]:
        """Raw files of the simulation that the target of ``span`` is made from."""
        return [Paths(self._config).raw(name, self._level(name), span) for name in self._source.reads]

    def _level(self, name: str) -> int:
        """The lowest one."""
        return max(self._config.store_levels(name))

    def fetch(self, span: Span | None, folder: Path) -> list[Path]:
        """Write the file of ``span``, or that of the relief, which has none; return its path in a list.

        Raises:
            DataError: if a raw file is absent or broken.
        """
        if self._source.product == "relief" or span is None:
            return [self._relief(folder / "relief.grib")]
        if self._source.product == "temperature":
            return [self._temperature(span, folder / f"{span}.grib")]
        return [self._rain(span, folder / f"{span}.nc")]

    def _relief(self, path: Path) -> Path:
        from atmorep.targets.simulated.files import HEIGHT, RotatedWriter
        from atmorep.targets.simulated.surface import Surface

        with RotatedWriter(path, self._grid, HEIGHT) as writer:
            writer.write(np.datetime64("2000-01-01T00", "h"), Surface(self._grid, self._source.seed).height)
        return path

    def _temperature(self, span: Span, path: Path) -> Path:
        from atmorep.targets.simulated.files import TEMPERATURE, RotatedWriter
        from atmorep.targets.simulated.temperature import Temperature

        target, height = Temperature(self._grid, self._source.seed), self._height()
        with RotatedWriter(path, self._grid, TEMPERATURE) as writer:
            for time, weather in self._weather(span):
                writer.write(time, target.at(time, weather, height))
        return path

    def _rain(self, span: Span, path: Path) -> Path:
        from atmorep.targets.simulated.files import write_rain
        from atmorep.targets.simulated.rain import Rain

        target = Rain(self._grid, self._source.seed)
        write_rain(path, self._grid, ((time, target.at(time, found)) for time, found in self._weather(span)))
        return path

    # -- the coarse state ------------------------------------------------------------------

    def _weather(self, span: Span) -> Iterator[tuple[np.datetime64, Weather]]:
        files = {name: open_raw(self._config, name, self._level(name), span) for name in self._source.reads}
        for file in files.values():
            describe(file)  # refuses what is damaged
        for time in span.hours(self._config.data.time_step):
            yield time, {name: self._interpolated(file.read(time)) for name, file in files.items()}

    @cached_property
    def _grid(self) -> MapGrid:
        return radar_grid() if self._source.product == "radar" else rotated_grid()

    def _interpolated(self, values: NDArray[np.floating]) -> Array:
        found: Array = self._bilinear @ values.ravel()
        return found.reshape(self._grid.shape)

    @cached_property
    def _bilinear(self) -> csr_array:
        """Interpolates (rows * columns) values of ``data.grid`` to the target's points.

        Raises:
            ConfigError: if there are points around which ``data.grid`` has none.
        """
        coarse, grid = Grid.from_config(self._config.data.grid), self._grid
        row = (coarse.north - grid.latitude.ravel()) / coarse.resolution
        column = (grid.longitude.ravel() - coarse.west) % 360 / coarse.resolution
        rows, columns = coarse.shape
        if row.min() < 0 or row.max() > rows - 1 or (not coarse.periodic and column.max() > columns - 1):
            raise ConfigError(f"data.grid: does not reach around {self._place()}; make it larger")
        up, left = np.minimum(row.astype(int), rows - 2), column.astype(int)
        weights, cells = [], []
        for down, right in product((0, 1), repeat=2):
            share = abs(1 - down - (row - up)) * abs(1 - right - (column - left))
            weights.append(share)
            cells.append((up + down) * columns + (left + right) % columns)
        pointers = np.arange(row.size + 1) * 4
        return csr_array(
            (np.stack(weights, -1).ravel(), np.stack(cells, -1).ravel(), pointers),
            shape=(row.size, rows * columns),
        )

    def _place(self) -> str:
        grid = self._grid
        return (
            f"the simulated {self._source.product}, from {grid.latitude.min():.1f} to "
            f"{grid.latitude.max():.1f} degrees north and {grid.longitude.min():.1f} to "
            f"{grid.longitude.max():.1f} degrees east"
        )

    def _height(self) -> Array:
        """Height of the lowest level above the sea in m, in the standard atmosphere."""
        from atmorep.sources.simulated.levels import coefficients

        levels = self._config.data.levels
        a, b = (x[levels.values.index(max(levels.values))] for x in coefficients(levels))
        ground = relief(np.radians(self._grid.longitude), np.radians(self._grid.latitude))
        surface_pressure = _SEA_LEVEL_PRESSURE * (1 - ground / _SCALE) ** (1 / _EXPONENT)
        return _SCALE * (1 - ((a + b * surface_pressure) / _SEA_LEVEL_PRESSURE) ** _EXPONENT)
