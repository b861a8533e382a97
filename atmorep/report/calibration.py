"""Plots of fields as whole states: is the ensemble right about itself, and is the forecast too smooth?"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from atmorep.report import units
from atmorep.report.figures import STYLE, Picture, bars, line, panels, save
from atmorep.report.skill import Scores
from atmorep.report.task_figures import (
    family,
    name_panel,
    quantiles,
    rank_histogram,
    reliability,
    title,
    wavelengths,
)

LEAST_SHARE = 1e-5
"""Least share of area and time that is drawn of a class."""


def pictures(scores: Scores, calibration: xr.Dataset) -> tuple[Picture, ...]:
    """All that the scores of a field's task allow, at the middle level and the longest lead time."""
    level, lead = scores.levels[len(scores.levels) // 2], scores.longest
    one = scores.at(level, lead)
    drawn = [spectra(scores, level), rank_histogram(one), errors_by_spread(one, calibration)]
    drawn += [reliability(one), quantiles(one)]
    return tuple(picture for picture in drawn if picture is not None)


def spectra(scores: Scores, level: int) -> Picture | None:
    """Variance over the target's by wavelength and lead time: of single members, and of their mean."""
    if not scores.family("power_ratio"):
        return None
    style: dict[str, Any] = {"markersize": 4, "capsize": 2.5}
    with rc_context(STYLE):
        figure, axes = panels(1, 2, 2.6)
        for axis, base, name in zip(axes, ("", "mean_"), ("single members", "ensemble mean"), strict=True):
            for place, lead in enumerate(scores.leads):
                colour = colormaps["viridis"](0.85 * place / max(1, len(scores.leads) - 1))
                rows = family(scores.at(level, lead), "atmorep", f"{base}power_ratio")
                style |= {"color": colour, "marker": "os^Dv"[place % 5], "label": scores.lead(lead)}
                axis.errorbar(rows["x"], rows["value"], yerr=bars(rows), **style)
            wavelengths(axis, rows["x"])
            name_panel(axis, name)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=8)
    what = title(scores, level)
    caption = (
        f"{what}: variance by wavelength over that of the target, by lead time; 1 is as rough as the target, "
        f"below 1 too smooth, above 1 noise. {_resolution(scores, level)}Bars: 95 % intervals."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-spectra.svg", caption, caption)


def _resolution(scores: Scores, level: int) -> str:
    """The effective resolution at the longest lead time, in a sentence."""
    where = (scores.regions[0], level, scores.longest)
    found = [scores.row("atmorep", f"{of}effective_resolution", where) for of in ("", "mean_")]
    if any(row is None for row in found):
        return ""
    lead = f" at {scores.lead(scores.longest)}" if scores.longest else ""
    members, mean = (f"{row['value']:.0f} km" for row in found if row is not None)
    return f"Within a factor of two{lead} down to {members} (members) and {mean} (mean). "


def errors_by_spread(scores: Scores, calibration: xr.Dataset) -> Picture | None:
    """How often the ensemble's mean errs how much, by how wide the ensemble is; and its RMSE by that."""
    rows = family(scores, "atmorep", "rmse_at_spread")
    if rows.empty:
        return None
    factor, unit = units.display(scores.field).factor, units.display(scores.field).units
    lead = np.timedelta64(int(scores.leads[0]), "h")
    found = calibration.sel(task=scores.task, level=scores.levels[0], lead_time=lead)
    scale, joint = float(found["scale"]) * factor, found["spread_error"].transpose("error", "spread")
    with rc_context({**STYLE, "axes.grid": False}):
        figure, (axis,) = panels(1, 1, 3.0)
        figure.subplots_adjust(right=0.9)
        middles = found["spread"].to_numpy() * scale
        _joint(axis, middles, joint.to_numpy())
        style = {**line("atmorep"), "color": "#D55E00", "label": "RMSE of the ensemble's mean"}
        axis.errorbar(rows["x"] * factor, rows["value"], yerr=bars(rows), capsize=2.5, **style)
        axis.axline((middles[0], middles[0]), (middles[-1], middles[-1]), color="black", linewidth=0.8)
        axis.set_xlabel(f"Spread of the ensemble ({unit})")
        axis.set_ylabel(f"Size of the error ({unit})")
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=5)
    caption = (
        f"{title(scores)}: share of area and time by the ensemble's standard deviation and the error of its "
        "mean (shading), and the error's root mean square at each spread, which lies on the line where the "
        "spread says how large errors are: above it the ensemble is too sure. Bars: 95 % intervals."
    )
    return save(figure, f"{scores.field.name}-{scores.task}-spread-error.svg", caption, caption)


def _joint(axis: Axes, middles: NDArray[np.float64], joint: NDArray[np.float64]) -> None:
    """Shade the shares (error, spread) on logarithmic axes, only where there are any."""
    edges = middles[0] / 2**0.25 * 2.0 ** (np.arange(len(middles) + 1) / 2)
    shares = np.ma.masked_less(joint, LEAST_SHARE)
    norm = LogNorm(LEAST_SHARE, max(float(joint.max()), 10 * LEAST_SHARE))
    image = axis.pcolormesh(edges, edges, shares, cmap="cividis_r", norm=norm, rasterized=True)
    for scale, ticks in ((axis.set_xscale, axis.xaxis), (axis.set_yscale, axis.yaxis)):
        scale("log")
        ticks.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ticks.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ticks.set_minor_formatter(NullFormatter())
    columns, rows = (np.flatnonzero(~np.ma.getmaskarray(shares).all(axis=k)) for k in (0, 1))
    for limit, there in ((axis.set_xlim, columns), (axis.set_ylim, rows)):
        if there.size:
            limit(edges[there[0]], edges[there[-1] + 1])
    axis.figure.colorbar(image, ax=axis, label="Share (1)", fraction=0.05, pad=0.02)
