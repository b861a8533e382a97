"""Plots of downstream tasks: scales, ranks, probabilities, hours of the day, and series at places."""

from __future__ import annotations

import pandas as pd
import xarray as xr
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, NullFormatter

from atmorep.report import units
from atmorep.report.figures import STYLE, Picture, bars, legend_rows, line, panels, save
from atmorep.report.skill import TARGET, Scores

MOST_PANELS = 4
"""Thresholds and places that are drawn; the others are in the tables and files."""


def title(scores: Scores, level: int | None = None) -> str:
    """What is drawn: the field, the task, and level and lead time where it is of one."""
    parts = [units.title(scores.field), scores.title.lower()]
    if level is None and len(scores.levels) == 1:
        level = scores.levels[0]
    if level:
        parts.append(scores.level(level))
    if len(scores.leads) == 1 and scores.leads[0]:
        parts.append(scores.lead(scores.leads[0]))
    return ", ".join(parts)


def family(scores: Scores, model: str, base: str) -> pd.DataFrame:
    """Rows of one model of all scores of a family over the whole domain, with their number as ``x``."""
    table = scores.table
    chosen = (table["model"] == model) & (table["region"] == scores.regions[0])
    rows = table[chosen & table["metric"].isin(scores.family(base))]
    return rows.assign(x=[float(units.parameter(name).removesuffix("km")) for name in rows["metric"]])


def spectra(scores: Scores) -> Picture | None:
    """Variance over the target's by wavelength: of single members, of their mean and of the baselines."""
    if not scores.family("power_ratio"):
        return None
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, 2.6, legend_rows(scores, 1))
        for model in scores.models:
            rows = family(scores, model, "power_ratio")
            axis.errorbar(rows["x"], rows["value"], yerr=bars(rows), capsize=2.5, **line(model))
        rows = family(scores, "atmorep", "mean_power_ratio")
        style = {**line("atmorep"), "linestyle": ":", "marker": "x", "label": "AtmoRep's mean"}
        axis.errorbar(rows["x"], rows["value"], yerr=bars(rows), capsize=2.5, **style)
        wavelengths(axis, rows["x"])
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=5)
    caption = (
        f"{title(scores)}: variance by wavelength over that of the target; 1 is as rough as the target, "
        "below 1 too smooth. AtmoRep: single members, and their mean. Bars: 95 % intervals."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-spectra.svg", caption, caption)


def wavelengths(axis: Axes, middles: pd.Series) -> None:
    """Axes of a ratio of variances by wavelength, long waves left."""
    axis.axhline(1, color="0.3", linewidth=0.8)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.invert_xaxis()
    shown = sorted(middles)[:: -(-len(middles) // 7)]
    axis.set_xticks(shown, [f"{x:g}" for x in shown])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_xlabel("Wavelength (km)")
    axis.set_ylabel("Variance over the target's (1)")


def rank_histogram(scores: Scores) -> Picture | None:
    """How often the target has each rank among the members."""
    rows = family(scores, "atmorep", "rank")
    if rows.empty:
        return None
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, 1.9, legend=0)
        axis.bar(rows["x"], rows["value"], yerr=bars(rows), capsize=2.5, color="#56B4E9", edgecolor="0.3")
        axis.axhline(1 / len(rows), color="#D55E00", linestyle="--")
        axis.set_xlabel("Members below the target (1)")
        axis.set_ylabel("Frequency (1)")
    caption = (
        f"{title(scores)}: rank of the target among {len(rows) - 1} members; flat (dashed) is reliable, "
        "high at the ends too sure, high at one end biased. Bars: 95 % intervals."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-ranks.svg", caption, caption)


def reliability(scores: Scores) -> Picture | None:
    """How often events came, against the share of members that predicted them."""
    thresholds = list(
        dict.fromkeys(name.split(">")[1].split("@")[0] for name in scores.family("reliability"))
    )
    if not thresholds:
        return None
    shown, display = thresholds[:MOST_PANELS], units.display(scores.field)
    with rc_context(STYLE):
        figure, axes = panels((len(shown) + 1) // 2, min(2, len(shown)), 2.4)
        for axis, threshold in zip(axes, shown, strict=False):
            _reliability_panel(axis, scores, threshold)
            name_panel(axis, f"over {float(threshold) * display.factor:g} {display.units}")
        for axis in axes[len(shown) :]:
            axis.set_visible(False)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=5)
    caption = (
        f"{title(scores)}: frequency of events over thresholds against the predicted probability, and how "
        "often it was predicted; the diagonal is reliable. Bars: 95 % intervals."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-reliability.svg", caption, caption)


def _reliability_panel(axis: Axes, scores: Scores, threshold: str) -> None:
    frequency = family(scores, "atmorep", f"reliability>{threshold}")
    share = family(scores, "atmorep", f"issued>{threshold}")
    members = float(share["x"].max())
    axis.bar(share["x"] / members, share["value"], width=0.6 / members, color="0.85", label="share of cells")
    style = {**line("atmorep"), "label": "frequency of the event"}
    axis.errorbar(frequency["x"] / members, frequency["value"], yerr=bars(frequency), capsize=2.5, **style)
    axis.plot([0, 1], [0, 1], color="0.3", linewidth=0.8, label="reliable")
    axis.set_xlabel("Predicted probability (1)")
    axis.set_ylabel("Frequency (1)")


def diurnal_cycle(scores: Scores) -> Picture | None:
    """Mean over the domain by hour of the day."""
    if not scores.family("diurnal"):
        return None
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, 2.2, legend_rows(scores, 1))
        for model in (TARGET, *scores.models):
            rows = family(scores, model, "diurnal")
            axis.errorbar(rows["x"], rows["value"], yerr=bars(rows), capsize=2.5, **line(model))
        axis.set_xlabel("Hour of the day (UTC)")
        axis.set_ylabel(f"Mean over the domain ({units.display(scores.field).units})")
        axis.set_xticks(sorted(rows["x"]))
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=5)
    caption = f"{title(scores)}: mean over the domain by hour of the day. Bars: 95 % intervals."
    return save(figure, f"{scores.field.name}-{scores.task}-diurnal.svg", caption, caption)


def name_panel(axis: Axes, text: str) -> None:
    """Name a panel within it, where legends do not reach."""
    axis.annotate(text, (0.02, 0.95), xycoords="axes fraction", va="top", weight="bold")


def series(scores: Scores, found: xr.Dataset | None) -> Picture | None:
    """Series of target, ensemble and first baseline at places, at most :data:`MOST_PANELS`."""
    if found is None:
        return None
    places = found["point"].to_numpy()[:MOST_PANELS]
    with rc_context(STYLE):
        figure, axes = panels(len(places), 1, 1.7)
        for axis, place in zip(axes, places, strict=True):
            _series_panel(axis, scores, found.sel(point=place))
            name_panel(axis, str(place))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=5)
    caption = (
        f"{title(scores)}: series at the cells of {', '.join(map(str, places))}. Band: from the smallest "
        "to the largest member."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-series.svg", caption, caption)


def _series_panel(axis: Axes, scores: Scores, found: xr.Dataset) -> None:
    times, factor = found["init_time"].to_numpy(), units.display(scores.field).factor
    members = found["prediction"].transpose("init_time", "number").to_numpy() * factor
    axis.fill_between(
        times, members.min(axis=1), members.max(axis=1), color="#56B4E9", alpha=0.4, linewidth=0
    )
    axis.plot(times, members.mean(axis=1), color="#0072B2", linewidth=1.2, label="AtmoRep")
    if found.sizes["model"]:
        model = str(found["model"].to_numpy()[0])
        values = found["baseline"].sel(model=model).to_numpy() * factor
        axis.plot(times, values, **{**line(model), "markersize": 0, "linewidth": 0.9})
    axis.plot(times, found["target"].to_numpy() * factor, color="black", linewidth=0.9, label="Target")
    axis.set_ylabel(f"({units.display(scores.field).units})")
    axis.set_xlabel("Time (UTC)")
    locator = AutoDateLocator(maxticks=8)
    axis.xaxis.set_major_locator(locator)
    axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))


def quantiles(scores: Scores) -> Picture | None:
    """Quantiles of each model's values against those of the target."""
    if not scores.family("quantile"):
        return None
    target = family(scores, TARGET, "quantile").set_index("x")["value"]
    with rc_context(STYLE):
        figure, (axis,) = panels(1, 1, 2.6, legend_rows(scores))
        for model in scores.models:
            rows = family(scores, model, "quantile")
            if rows.empty:  # of models whose predictions are not kept
                continue
            axis.errorbar(target[rows["x"]], rows["value"], yerr=bars(rows), capsize=2.5, **line(model))
        axis.axline((target.iloc[0], target.iloc[0]), slope=1, color="0.3", linewidth=0.8)
        unit = units.display(scores.field).units
        axis.set_xlabel(f"Quantile of the target ({unit})")
        axis.set_ylabel(f"Quantile of the model ({unit})")
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=5)
    shares = ", ".join(f"{100 * x:g}" for x in target.index)
    caption = f"{title(scores)}: quantiles ({shares} %) of single values against the target's."
    return save(figure, f"{scores.field.name}-{scores.task}-quantiles.svg", caption, caption)


def pictures(scores: Scores, found: xr.Dataset | None) -> tuple[Picture, ...]:
    """All that the task's scores allow."""
    drawn = [draw(scores) for draw in (spectra, rank_histogram, reliability, quantiles, diurnal_cycle)]
    return tuple(picture for picture in (*drawn, series(scores, found)) if picture is not None)
