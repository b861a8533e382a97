"""Normalisation from the store: partial sums over days of one month, then merged by month of the year."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Self

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from atmorep import __version__, integrity, transforms
from atmorep.config import Config
from atmorep.errors import DataError, IntegrityError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.arrays import open_array, read
from atmorep.store.layout import vertical
from atmorep.store.reader import FieldReader
from atmorep.timeaxis import Span, data_spans, training_spans

RELATIVE_FLOOR = 1e-2
"""A standard deviation is at least this share of the root mean square one of its level."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Weighted count, mean and sum of squared deviations; all arrays of the same shape.

    Attributes:
        count: sum of the weights.
        mean: weighted mean; 0 where the count is 0.
        squares: weighted sum of squared deviations from the mean.
    """

    count: Array
    mean: Array
    squares: Array

    @classmethod
    def of(cls, values: NDArray[np.floating], weights: Array, axes: tuple[int, ...]) -> Self:
        """Moments of ``values`` over ``axes``; ``weights`` broadcast to them.

        Two passes (deviations from the mean), so that nothing cancels.
        """
        values = values.astype(np.float64)
        weights = np.broadcast_to(weights, values.shape)
        count = weights.sum(axes, keepdims=True)
        mean = (values * weights).sum(axes, keepdims=True) / count
        squares = (weights * (values - mean) ** 2).sum(axes)
        return cls(count.reshape(squares.shape), mean.reshape(squares.shape), squares)

    def merge(self, other: Moments) -> Moments:
        """Moments of both samples together (Chan, Golub and LeVeque 1979, eq. 1.5)."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        delta = other.mean - self.mean
        squares = self.squares + other.squares + delta**2 * self.count * share
        return Moments(count, self.mean + delta * share, squares)

    @property
    def std(self) -> Array:
        """Standard deviation of the population."""
        return np.sqrt(self.squares / self.count)


def merge_all(moments: Iterable[Moments]) -> Moments:
    """Moments of all samples together."""
    return reduce(Moments.merge, moments)


def partial(config: Config, field: str, span: str) -> None:
    """Write the moments of ``field`` over the hours of ``span``, of transformed values.

    Per level and area-weighted over the grid (``global``), or per level and grid point (``local``),
    as the configuration says. Hours recorded as missing are left out.

    Raises:
        DataError: if the store holds none of the hours.
        IntegrityError: if the store lacks hours it should have.
    """
    days, paths = Span.parse(span), Paths(config)
    local = config.fields[field].normalisation == "local"
    grid = Grid.from_config(config.data.grid)
    weights = np.ones((1, 1)) if local else grid.weights
    axes = (0,) if local else (0, 2, 3)
    blocks = _blocks(config, field, days)
    total = merge_all(Moments.of(block, weights, axes) for block in blocks)
    names = {"count": total.count, "mean": total.mean, "squares": total.squares}
    dimensions = ("level", "latitude", "longitude") if local else ("level",)
    file = xr.Dataset(
        {name: (dimensions, values) for name, values in names.items()},
        attrs={"field": field, "span": str(days), "code_version": __version__},
    )
    remedy = f"rerun 'atmorep sums --field {field} --span {days}'"
    _write(file, paths.sums(field, days), remedy, _parts(config, field, days))


def _blocks(config: Config, field: str, span: Span) -> Iterable[NDArray[np.float32]]:
    """Yield transformed values (time, level, rows, columns) of each day, hours that are there only."""
    reader = FieldReader(config, field, cache_bytes=0)
    array = open_array(Paths(config).store, field)
    there, first = reader.available(), int(reader.axis.index(np.datetime64(span.start, "h")))
    per_day, found = reader.axis.per_day, False
    for start in range(first, first + span.days * per_day, per_day):
        chosen = there[start : start + per_day]
        if not chosen.any():
            continue
        values = read(array[start : start + per_day])[chosen]
        if not np.isfinite(values).all():
            day = reader.axis.times(start, start + 1)[0].astype("datetime64[D]")
            raise IntegrityError(
                f"{Paths(config).store}/{field}: lacks values on {day}; rerun 'atmorep convert'"
            )
        found = True
        yield transforms.forward(field, values)
    if not found:
        raise DataError(f"{field}, {span}: all hours are missing; shorten data.periods.train")


def merge(config: Config, field: str) -> None:
    """Merge the partial sums of all training days to the normalisation of ``field``.

    Months without training days get the moments of all training days. A standard deviation below
    ``RELATIVE_FLOOR`` times the root mean square of its level is raised to that, and to 1 where all
    of a level is constant: dry cells and constant fields then normalise to values near 0, not to
    infinities.

    Raises:
        IntegrityError: if a partial sum is absent or unreadable.
    """
    paths, spans = Paths(config), training_spans(config.data)
    moments = [_read(paths.sums(field, span)) for span in spans]
    months = _by_month(spans, moments)
    mean = np.stack([m.mean for m in months])
    std = np.stack([floored(m.std) for m in months])
    file = _dataset(config, field, mean, std)
    sums = [paths.sums(field, span) for span in spans]
    _write(file, paths.normalisation(field), f"rerun 'atmorep statistics --field {field}'", sums)


def _by_month(spans: Sequence[Span], moments: Sequence[Moments]) -> list[Moments]:
    everything = merge_all(moments)
    months = []
    for month in range(1, 13):
        own = [m for span, m in zip(spans, moments, strict=True) if span.start.month == month]
        months.append(merge_all(own) if own else everything)
    return months


def floored(std: Array) -> Array:
    """Raise standard deviations (level, ...) that are zero or close to it; see :func:`merge`."""
    axes = tuple(range(1, std.ndim))
    typical = np.sqrt((std**2).mean(axes, keepdims=True))
    return np.where(typical > 0, np.maximum(std, RELATIVE_FLOOR * typical), 1.0)


def _dataset(config: Config, field: str, mean: Array, std: Array) -> xr.Dataset:
    grid, spec = Grid.from_config(config.data.grid), known_field(field)
    local = mean.ndim == 4
    dimensions = ("month", "level", "latitude", "longitude") if local else ("month", "level")
    coordinates: dict[str, Any] = {"month": np.arange(1, 13), "level": list(config.store_levels(field))}
    if local:
        coordinates |= {"latitude": grid.latitude, "longitude": grid.longitude}
    units = spec.units if spec.transform == "none" else "1"
    values = {"mean": mean, "std": std}
    return xr.Dataset(
        {name: (dimensions, a.astype(np.float32), {"units": units}) for name, a in values.items()},
        coords=coordinates,
        attrs={
            "field": field,
            "transform": spec.transform,
            "vertical": vertical(field),
            "training_days": ", ".join(str(span) for span in training_spans(config.data)),
            "code_version": __version__,
        },
    )


def _parts(config: Config, field: str, span: Span) -> list[Path]:
    """Manifests of the shards that hold days of ``span``."""
    around = (
        other for other in data_spans(config.data) if other.start <= span.end and span.start <= other.end
    )
    return [Paths(config).part(field, other) for other in around]


def _write(file: xr.Dataset, target: Path, remedy: str, sources: Sequence[Path]) -> None:
    with integrity.recorded(target, remedy, sources) as aside:
        file.to_netcdf(aside, engine="netcdf4")


def _read(path: Path) -> Moments:
    try:
        integrity.checked(path)
        with xr.open_dataset(path) as file:
            return Moments(*(file[name].to_numpy() for name in ("count", "mean", "squares")))
    except (OSError, KeyError, ValueError) as error:
        raise IntegrityError(f"{path}: cannot be read ({error}); delete it and run 'atmorep sums'") from None
