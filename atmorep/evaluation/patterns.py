"""Is a prediction too smooth? Moments, gradients, spectra and distribution of whole states.

What the statistics of cells cannot tell: how fields vary in space, and how often values occur. Each is
computed of the target, of single members and of their mean, alike, on the cells that have a target.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

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
    """

    grid: Grid
    edges: NDArray[np.float64]

    @cached_property
    def spacing(self) -> tuple[float, float]:
        """Distances of rows and of columns in km, columns at the mean latitude."""
        rows = self.grid.resolution * KM_PER_DEGREE
        return rows, rows * float(np.cos(np.radians(self.grid.latitude.mean())))

    @cached_property
    def _wavelength(self) -> NDArray[np.float64]:
        """Wavelength in km of the cosines (rows, columns); infinite of the mean."""
        waves = [np.arange(n) / (2 * n * d) for n, d in zip(self.grid.shape, self.spacing, strict=True)]
        with np.errstate(divide="ignore"):
            return 1 / np.hypot(waves[0][:, None], waves[1])

    @cached_property
    def bands(self) -> NDArray[np.float64]:
        """Edges (bands + 1,) in km of half octaves, from two cells to the domain's shorter side."""
        shortest = 2 * max(self.spacing)
        longest = min(n * d for n, d in zip(self.grid.shape, self.spacing, strict=True))
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

        Of the cosine transform of limited areas (Denis et al. 2002,
        doi:10.1175/1520-0493(2002)130<1812:SDOTDA>2.0.CO;2). Departures from the mean of the known cells are
        transformed, and are zero elsewhere, in predictions as in the target: compare only such spectra.

        Args:
            states: (state, row, column).
            known: (row, column), True where the target is there.
        """
        if known.mean() < MIN_SHARE:
            return np.full(len(self.bands) - 1, np.nan)
        departures = np.where(known, states - _mean(states, known)[:, None, None], 0)
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

    def histogram(self, states: Array, weights: NDArray[np.float64]) -> Array:
        """Share of the weight (bins,) of values in each class; those beyond the ends go to the last ones."""
        place = np.clip(np.searchsorted(self.edges, states, side="right") - 1, 0, len(self.edges) - 2)
        counts = np.bincount(
            place.ravel(), np.broadcast_to(weights, states.shape).ravel(), len(self.edges) - 1
        )
        return ratio(counts.astype(float), np.asarray(counts.sum(), float))

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
        found["histogram"] = self.histogram(sample.members[:, known], weights[known])
        return found

    DESCRIBED: ClassVar[dict[str, tuple[str, int]]] = {
        **{f"power_of_{k}": (f"variance by wavelength of the {k}", 2) for k in ("target", "members", "mean")},
        **{
            f"gradient_of_{k}": (f"squared gradient per km**2 of the {k}", 2)
            for k in ("target", "members", "mean")
        },
        **{f"variance_of_{k}": (f"variance in space of the {k}", 2) for k in ("target", "members", "mean")},
        "histogram": ("share of the members' values in classes", 0),
    }
    """What each statistic is, and the power of the field's unit that it is in."""

    def metrics(self) -> Iterator[tuple[str, Metric]]:
        """Ratios of prediction to target, and quantiles, by name: ``power_ratio@35km``, ``quantile@0.5``."""
        for of, prefix in (("members", ""), ("mean", "mean_")):
            yield f"{prefix}variance_ratio", partial(_ratio, name="variance", of=of)
            yield f"{prefix}gradient_ratio", partial(_ratio, name="gradient", of=of)
            for band, label in enumerate(self.band_labels):
                yield f"{prefix}power_ratio@{label}km", partial(_ratio, name="power", of=of, band=band)
        for share in QUANTILES:
            yield f"quantile@{share:g}", partial(quantile, share=share, edges=self.edges)

    @property
    def band_labels(self) -> list[str]:
        """Middles of the bands in km, three digits."""
        return [f"{value:.3g}" for value in np.sqrt(self.bands[:-1] * self.bands[1:])]


def _mean(states: Array, known: NDArray[np.bool_]) -> Array:
    mean: Array = states[:, known].mean(axis=1)
    return mean


def _ratio(means: Means, members: int, name: str, of: str, band: int | None = None) -> Array:
    """A statistic of the prediction over the target's."""
    index = (...,) if band is None else (..., band)
    return ratio(means[f"{name}_of_{of}"][index], means[f"{name}_of_target"][index])


def quantile(means: Means, members: int, share: float, edges: NDArray[np.float64]) -> Array:
    """Value that ``share`` of the members' values do not exceed, linear within a class."""
    counts = means["histogram"]
    above = np.concatenate([np.zeros_like(counts[..., :1]), counts.cumsum(axis=-1)], axis=-1)
    place = np.clip((above[..., 1:] < share * above[..., -1:]).sum(axis=-1), 0, len(edges) - 2)
    low, high = (np.take_along_axis(above, (place + k)[..., None], axis=-1)[..., 0] for k in (0, 1))
    part = np.clip(ratio(share * above[..., -1] - low, high - low), 0, 1)
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
