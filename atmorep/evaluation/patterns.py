"""Is a prediction too smooth, or too sure? Spectra, gradients, distributions of whole states.

What the statistics of cells cannot tell: how fields vary in space, how often values occur, and how large
errors are where the ensemble is narrow or wide. The former are computed of the target, of single members and
of their mean, alike, on the cells that have a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn, rfft

from atmorep.evaluation.statistics import Array, Means, Metric, Sample, Statistic, ratio
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.transforms import inverse

KM_PER_DEGREE = 111.195
"""Length of a degree of latitude on a sphere of 6371 km."""

MIN_SHARE = 0.5
"""Least share of the domain's cells with a target for a spectrum: of less, gaps would be most of it."""

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999)
"""Quantiles of the values over cells and times."""

SPREADS = 2.0 ** (np.arange(-14, 5) / 2)
"""Edges of the classes of spread and of error, as multiples of the field's standard deviation."""

ALIKE = 2.0
"""Factor from the target's variance, either way, within which a wavelength is resolved."""

AXES = {
    "power": ("band",),
    "distribution": ("edge",),
    "spread_error": ("spread", "error"),
    "squared_by_spread": ("spread",),
}
"""Axes of the statistics of whole states, by name or by its first word."""

MOMENTS: dict[str, Statistic] = {
    "target": Statistic("target", 1, lambda s: s.target),
    "prediction": Statistic("ensemble mean", 1, lambda s: s.mean),
    "squared_target": Statistic("squared target", 2, lambda s: s.target**2),
    "squared_prediction": Statistic("squared ensemble mean", 2, lambda s: s.mean**2),
    "product": Statistic("product of ensemble mean and target", 2, lambda s: s.mean * s.target),
}
"""Statistics of cells behind the correlation."""


def correlation(means: Means, members: int) -> Array:
    """Pearson's correlation of ensemble mean and target over cells and times."""
    product = means["product"] - means["prediction"] * means["target"]
    variances = [means[f"squared_{name}"] - means[name] ** 2 for name in ("prediction", "target")]
    return ratio(product, np.sqrt(np.maximum(variances[0], 0) * np.maximum(variances[1], 0)))


@dataclass(frozen=True)
class Patterns:
    """Statistics of whole states on a grid.

    Attributes:
        grid: of the cells.
        edges: edges (bins + 1,) of the classes that values are counted in, increasing.
        scale: standard deviation of the field, by which classes of spread and error are made.
    """

    grid: Grid
    edges: NDArray[np.float64]
    scale: float = 1.0

    @classmethod
    def of_field(cls, field: str, grid: Grid, mean: float, std: float) -> Patterns:
        """Classes for a field by mean and standard deviation of its transformed values."""
        low, high = inverse(field, np.array([mean, mean + std], np.float32)).astype(float)
        return cls(grid, classes(field, mean, std), high - low or 1.0)

    @cached_property
    def spacing(self) -> tuple[float, float]:
        """Distances of rows and of columns in km, columns at the mean latitude."""
        rows = self.grid.resolution * KM_PER_DEGREE
        return rows, rows * float(np.cos(np.radians(self.grid.latitude.mean())))

    @cached_property
    def _wavelength(self) -> NDArray[np.float64]:
        """Wavelength in km of the coefficients (rows, waves); infinite of the mean."""
        if self.grid.periodic:
            ring = 360 * KM_PER_DEGREE * np.cos(np.radians(self.grid.latitude))[:, None]
            number = np.arange(self.grid.shape[1] // 2 + 1)
            return np.where(number > 0, ring / np.maximum(number, 1), np.inf)
        waves = [np.arange(n) / (2 * n * d) for n, d in zip(self.grid.shape, self.spacing, strict=True)]
        with np.errstate(divide="ignore"):
            return 1 / np.hypot(waves[0][:, None], waves[1])

    @cached_property
    def bands(self) -> NDArray[np.float64]:
        """Edges (bands + 1,) in km of half octaves, from two cells to the domain's shorter side or a ring."""
        shortest, sides = 2 * max(self.spacing), np.array(self.grid.shape) * self.spacing
        longest = sides[1] if self.grid.periodic else min(sides)
        count = max(1, int(2 * np.log2(longest / shortest)))
        return shortest * 2 ** (np.arange(count + 1) / 2)

    @cached_property
    def _band(self) -> NDArray[np.int64]:
        """Number of each coefficient's band; one past the last for those in none."""
        band = np.searchsorted(self.bands, self._wavelength, side="right") - 1
        outside = (band < 0) | (band >= len(self.bands) - 1)
        return np.where(outside, len(self.bands) - 1, band)

    def power(self, states: Array, known: NDArray[np.bool_]) -> Array:
        """Variance in each band (bands,), mean over states.

        Of a ring around the Earth the zonal Fourier transform, each row with its own wavelengths and its
        area; else the cosine transform of limited areas (Denis et al. 2002,
        doi:10.1175/1520-0493(2002)130<1812:SDOTDA>2.0.CO;2). Departures from the mean of the known cells are
        transformed, and are zero elsewhere, in predictions as in the target: compare only such spectra.

        Args:
            states: (state, row, column).
            known: (row, column), True where the target is there.
        """
        if known.mean() < MIN_SHARE:
            return np.full(len(self.bands) - 1, np.nan)
        departures = np.where(known, states - _mean(states, known)[:, None, None], 0)
        if self.grid.periodic:
            squared = _zonal(departures) * self.grid.weights / len(self.grid.latitude)
        else:
            squared = (dctn(departures, axes=(1, 2), norm="ortho") ** 2).mean(axis=0) / known.size
        power: Array = np.bincount(self._band.ravel(), squared.ravel(), len(self.bands)).astype(float)
        return power[:-1]

    def gradient(self, states: Array, known: NDArray[np.bool_]) -> float:
        """Mean squared gradient per km² between neighbouring known cells, mean over states."""
        total, count = 0.0, 0
        for axis, distance in zip((1, 2), self.spacing, strict=True):
            pairs = np.diff(known.astype(np.int8), axis=axis - 1) == 0
            pairs &= np.take(known, np.arange(known.shape[axis - 1] - 1), axis=axis - 1)
            squared = (np.diff(states, axis=axis) / distance) ** 2
            total += float(squared[:, pairs].sum()) / len(states)
            count += int(pairs.sum())
        return total / count if count else np.nan

    def variance(self, states: Array, known: NDArray[np.bool_]) -> float:
        """Variance in space of the known cells, mean over states."""
        return float(states[:, known].var(axis=1).mean()) if known.any() else np.nan

    def distribution(self, states: Array, weights: NDArray[np.float64]) -> Array:
        """Share of the weight (bins + 1,) below each edge; values beyond the ends go to the last classes."""
        place = np.clip(np.searchsorted(self.edges, states, side="right") - 1, 0, len(self.edges) - 2)
        counts = np.bincount(
            place.ravel(), np.broadcast_to(weights, states.shape).ravel(), len(self.edges) - 1
        )
        below = np.concatenate([[0.0], counts.cumsum()])
        return ratio(below, below[-1])

    def errors(self, sample: Sample, weights: NDArray[np.float64]) -> dict[str, Array]:
        """How large errors are by spread, of cells (cell,) with their weights; NaN of one member.

        Returns:
            ``spread_error``: share of the weight in classes (spread, error), the ensemble's standard
            deviation and the size of its mean's error, as Lessig et al. 2023 draw them; and
            ``squared_by_spread``: squared error by class of spread, times the share of the class.
        """
        size = len(SPREADS) - 1
        if len(sample.members) == 1 or not weights.size:
            lacking = np.full((size, size), np.nan)
            return {"spread_error": lacking, "squared_by_spread": lacking[0]}
        spread = sample.members.std(axis=0, ddof=1)
        rows, columns = (
            np.clip(np.searchsorted(SPREADS * self.scale, values, side="right") - 1, 0, size - 1)
            for values in (spread, np.abs(sample.error))
        )
        joint = np.bincount(size * rows + columns, weights, size**2).reshape(size, size)
        squared = np.bincount(rows, weights * sample.error**2, size)
        return {"spread_error": joint / weights.sum(), "squared_by_spread": squared / weights.sum()}

    def of(self, sample: Sample, weights: NDArray[np.float64]) -> dict[str, Array]:
        """Statistics of one state by name, of the cells (row, column) that have weight and a target."""
        known = ~np.isnan(sample.target) & (weights > 0)
        found: dict[str, Array] = {}
        for name, states in (
            ("target", sample.target[None]),
            ("members", sample.members),
            ("mean", sample.mean[None]),
        ):
            found[f"power_of_{name}"] = self.power(states, known)
            found[f"gradient_of_{name}"] = np.asarray(self.gradient(states, known))
            found[f"variance_of_{name}"] = np.asarray(self.variance(states, known))
        found["distribution"] = self.distribution(sample.members[:, known], weights[known])
        cells = Sample(sample.target[known], sample.members[:, known])
        return found | self.errors(cells, weights[known])

    DESCRIBED: ClassVar[dict[str, tuple[str, int]]] = {
        **{f"power_of_{k}": (f"variance by wavelength of the {k}", 2) for k in ("target", "members", "mean")},
        **{
            f"gradient_of_{k}": (f"squared gradient per km**2 of the {k}", 2)
            for k in ("target", "members", "mean")
        },
        **{f"variance_of_{k}": (f"variance in space of the {k}", 2) for k in ("target", "members", "mean")},
        "distribution": ("share of the members' values below edges of classes", 0),
        "spread_error": ("share by classes of the ensemble's spread and of its mean's error", 0),
        "squared_by_spread": ("squared error by class of spread, times the share of the class", 2),
    }
    """What each statistic is, and the power of the field's unit that it is in."""

    def metrics(self) -> Iterator[tuple[str, Metric]]:
        """Ratios of prediction to target, quantiles and the error at some spread, by name.

        Such as ``power_ratio@35km``, ``quantile@0.5``, and ``rmse_at_spread@0.35`` in the field's unit.
        """
        for of, prefix in (("members", ""), ("mean", "mean_")):
            yield f"{prefix}variance_ratio", partial(_ratio, name="variance", of=of)
            yield f"{prefix}gradient_ratio", partial(_ratio, name="gradient", of=of)
            for band, label in enumerate(self.band_labels):
                yield f"{prefix}power_ratio@{label}km", partial(_ratio, name="power", of=of, band=band)
            yield f"{prefix}effective_resolution", partial(effective_resolution, of=of, bands=self.bands)
        for share in QUANTILES:
            yield f"quantile@{share:g}", partial(quantile, share=share, edges=self.edges)
        for number, middle in enumerate(np.sqrt(SPREADS[:-1] * SPREADS[1:]) * self.scale):
            yield f"rmse_at_spread@{_digits(middle)}", partial(_rmse_at_spread, number=number)

    @property
    def band_labels(self) -> list[str]:
        """Middles of the bands in km, three digits."""
        return [_digits(value) for value in np.sqrt(self.bands[:-1] * self.bands[1:])]


def _digits(value: float) -> str:
    """Three digits, without an exponent where it is not small: 1590, not 1.59e+03."""
    return f"{float(f'{value:.3g}'):g}"


def _mean(states: Array, known: NDArray[np.bool_]) -> Array:
    mean: Array = states[:, known].mean(axis=1)
    return mean


def _ratio(means: Means, members: int, name: str, of: str, band: int | None = None) -> Array:
    """A statistic of the prediction over the target's."""
    index = (...,) if band is None else (..., band)
    return ratio(means[f"{name}_of_{of}"][index], means[f"{name}_of_target"][index])


def _zonal(states: Array) -> Array:
    """Variance (row, wave number) along the rows of states (state, row, column), mean over states."""
    columns = states.shape[2]
    squared: Array = (np.abs(rfft(states, axis=2)) ** 2).mean(axis=0) / columns**2
    squared[:, 1 : (columns + 1) // 2] *= 2  # the conjugates
    return squared


def effective_resolution(means: Means, members: int, of: str, bands: NDArray[np.float64]) -> Array:
    """Wavelength in km down to which a prediction's variance is within ``ALIKE`` times the target's.

    Where the spectrum leaves that of reference (Skamarock 2004, doi:10.1175/MWR2830.1), here the target's,
    be it for too little variance or for noise: going from long waves to short, linear in the logarithms
    between middles of bands. The shortest band's edge where it never does, the longest one's where it is
    off from the start.
    """
    share = ratio(means[f"power_of_{of}"], means["power_of_target"])[..., ::-1]
    with np.errstate(divide="ignore"):
        off = np.abs(np.log(share)) / np.log(ALIKE)
    middles, last = np.log(np.sqrt(bands[:-1] * bands[1:]))[::-1], len(bands) - 2
    after = np.minimum(np.maximum((off > 1).argmax(axis=-1), 1), last)[..., None]
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(off, k, -1)[..., 0] for k in (before, after))
    part = np.clip(ratio(1 - low, high - low), 0, 1)
    between = middles[before[..., 0]] + part * (middles[after[..., 0]] - middles[before[..., 0]])
    found = np.where(off[..., 0] > 1, bands[-1], np.exp(between))
    found = np.where((off > 1).any(axis=-1), found, bands[0])
    return np.where(np.isfinite(share).any(axis=-1), found, np.nan)


def _rmse_at_spread(means: Means, members: int, number: int) -> Array:
    """RMSE where the ensemble's spread is in a class."""
    share = means["spread_error"][..., number, :].sum(axis=-1)
    return np.sqrt(ratio(means["squared_by_spread"][..., number], share))


def quantile(means: Means, members: int, share: float, edges: NDArray[np.float64]) -> Array:
    """Value that ``share`` of the members' values do not exceed, linear within a class."""
    below = means["distribution"]
    place = np.clip((below[..., 1:] < share * below[..., -1:]).sum(axis=-1), 0, len(edges) - 2)
    low, high = (np.take_along_axis(below, (place + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    part = np.clip(ratio(share * below[..., -1] - low, high - low), 0, 1)
    value: Array = edges[place] + part * (edges[place + 1] - edges[place])
    return value


def classes(field: str, mean: float, std: float, count: int = 512) -> NDArray[np.float64]:
    """Edges (count + 1,) in physical units of classes that are of equal width in transformed values.

    They reach eight standard deviations about the mean, or from the floor of the field upward; the first
    class then holds hardly more than the floor itself.
    """
    floor = known_field(field).floor
    even = np.linspace(mean - 8 * std, mean + 8 * std, count + 1).astype(np.float32)
    edges = inverse(field, even).astype(np.float64)
    if floor is None or edges[0] > floor:
        return edges
    above = edges[edges > floor]
    return np.concatenate([[floor, floor + 1e-3 * (above[0] - floor)], above])
