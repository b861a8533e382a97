"""Line plots: skill against lead time or level, and training curves."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from atmorep.report import units
from atmorep.report.skill import Scores

STYLE = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.88",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "atmorep",  # the same figure gives the same bytes
}

# Okabe and Ito's palette, told apart by marker and dashes too.
_LINES: dict[str, dict[str, Any]] = {
    "atmorep": {"color": "#0072B2", "marker": "o", "linestyle": "-", "linewidth": 2},
    "persistence": {"color": "#D55E00", "marker": "s", "linestyle": "--"},
    "climatology": {"color": "#009E73", "marker": "^", "linestyle": "-."},
    "linear": {"color": "#CC79A7", "marker": "D", "linestyle": ":"},
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
        media = "image/svg+xml" if self.name.endswith(".svg") else "image/png"
        return f"data:{media};base64,{base64.b64encode(self.data).decode()}"


def save(figure: Figure, name: str, alt: str, caption: str) -> Picture:
    """Render ``figure`` in the format its name says."""
    buffer, kind = io.BytesIO(), name.rsplit(".", 1)[1]
    figure.savefig(buffer, format=kind, dpi=110, metadata={"Date": None} if kind == "svg" else None)
    return Picture(name, buffer.getvalue(), alt, caption)


def _line(model: str) -> dict[str, Any]:
    return {**_LINES.get(model, _OTHER), "label": units.MODELS.get(model, model), "markersize": 5}


def _bars(rows: pd.DataFrame) -> Any:
    """Distances of the interval's ends from the value (2, rows); none where there is no interval."""
    value = rows["value"].to_numpy(float)
    ends = np.stack([value - rows["lower"].to_numpy(float), rows["upper"].to_numpy(float) - value])
    return np.nan_to_num(np.maximum(ends, 0))


_PANELS = ("rmse", "acc", "crps", "bias")


def skill_by_lead(scores: Scores, level: int) -> Picture:
    """Scores against lead time with 95 % intervals, at one level."""
    shown = [name for name in _PANELS if name in scores.metrics]
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.0 * ((len(shown) + 1) // 2) + 0.4))
        axes = list(figure.subplots((len(shown) + 1) // 2, 2, squeeze=False).flat)
        for axis, name in zip(axes, shown, strict=False):
            _lead_panel(axis, scores, name, level)
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        first = figure.axes[0].get_legend_handles_labels()
        figure.legend(*first, loc="outside upper center", ncols=5)
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
        x = rows["lead_hours"].to_numpy(float) + (place - spread) * width * 0.008
        axis.errorbar(x, rows["value"], yerr=_bars(rows), capsize=2.5, **_line(model))
    if name == "rmse" and not (rows := scores.curve("atmorep", "spread", level, region)).empty:
        axis.plot(
            rows["lead_hours"],
            rows["value"],
            color="#56B4E9",
            marker="x",
            linestyle=(0, (1, 1)),
            label="AtmoRep's spread",
        )
    axis.set_xlabel("Lead time (h)")
    axis.set_ylabel(scores.heading(name))
    axis.set_xticks(scores.leads)
    if name in ("rmse", "crps"):
        axis.set_ylim(bottom=0)
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
    shown = [name for name in ("rmse", "acc") if name in scores.metrics]
    levels, lead, region = scores.levels, scores.leads[0], scores.regions[0]
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure = Figure(figsize=(8.4, 1.3 + 0.55 * len(levels)))
        for axis, name in zip(figure.subplots(1, len(shown), squeeze=False).flat, shown, strict=True):
            for place, model in enumerate(scores.models):
                for row, level in enumerate(levels):
                    found = scores.curve(model, name, level, region)
                    found = found[found["lead_hours"] == lead]
                    style = {**_line(model), "linestyle": "none"}
                    if row:
                        style["label"] = "_"
                    height = np.full(len(found), row + 0.16 * (place - (len(scores.models) - 1) / 2))
                    axis.errorbar(found["value"], height, xerr=_bars(found), capsize=2.5, **style)
            axis.set_yticks(range(len(levels)), [scores.level(level) for level in levels])
            axis.set_ylim(len(levels) - 0.5, -0.5)
            axis.set_xlabel(scores.heading(name))
            if name == "rmse":
                axis.set_xlim(left=0)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    what = f"{units.title(scores.field)}, {scores.title.lower()}"
    name = f"{scores.field.name}-{scores.task}-skill.svg"
    caption = f"{what}: skill of each model by level. Bars: 95 % intervals."
    ends = " ".join(f"At {scores.level(level)}: {_ends(scores, level)}" for level in levels)
    return save(figure, name, f"{what}: scores of each model by level. {ends}", caption)


def training_curves(name: str, training: pd.DataFrame) -> Picture:
    """Training and validation loss, validation RMSE and learning rate against samples seen.

    Args:
        name: the field.
        training: one row an epoch, with samples, train_loss, val_loss, val_rmse and lr.
    """
    samples = training["samples"].to_numpy(float)
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, 2.9))
        loss, rmse, rate = figure.subplots(1, 3)
        loss.plot(samples, training["train_loss"], "-", color="#0072B2", label="training")
        loss.plot(samples, training["val_loss"], "--", color="#D55E00", label="validation")
        loss.set_ylabel("Loss (1)")
        loss.legend()
        rmse.plot(samples, training["val_rmse"], "--", color="#D55E00")
        rmse.set_ylabel("Validation RMSE (standard deviations)")
        rmse.set_ylim(bottom=0)
        rate.plot(samples, training["lr"], "-", color="#009E73")
        rate.set_ylabel("Learning rate (1)")
        rate.set_ylim(bottom=0)
        for axis in (loss, rmse, rate):
            axis.set_xlabel("Samples seen")
            axis.xaxis.set_major_locator(MaxNLocator(4))
            if len(samples) == 1:
                axis.lines[0].set_marker("o")
    last = training.iloc[-1]
    text = (
        f"after {len(training)} epochs the training loss is {last['train_loss']:.3g}, the validation loss "
        f"{last['val_loss']:.3g} (smallest {training['val_loss'].min():.3g})"
    )
    return save(
        figure, f"{name}-training.svg", f"Training of {name}: {text}.", f"Training of {name}: {text}."
    )
