"""Units a forecaster reads, numbers with few digits, and the names of tasks, models and scores."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from atmorep.fields import Field

MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Display:
    """How values of a field are shown: stored value × ``factor`` in ``units``."""

    units: str
    factor: float = 1.0


_DISPLAY = {
    "Pa": Display("hPa", 1e-2),
    "m": Display("mm", 1e3),  # the only field in m is a depth of precipitation
    "kg kg**-1": Display("g kg⁻¹", 1e3),
    "s**-1": Display("10⁻⁵ s⁻¹", 1e5),
}


def display(field: Field) -> Display:
    """Return the units ``field`` is shown in, by its stored units."""
    superscript = field.units.replace("**", "").translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return _DISPLAY.get(field.units, Display(superscript))


def title(field: Field) -> str:
    """The field's long name in words, capitalised, e.g. ``2m temperature``."""
    words = field.long_name.replace("_", " ")
    return words[0].upper() + words[1:]


@dataclass(frozen=True)
class Metric:
    """A score: how it is called, whether it has the field's units, and which way is better.

    Attributes:
        title: heading of a column.
        better: "lower", "higher", or "" where neither is better in itself.
        physical: True if in the field's units.
        note: one line for the reader.
        units: where it has not the field's.
    """

    title: str
    better: str
    physical: bool
    note: str
    units: str = "1"


METRICS = {
    "rmse": Metric("RMSE", "lower", True, "root-mean-square error; 0 is perfect"),
    "mae": Metric("MAE", "lower", True, "mean absolute error; 0 is perfect"),
    "bias": Metric("Bias", "", True, "mean of prediction minus target; 0 is perfect"),
    "acc": Metric(
        "ACC", "higher", False, "correlation of the departures from climatology; 1 is perfect, 0 is no skill"
    ),
    "crps": Metric(
        "CRPS",
        "lower",
        True,
        "continuous ranked probability score of the ensemble, for a baseline its MAE; 0 is perfect",
    ),
    "fair_crps": Metric(
        "Fair CRPS",
        "lower",
        True,
        "the same, were the members random draws of a distribution: no penalty for being few",
    ),
    "spread": Metric("Spread", "", True, "standard deviation of the ensemble"),
    "spread_skill": Metric(
        "Spread/skill",
        "",
        False,
        "spread over RMSE, corrected for the number of members; 1 is reliable, below 1 is too sure",
    ),
}
"""Scores in the order of the tables; any other is shown under its own name."""

TASK_METRICS = {
    "correlation": Metric("Correlation", "higher", False, "of ensemble mean and target over cells and times"),
    "effective_resolution": Metric(
        "Effective resolution",
        "lower",
        False,
        "wavelength down to which the variance of single members is within a factor of two of the target's",
        "km",
    ),
    "mean_effective_resolution": Metric(
        "Effective resolution of the mean", "lower", False, "the same of the ensemble mean", "km"
    ),
    "variance_ratio": Metric(
        "Variance ratio",
        "",
        False,
        "variance in space of single members over the target's; below 1 is too smooth",
    ),
    "mean_variance_ratio": Metric("Variance ratio of the mean", "", False, "the same of the ensemble mean"),
    "gradient_ratio": Metric(
        "Gradient ratio", "", False, "mean squared gradient of single members over the target's"
    ),
    "mean_gradient_ratio": Metric("Gradient ratio of the mean", "", False, "the same of the ensemble mean"),
    "frequency_bias": Metric("Frequency bias", "", False, "predicted over observed events; 1 is perfect"),
    "pod": Metric("POD", "higher", False, "probability of detection: share of the events that was predicted"),
    "far": Metric(
        "FAR", "lower", False, "false alarm ratio: share of the predicted events that did not come"
    ),
    "csi": Metric("CSI", "higher", False, "critical success index: hits over hits, misses and false alarms"),
    "ets": Metric(
        "ETS", "higher", False, "equitable threat score: CSI less the hits of chance; 1 is perfect"
    ),
    "fss": Metric(
        "FSS", "higher", False, "fractions skill score on squares of so many cells a side; 1 is perfect"
    ),
    "brier": Metric("Brier score", "lower", False, "mean squared error of the share of members that exceed"),
    "member_frequency_bias": Metric(
        "Frequency bias of members", "", False, "events in single members over observed events"
    ),
    "quantile": Metric("Quantile", "", True, "of the values of single members over cells and times"),
    "rmse_at_spread": Metric("RMSE at a spread", "", True, "where the ensemble is as narrow or wide"),
    "diurnal": Metric("Mean by hour", "", True, "mean over the domain at an hour of the day"),
}
"""Scores of whole states and of downstream tasks; those of events and squares by threshold and size."""

REGIONS = {
    "domain": "Whole domain",
    "northern": "Northern extratropics",
    "tropics": "Tropics",
    "southern": "Southern extratropics",
}
"""Names of the regions; any other is shown under its own name."""

MODELS = {
    "atmorep": "AtmoRep",
    "single": "Field alone",
    "zero_shot": "Zero-shot",
    "persistence": "Persistence",
    "climatology": "Climatology",
    "damped_persistence": "Damped persistence",
    "linear": "Linear interpolation",
    "harmonic": "Interpolation in space",
    "raw": "Raw guess",
    "bilinear": "Bilinear",
    "bicubic": "Bicubic",
    "lapse_rate": "Lapse rate",
    "regression": "Regression",
    "quantile_mapping": "Quantile mapping",
    "unet": "U-Net",
    "target": "Target",
}
"""Names of the models; any other is shown under its own name."""

TASKS = {
    "reconstruction": "Masked reconstruction",
    "forecast": "Forecast",
    "temporal_interpolation": "Temporal interpolation",
    "hindcast": "Hindcast",
    "spatial": "Gaps in space",
}
"""Names of the tasks; any other is shown under its own name."""


def metric(name: str) -> Metric:
    """Return how the score ``name`` is shown, whatever its threshold and size."""
    base = re.split("[>@]", name)[0]
    return {**METRICS, **TASK_METRICS}.get(base, Metric(base.replace("_", " "), "", False, ""))


def parameter(name: str) -> str:
    """What follows the sign in the name of a score: ``5`` of ``fss>0.001@5``, ``0.001`` of ``csi>0.001``."""
    return re.split("[>@]", name)[-1]


def in_order(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Distinct ``names``: those of ``known`` in its order, then the others sorted."""
    found = set(names)
    first = [name for name in known if name in found]
    return first + sorted(found.difference(first))


def decimals(values: Iterable[float]) -> int:
    """Decimals that give about three significant digits to a typical one of ``values``."""
    sizes = sorted(abs(v) for v in values if math.isfinite(v) and v)
    typical = sizes[len(sizes) // 2] if sizes else 1.0
    return min(max(2 - math.floor(math.log10(typical)), 0), 6)


def number(value: float, places: int) -> str:
    """``value`` with ``places`` decimals and a true minus sign; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if not float(text) else text.replace("-", MINUS)


def interval(lower: float, upper: float, places: int) -> str:
    """A 95 % interval in brackets."""
    if not (math.isfinite(lower) and math.isfinite(upper)):
        return "[no interval]"
    return f"[{number(lower, places)}, {number(upper, places)}]"
