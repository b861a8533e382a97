"""Figures of a study: capacity factors, wind roses, and the wind as it went."""

from __future__ import annotations

import numpy as np
import xarray as xr
from cmcrameri import cm
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from atmorep.report.figures import STYLE, Picture, panels, save

_LONGEST_DAYS = 31
"""A longer series is shown by daily means."""


def capacity_factors(found: xr.Dataset) -> Picture:
    """Capacity factor of each site with the ensemble's bounds and the interval of the period."""
    mean, place = found["capacity_factor"].to_numpy(), np.arange(found.sizes["site"])
    with rc_context({**STYLE, "axes.grid.axis": "x"}):
        figure, (axis,) = panels(1, 1, 0.5 + 0.35 * len(place))
        drawn = (("capacity_factor_interval", 1, "#E69F00"), ("capacity_factor_bounds", 4, "#0072B2"))
        labels = ("another such period (95 %)", "ensemble's bounds")
        for (name, width, colour), label in zip(drawn, labels, strict=True):
            lower, upper = found[name].to_numpy()
            axis.hlines(place, lower, upper, colors=colour, linewidth=width, label=label)
        axis.plot(mean, place, "o", color="black", label="mean of the members")
        axis.set_yticks(place, found["site"].to_numpy().tolist())
        axis.set_ylim(len(place) - 0.5, -0.5)
        axis.set_xlim(0, 1)
        axis.set_xlabel("Capacity factor (1)")
        figure.subplots_adjust(left=0.22)
        figure.legend(*axis.get_legend_handles_labels(), loc="upper center", ncols=3)
    each = ", ".join(f"{s} {v:.2f}" for s, v in zip(found["site"].to_numpy(), mean, strict=True))
    return save(
        figure, "capacity.svg", f"Capacity factor of each site: {each}.", "Capacity factor of each site."
    )


def roses(found: xr.Dataset) -> Picture:
    """Wind rose of each site: share of the hours by direction the wind blows from, and speed."""
    count, across = found.sizes["site"], 3
    down = -(-count // across)
    colours = cm.batlow(np.linspace(0.1, 0.9, found.sizes["speed_class"]))
    top = float(found["rose"].sum("speed_class").max())
    tall = 3.1 * down + 0.7
    with rc_context(STYLE):
        figure = Figure(figsize=(8.4, tall))
        figure.subplots_adjust(0.05, 0.3 / tall, 0.95, 1 - 1.1 / tall, wspace=0.35, hspace=0.45)
        for number in range(count):
            axis = figure.add_subplot(down, across, number + 1, projection="polar")
            _rose(axis, found.isel(site=number), colours, top)
        handles, labels = axis.get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=len(labels), title="Wind speed (m s⁻¹)")
    main = found["sector"].to_numpy()[found["rose"].sum("speed_class").argmax("sector").to_numpy()]
    each = ", ".join(f"{s} {d:g}°" for s, d in zip(found["site"].to_numpy(), main, strict=True))
    caption = "Wind roses: share of the hours by where the wind blows from and how fast, at the hub."
    return save(figure, "roses.svg", f"{caption} Most often: {each}.", caption)


def _rose(axis: Axes, found: xr.Dataset, colours: NDArray[np.float64], top: float) -> None:
    """One wind rose; radii are alike in all."""
    assert isinstance(axis, PolarAxes)
    axis.set_theta_zero_location("N")
    axis.set_theta_direction(-1)
    angles, width = np.radians(found["sector"].to_numpy()), 2 * np.pi / found.sizes["sector"]
    base, edges = np.zeros(len(angles)), [*found["speed_class"].to_numpy(), None]
    for number, colour in enumerate(colours):
        share = 100 * found["rose"].to_numpy()[:, number]
        low, high = edges[number : number + 2]
        label = f"{low:g} to {high:g}" if high is not None else f"over {low:g}"
        axis.bar(angles, share, 0.92 * width, base, color=colour, label=label)
        base = base + share
    axis.set_ylim(0, 105 * top)
    axis.yaxis.set_major_locator(MaxNLocator(3))
    axis.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    axis.set_xticks(np.radians([0, 90, 180, 270]), ["N", "E", "S", "W"])
    axis.set_title(str(found["site"].item()))


def series(found: xr.Dataset) -> Picture:
    """Wind speed at the hub of each site: mean and range of the members, by hour or by day."""
    speed, daily = found["wind_speed"], np.ptp(found["time"].to_numpy()) > np.timedelta64(_LONGEST_DAYS, "D")
    speed = speed.resample(time="1D").mean() if daily else speed
    with rc_context(STYLE):
        figure, axes = panels(found.sizes["site"], 1, 1.3, legend=1)
        for axis, name in zip(axes, found["site"].to_numpy().tolist(), strict=True):
            own, locator = speed.sel(site=name), AutoDateLocator(maxticks=8)
            ends = own.min("number"), own.max("number")
            axis.fill_between(own["time"], *ends, color="#56B4E9", alpha=0.5, label="range of the members")
            axis.plot(own["time"], own.mean("number"), color="#0072B2", label="mean of the members")
            axis.set_ylim(0, None)
            axis.set_ylabel("m s⁻¹")
            axis.set_title(name, loc="left")
            axis.xaxis.set_major_locator(locator)
            axis.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=2)
    caption = f"Wind speed at the hub, {'daily means' if daily else 'hour by hour'} (UTC)."
    return save(figure, "series.svg", f"{caption} One panel a site, with the range of the members.", caption)
