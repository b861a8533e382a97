"""Files of one target and span to shards of its store: put together in time, turned, regridded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atmorep import integrity, transforms
from atmorep.config import Config, Static, Target
from atmorep.errors import DataError, IntegrityError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.arrays import open_array, read
from atmorep.store.days import write_days
from atmorep.store.layout import ArrayLayout, create
from atmorep.store.statistics import Moments
from atmorep.targets.product import Product, open_product
from atmorep.targets.regrid import Regridder
from atmorep.targets.source import gridded
from atmorep.targets.store import evaluation_grid, target_layout
from atmorep.targets.times import Tiling
from atmorep.timeaxis import Span

_RESIDUE = 1e-4
"""Share of the range of a state by which packing to 14 bits or more may leave values below the floor."""


def convert(config: Config, target: str, span: str) -> None:
    """Write the shards of ``target`` for the days of ``span``, then their manifest.

    Raises:
        ConfigError: if the times of the files cannot make those that are configured, naming the remedy.
        DataError: if the files are not what the configuration says.
        IntegrityError: if there is no list of files, or the store does not hold what was written.
    """
    days, paths = Span.parse(span), Paths(config)
    listed, part = paths.target_raw(target, days), paths.target_part(target, days)
    gridded(config, target)  # refuses what is not declared
    conversion = _Conversion(config, target, days, *_open(config.targets[target], delivered(listed)))
    part.unlink(missing_ok=True)  # it would stand for shards that are being written
    integrity.write(
        part,
        base=paths.target_store(target),
        remedy=f"rerun 'atmorep convert-target --target {target} --span {days}'",
        sources=[integrity.entry(listed)],
        **conversion.run(),
    )


def delivered(listed: Path) -> dict[str, list[Path]]:
    """Return the files that a list names, once they are what was delivered: ``files``, and any ``partner``.

    Raises:
        IntegrityError: naming the first that is not, or the list.
    """
    said = integrity.read(listed)
    if "remedy" in said:  # those of before say less
        integrity.check(listed)
    return {key: [Path(entry["path"]) for entry in said[key]] for key in ("files", "partner") if key in said}


def _open(target: Target, listed: dict[str, list[Path]]) -> list[Product]:
    """The product, and that of the other wind component where there is one."""
    products = [open_product(target, listed["files"])]
    if target.partner is not None:
        other = target.model_copy(update={"variable": target.partner})
        products.append(open_product(other, listed.get("partner", listed["files"])))
    return products


def open_regridder(
    name: str, product: Product, wanted: Static | Target, grid: Grid, least: float
) -> Regridder:
    """Return what brings a product to ``grid``.

    Raises:
        DataError: naming target or static field, if it does not overlap the grid.
    """
    try:
        return Regridder(product.geometry, grid, wanted.method, least)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


class _Conversion:
    """One target and span on its way from files to shards."""

    def __init__(
        self, config: Config, name: str, span: Span, product: Product, partner: Product | None = None
    ) -> None:
        self._name, self._span, self._target = name, span, config.targets[name]
        self._product, self._partner = product, partner
        self._times = span.hours(config.data.time_step)
        self._tiling = Tiling(name, self._target.time, product.intervals)
        self._members = dict(zip(self._times, self._tiling.members(self._times), strict=True))
        self._match_partner()
        self._grid = evaluation_grid(config, name)
        least = self._target.min_coverage
        self._regrid = open_regridder(f"targets.{name}", product, self._target, self._grid, least)
        self._layout = self._laid_out(config)
        self._moments: dict[str, Moments] = {}
        self._empty: list[np.datetime64] = []
        self._last: tuple[np.datetime64, NDArray[np.float32]] | None = None

    def _match_partner(self) -> None:
        other = self._partner
        if other is None:
            return
        alike = np.array_equal(self._product.intervals, other.intervals)
        if not alike or self._product.geometry.identity != other.geometry.identity:
            raise DataError(
                f"targets.{self._name}: {self._target.variable} and {self._target.partner} differ in times "
                "or grid; correct partner or partner_source"
            )

    def _laid_out(self, config: Config) -> ArrayLayout:
        geometry = self._product.geometry
        return target_layout(
            config,
            self._name,
            source_variable=self._target.variable,
            source_shape=list(geometry.shape),
            source_geometry=geometry.identity,
        )

    def run(self) -> dict[str, Any]:
        """Write the shards; return their manifest."""
        create(self._layout)
        missing = np.array([t for t in self._times if not self._members[t].size], "datetime64[h]")
        shards = write_days(self._layout, self._span, missing, self._fill)
        os.sync()  # shards before their manifest
        self._check()
        shape = [self._times.size, *self._layout.shape[1:]]
        return {
            "target": self._name,
            "span": str(self._span),
            "missing": [str(hour) for hour in sorted([*missing, *self._empty])],
            "files": shards,
            "arrays": {self._layout.name: {"shape": shape, "dtype": "float32"}},
            "moments": {day: [float(a[0]) for a in _parts(m)] for day, m in self._moments.items()},
            "coverage": float((self._regrid.coverage * self._grid.weights).mean()),
        }

    def _fill(self, block: NDArray[np.float32], time: np.datetime64) -> None:
        """Put the values at ``time`` into ``block`` (1, rows, columns)."""
        block[0] = self._regrid(self._value(time))
        if np.isnan(block).all():
            self._empty.append(time)
            return
        self._last = time, block[0].copy()
        self._count(str(time.astype("datetime64[D]")), block[0])

    def _value(self, time: np.datetime64) -> NDArray[np.float64]:
        """Values (y, x) on the grid of the files; NaN where an interval has none."""
        members = self._members[time]
        weights = self._tiling.weights(members)
        states = (w * self._state(int(i)) for w, i in zip(weights, members, strict=True))
        total = next(states)
        for state in states:
            total += state
        return total

    def _state(self, index: int) -> NDArray[np.float64]:
        """One value of the product, turned to the geographic axes if it is a wind component."""
        own = self._product.read(index).astype(np.float64)
        if self._partner is not None:
            other, angle = self._partner.read(index), self._product.geometry.angle
            sign = -1 if self._target.vector == "u" else 1
            return np.asarray(own * np.cos(angle) + sign * other * np.sin(angle))
        return self._floored(own, index)

    def _floored(self, values: NDArray[np.float64], index: int) -> NDArray[np.float64]:
        """Values with what packing left below the floor at it; what is farther below is refused."""
        spec = known_field(self._target.field)
        if spec.floor is None or not (values < spec.floor).any():
            return values
        lowest, highest = np.nanmin(values), np.nanmax(values)
        if lowest < spec.floor - _RESIDUE * (highest - spec.floor):
            raise DataError(
                f"targets.{self._name}, {self._product.intervals[index, 1]}: {lowest:g} {spec.units} is "
                f"below {spec.floor:g}, which is impossible for {spec.name}; correct variable, units "
                "or the files"
            )
        return np.maximum(values, spec.floor)

    def _count(self, day: str, values: NDArray[np.float32]) -> None:
        there = np.isfinite(values)
        weights = np.broadcast_to(self._grid.weights, values.shape)[there]
        transformed = transforms.forward(self._target.field, values[there])
        moments = Moments.of(transformed[None], weights[None], (1,))
        self._moments[day] = self._moments[day].merge(moments) if day in self._moments else moments

    def _check(self) -> None:
        """Read the last state back."""
        if self._last is None:
            return
        time, values = self._last
        stored = read(open_array(self._layout.store, self._layout.name)[self._layout.axis.index(time)])[0]
        if not np.array_equal(stored, values, equal_nan=True):
            raise IntegrityError(
                f"{self._layout.store}: {self._layout.name} at {time} is not what was written; delete "
                f"{self._layout.store.parent} and convert again"
            )


def _parts(moments: Moments) -> tuple[NDArray[np.float64], ...]:
    return moments.count, moments.mean, moments.squares
