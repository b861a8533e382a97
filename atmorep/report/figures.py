"""Line plots: skill against lead time or level, and training curves."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atmorep.report import units
from atmorep.report.skill import Scores

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.88",
    "legend.frameon": False,
}

# Okabe and Ito's palette, told apart by marker and dashes too.
_LINES: dict[str, dict[str, Any]] = {
    "atmorep": {"color": "#0072B2", "marker": "o", "linestyle": "-", "linewidth": 2},
    "single": {"color": "#E69F00", "marker": "P", "linestyle": (0, (6, 2))},
    "persistence": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "climatology": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "linear": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
    "target": {"color": "black", "marker": "", "linestyle": "-"},
    "raw": {"color": "0.35", "marker": "v", "linestyle": (0, (5, 2, 1, 2))},
    "bilinear": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "bicubic": {"color": "#E69F00", "marker": "P", "linestyle": (0, (6, 2))},
    "lapse_rate": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "regression": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
    "quantile_mapping": {"color": "#56B4E9", "marker": "X", "linestyle": (0, (3, 1, 1, 1))},
    "unet": {"color": "#A08000", "marker": "*", "linestyle": (0, (8, 2))},
}
_SPREAD: dict[str, Any] = {
    "color": "#56B4E9",
    "marker": "x",
    "linestyle": (0, (1, 1)),
    "label": "AtmoRep's spread",
}
_OTHER: dict[str, Any] = {"color": "0.35", "marker": "v", "linestyle": (0, (5, 2, 1, 2))}


@dataclass(frozen=True)
class Picture:
    """One figure of the report.

    Attributes:
        name: file name without folder.
        data: the image file.
        alt: what it shows, for those who cannot see it.
        caption: what the reader should know.
    """

    name: str
    data: bytes
    alt: str
    caption: str

    @property
    def uri(self) -> str:
        """The image as a data URI."""
        media = "image/svg+xml" if self.name.endswith(".svg") else "image/webp"
        return f"data:{media};base64,{base64.b64encode(self.data).decode()}"


def panels(rows: int, columns: int, height: float, legend: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of plots in a grid, with margins in inches: quicker than a layout found by trial.

    Args:
        rows: rows of plots.
        columns: columns of plots.
        height: height of a plot in inches.
        legend: rows of a legend above, for which room is left.
    """
    left, below, above, width = 0.65, 0.5, 0.2 + 0.2 * legend if legend else 0.12, 8.4
    tall = rows * (height + below) + above
    figure = Figure(figsize=(width, tall))
    figure.subplots_adjust(
        left=left / width,
        right=1 - 0.1 / width,
        bottom=below / tall,
        top=1 - above / tall,
        wspace=left * columns / (width - left * columns) * 1.25,
        hspace=below / height,
    )
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def save(figure: Figure, name: str, alt: str, caption: str) -> Picture:
    """Render ``figure`` in the format its name says."""
    buffer, kind = io.BytesIO(), name.rsplit(".", 1)[1]
    with rc_context({"svg.hashsalt": "atmorep"}):  # the same figure gives the same bytes
        options = {"metadata": {"Date": None}} if kind == "svg" else {"pil_kwargs": {"quality": 90}}
        figure.savefig(buffer, format=kind, dpi=110, **options)
    return Picture(name, buffer.getvalue(), alt, caption)


CROWDED = 100
"""Initial times from which markers hide the lines."""


def line(model: str) -> dict[str, Any]:
    """Colour, marker, dashes and name of a model."""
    return {**_LINES.get(model, _OTHER), "label": units.MODELS.get(model, model), "markersize": 5}


def legend_rows(scores: Scores, more: int = 0) -> int:
    """Rows of a legend in five columns of all models and ``more`` lines."""
    return -(-(len(scores.models) + more) // 5)


def bars(rows: pd.DataFrame) -> Any:
    """Distances of the interval's ends from the value (2, rows); none where there is no interval."""
    value = rows["value"].to_numpy(float)
    ends = np.stack([value - rows["lower"].to_numpy(float), rows["upper"].to_numpy(float) - value])
    return np.nan_to_num(np.maximum(ends, 0))


_PANELS = ("rmse", "acc", "crps", "bias")


def skill_by_lead(scores: Scores, level: int) -> Picture:
    """Scores against lead time with 95 % intervals, at one level."""
    shown = [name for name in _PANELS if name in scores.metrics]
    with rc_context(STYLE):
        figure, axes = panels((len(shown) + 1) // 2, 2, 2.2, legend_rows(scores, 1))
        for axis, name in zip(axes, shown, strict=False):
            _lead_panel(axis, scores, name, level)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=5)
    what = f"{units.title(scores.field)}, {scores.title.lower()}, {scores.level(level)}"
    name = f"{scores.field.name}-{scores.task}-{level}-skill.svg"
    alt = (
        f"{what}: {', '.join(units.metric(m).title for m in shown)} against lead time. {_ends(scores, level)}"
    )
    caption = f"{what}: skill against lead time. Bars: 95 % intervals."
    return save(figure, name, alt, caption)


def _lead_panel(axis: Axes, scores: Scores, name: str, level: int) -> None:
    region = scores.regions[0]
    spread = (len(scores.models) - 1) / 2
    width = (max(scores.leads) - min(scores.leads)) or 1
    for place, model in enumerate(scores.models):
        rows = scores.curve(model, name, level, region)
        if rows.empty:
            continue
        # side by side, so that bars of equal scores do not hide each other
        x = rows["lead_hours"].to_numpy(float) + (place - spread) * width * 0.012
        axis.errorbar(x, rows["value"], yerr=bars(rows), capsize=2.5, **line(model))
    if name == "rmse" and not (rows := scores.curve("atmorep", "spread", level, region)).empty:
        axis.errorbar(rows["lead_hours"], rows["value"], yerr=bars(rows), capsize=2.5, **_SPREAD)
    axis.set_xlabel("Lead time (h)")
    axis.set_ylabel(scores.heading(name))
    axis.set_xticks(scores.leads)
    if name in ("rmse", "crps"):
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
    if name == "bias":
        axis.axhline(0, color="0.3", linewidth=0.8)


def _ends(scores: Scores, level: int) -> str:
    """RMSE of each model at the longest lead time, in a sentence."""
    where, places = (scores.regions[0], level, scores.leads[-1]), scores.places("rmse")
    parts = [
        f"{units.MODELS.get(model, model)} {units.number(row['value'], places)}"
        for model in scores.models
        if (row := scores.row(model, "rmse", where)) is not None
    ]
    return f"RMSE at {scores.leads[-1]:g} h in {units.display(scores.field).units}: {', '.join(parts)}."


def skill_by_level(scores: Scores) -> Picture:
    """Scores of a task with one lead time, level by level, with 95 % intervals."""
    shown = [name for name in _PANELS if name in scores.metrics][:2]
    height = 0.5 + max(0.5, 0.1 * len(scores.models)) * len(scores.levels)
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, axes = panels(1, len(shown), height, legend_rows(scores))
        for axis, name in zip(axes, shown, strict=True):
            _level_panel(axis, scores, name)
        for axis in axes[1:]:
            axis.tick_params(labelleft=False)
        figure.subplots_adjust(left=0.13, wspace=0.08)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=5)
    what = f"{units.title(scores.field)}, {scores.title.lower()}"
    name = f"{scores.field.name}-{scores.task}-skill.svg"
    caption = f"{what}: skill of each model by level. Bars: 95 % intervals."
    ends = " ".join(f"At {scores.level(level)}: {_ends(scores, level)}" for level in scores.levels)
    return save(figure, name, f"{what}: scores of each model by level. {ends}", caption)


def _level_panel(axis: Axes, scores: Scores, name: str) -> None:
    """Points with horizontal bars; levels downward, models of one level below each other."""
    for place, model in enumerate(scores.models):
        style = {**line(model), "linestyle": "none"}
        shift = min(0.16, 0.8 / len(scores.models)) * (place - (len(scores.models) - 1) / 2)
        rows = pd.concat(scores.curve(model, name, level, scores.regions[0]) for level in scores.levels)
        height = np.array([scores.levels.index(level) for level in rows["level"]]) + shift
        axis.errorbar(rows["value"], height, xerr=bars(rows), capsize=2.5, **style)
    axis.set_yticks(range(len(scores.levels)), [scores.level(level) for level in scores.levels])
    axis.set_ylim(len(scores.levels) - 0.5, -0.5)
    axis.set_xlabel(scores.heading(name))
    if name == "rmse":
        axis.set_xlim(0, 1.05 * axis.get_xlim()[1])
    axis.xaxis.set_major_locator(MaxNLocator(5))  # labels of an ACC near one are long


def error_by_time(scores: Scores, statistics: xr.Dataset, level: int, lead: float) -> Picture:
    """RMSE of each initial time, of AtmoRep and the baselines.

    Args:
        scores: of the field and task, for names and units.
        statistics: area means per initial time; the squared error is shown, as its root.
        level: the level shown.
        lead: lead time in hours.
    """
    hours = statistics["lead_time"].to_numpy().astype("timedelta64[h]").astype(float)
    squared = statistics["squared_error"].sel(task=scores.task, region=scores.regions[0], level=level)
    squared = squared.isel(lead_time=int(np.argmax(hours == lead))).dropna("init_time", how="all")
    times = squared["init_time"].to_numpy()
    step = np.diff(times).min() if len(times) > 1 else np.timedelta64(1, "D")
    # a gap between test periods is no line
    gaps = np.flatnonzero(np.diff(times) > step) + 1
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, 1.9, legend_rows(scores))
        for model in scores.models:
            error = np.sqrt(squared.sel(model=model).to_numpy()) * units.display(scores.field).factor
            style = {**line(model), "markersize": 2.5 if len(times) <= CROWDED else 0, "linewidth": 1}
            axis.plot(np.insert(times, gaps, times[gaps]), np.insert(error, gaps, np.nan), **style)
        axis.set_ylim(0, 1.05 * axis.get_ylim()[1])
        axis.set_ylabel(scores.heading("rmse"))
        axis.set_xlabel("Initial time (UTC)")
        locator = AutoDateLocator(maxticks=8)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=5)
    what = f"{units.title(scores.field)}, {scores.title.lower()}, {scores.level(level)}"
    what += f", lead time {lead:g} h" if lead else ""
    caption = f"{what}: RMSE of each of {len(times)} initial times."
    return save(figure, f"{scores.field.name}-{scores.task}-times.svg", caption, caption)


def training_curves(name: str, training: pd.DataFrame) -> Picture:
    """Training and validation loss, validation RMSE and learning rate against samples seen.

    Args:
        name: what was trained.
        training: one row an epoch, with samples, train_loss, val_loss, val_rmse and lr.
    """
    samples = training["samples"].to_numpy(float)
    with rc_context(STYLE):
        figure, (loss, rmse, rate) = panels(1, 3, 2.2, legend=0)
        loss.plot(samples, training["train_loss"], "-", color="#0072B2", label="training")
        loss.plot(samples, training["val_loss"], "--", color="#D55E00", label="validation")
        best = int(training["val_loss"].argmin())
        loss.plot(samples[best], training["val_loss"].iloc[best], "o", color="#D55E00", label="kept weights")
        loss.set_ylabel("Loss (1)")
        loss.legend()
        rmse.plot(samples, training["val_rmse"], "--", color="#D55E00")
        rmse.set_ylabel("Validation RMSE (std. dev.)")
        rmse.set_ylim(0, 1.1 * training["val_rmse"].max())
        rate.plot(samples, 1e4 * training["lr"], "-", color="#009E73")
        rate.set_ylabel("Learning rate (10⁻⁴)")
        rate.set_ylim(0, 1.1e4 * training["lr"].max())
        for axis in (loss, rmse, rate):
            axis.set_xlabel("Samples seen")
            axis.xaxis.set_major_locator(MaxNLocator(4))
            if len(samples) == 1:
                axis.lines[0].set_marker("o")
    last = training.iloc[-1]
    text = (
        f"after {len(training)} epochs the training loss is {last['train_loss']:.3g}, the validation loss "
        f"{last['val_loss']:.3g}; its minimum is {training['val_loss'].min():.3g}, after epoch {best + 1}"
    )
    caption = f"Training of {name}: {text}."
    return save(figure, f"{name.replace(', ', '-').replace(' ', '-')}-training.svg", caption, caption)
