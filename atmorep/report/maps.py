"""Maps of one case: what came, what was predicted, the errors and the spread, with coastlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from cmcrameri import cm
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from atmorep.report import units
from atmorep.report.coastlines import coastlines
from atmorep.report.figures import STYLE, Picture, save
from atmorep.report.skill import Scores

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Colours:
    """A colour map and the values of its ends."""

    map: Colormap | str
    low: float
    high: float

    @classmethod
    def of_values(cls, values: Values) -> Colours:
        """For the field itself: diverging about zero if both signs are common, else sequential."""
        low, high = _robust(values)
        if low < 0 < high and 0.25 < -low / high < 4:
            return cls.of_errors(values)
        return cls("viridis", low, high)

    @classmethod
    def of_errors(cls, values: Values) -> Colours:
        """Diverging and symmetric about zero."""
        low, high = _robust(values)
        bound = max(-low, high) or 1.0
        return cls(cm.vik, -bound, bound)

    @classmethod
    def of_spread(cls, values: Values) -> Colours:
        """Sequential from zero."""
        return cls("cividis", 0.0, _robust(values)[1] or 1.0)


def _robust(values: Values) -> tuple[float, float]:
    """Range of all but the outermost half per cent at each end, never empty."""
    low, high = np.nanpercentile(values, [0.5, 99.5])
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return float(low), float(high)


@dataclass(frozen=True)
class Case:
    """One state of ``maps.nc`` in the units shown; rows north to south.

    Attributes:
        latitude: of the rows in degrees.
        longitude: of the columns in degrees, increasing.
        values: ``target``, ``prediction``, ``spread`` and ``baseline``, each (rows, columns).
        hidden: where the model did not see the target (rows, columns).
        valid: valid time.
        initial: initial time.
        reference: name of the baseline.
    """

    latitude: Values
    longitude: Values
    values: dict[str, Values]
    hidden: NDArray[np.bool_]
    valid: np.datetime64
    initial: np.datetime64
    reference: str

    @classmethod
    def of(cls, maps: xr.Dataset, scores: Scores, level: int, lead: float) -> Case | None:
        """Take one task, lead time in hours and level of ``maps.nc``; None where it holds no such case."""
        hours = maps["lead_time"].to_numpy().astype("timedelta64[h]").astype(float)
        if lead not in hours or level not in maps["level"].to_numpy():
            return None
        maps = maps.sel(task=scores.task, level=level).isel(lead_time=int(np.argmax(hours == lead)))
        maps = maps.sortby("latitude", ascending=False).sortby("longitude")
        factor = units.display(scores.field).factor
        values = {
            name: maps[name].to_numpy().astype(float) * factor
            for name in ("target", "prediction", "spread", "baseline")
            if bool(maps[name].notnull().any())
        }
        if "target" not in values or "prediction" not in values:
            return None  # padding: the dimensions hold the lead times of all tasks
        initial = maps["init_time"].to_numpy().astype("datetime64[h]")
        valid = initial + np.timedelta64(int(lead), "h")
        latitude, longitude = (maps[axis].to_numpy().astype(float) for axis in ("latitude", "longitude"))
        hidden = maps["hidden"].fillna(0).to_numpy() > 0.5
        return cls(latitude, longitude, values, hidden, valid, initial, "Baseline")

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge of the cells in degrees; half a cell beyond a pole."""
        step = abs(self.latitude[0] - self.latitude[-1]) / max(len(self.latitude) - 1, 1) / 2
        west, east = self.longitude[0] - step, self.longitude[-1] + step
        return west, east, self.latitude[-1] - step, self.latitude[0] + step


def draw(case: Case, scores: Scores, level: int, lead: float, simulated: bool) -> Picture:
    """Maps of one case as one picture, two columns: fields on the left, errors on the right.

    Args:
        case: the state.
        scores: of the field and task, for names and units.
        level: the level shown.
        lead: lead time in hours.
        simulated: True if the coastlines are not those of the data.
    """
    panels = _panels(case)
    shown = units.display(scores.field).units
    west, east, south, north = case.edges
    aspect = 1 / np.cos(np.radians((south + north) / 2)) if east - west < 180 else 1.0
    tall = 3.9 * (north - south) * aspect / (east - west)
    rows = (len(panels) + 1) // 2
    style = {**STYLE, "axes.grid": False, "axes.spines.top": True, "axes.spines.right": True}
    with rc_context(style):
        figure = Figure(figsize=(9.4, rows * (min(tall, 5.2) + 0.55) + 0.35))
        grid = figure.subplots(rows, 2, squeeze=False).flat
        coast = coastlines(west, east, south, north)
        for axis, (title, values, colours) in zip(grid, panels, strict=False):
            image = _panel(axis, values, colours, case.edges, aspect)
            axis.set_title(title)
            _coast(axis, coast, 0.4 if simulated else 0.7)
            _outline(axis, case)
            bar = figure.colorbar(image, ax=axis, extend=_extend(values, colours), shrink=0.9, pad=0.02)
            bar.set_label(shown)
        for axis in list(figure.axes)[: rows * 2][len(panels) :]:
            axis.set_visible(False)
    return _save(figure, case, scores, level, lead, simulated)


def _panels(case: Case) -> list[tuple[str, Values, Colours]]:
    values, reference = case.values, case.reference
    target, prediction = values["target"], values["prediction"]
    fields = [values[name] for name in ("target", "prediction", "baseline") if name in values]
    common = Colours.of_values(np.stack(fields))
    errors = [field - target for field in fields[1:]]
    error = Colours.of_errors(np.stack(errors))
    panels = [("Target", target, common)]
    if "spread" in values:
        spread = values["spread"]
        panels.append(("Spread of the ensemble", spread, Colours.of_spread(spread)))
    panels.append(("AtmoRep: ensemble mean", prediction, common))
    panels.append(("AtmoRep minus target" + _size(errors[0]), errors[0], error))
    if "baseline" in values:
        panels.append((reference, values["baseline"], common))
        panels.append((f"{reference} minus target" + _size(errors[1]), errors[1], error))
    return panels


def _size(error: Values) -> str:
    size = float(np.sqrt(np.nanmean(error**2)))
    return f"  (root mean square {units.number(size, units.decimals([size]))})"


def _panel(
    axis: Axes, values: Values, colours: Colours, edges: tuple[float, float, float, float], aspect: float
) -> Any:
    west, east, south, north = edges
    image = axis.imshow(
        np.ma.masked_invalid(values),
        extent=(west, east, south, north),
        origin="upper",
        aspect=aspect,
        cmap=colours.map,
        norm=Normalize(colours.low, colours.high),
        interpolation="nearest",
    )
    axis.set_facecolor("0.85")
    axis.set_xlim(west, east)
    axis.set_ylim(max(south, -90), min(north, 90))
    for ticks, sides in ((axis.xaxis, "EW"), (axis.yaxis, "NS")):
        ticks.set_major_locator(MaxNLocator(5, steps=[1, 1.5, 2, 3, 4.5, 5, 6, 9, 10]))
        ticks.set_major_formatter(lambda value, _, sides=sides: _degrees(value, sides))
    return image


def _degrees(value: float, sides: str) -> str:
    """A coordinate with its hemisphere, e.g. ``30°W``."""
    if sides == "EW":
        value = (value + 180) % 360 - 180
    side = "" if value in (0, -180) else sides[0] if value > 0 else sides[1]
    return f"{abs(value):g}°{side}"


def _coast(axis: Axes, lines: list[Any], width: float) -> None:
    """Black on a thin white halo: seen on dark and on light colours."""
    axis.add_collection(LineCollection(lines, colors="white", linewidths=2.2 * width, alpha=0.6))
    axis.add_collection(LineCollection(lines, colors="black", linewidths=width))


def _outline(axis: Axes, case: Case) -> None:
    """Outline the hidden tokens along cell edges, unless all or nothing is hidden."""
    hidden = case.hidden
    if hidden.all() or not hidden.any():
        return
    west, east, south, north = case.edges
    x = np.linspace(west, east, hidden.shape[1] + 1)
    y = np.linspace(north, south, hidden.shape[0] + 1)
    rows, columns = np.nonzero(hidden[:, 1:] != hidden[:, :-1])
    upright = [((x[c + 1], y[r]), (x[c + 1], y[r + 1])) for r, c in zip(rows, columns, strict=True)]
    rows, columns = np.nonzero(hidden[1:] != hidden[:-1])
    level = [((x[c], y[r + 1]), (x[c + 1], y[r + 1])) for r, c in zip(rows, columns, strict=True)]
    axis.add_collection(LineCollection(upright + level, colors="white", linewidths=2.4))
    axis.add_collection(LineCollection(upright + level, colors="#AA0044", linewidths=1.2))
    # a hatched patch on each hidden cell would bury the field: only the target's panel has hatches
    if axis.get_title() == "Target":
        steps = np.repeat(np.repeat(hidden, 2, axis=0), 2, axis=1).astype(float)
        axis.contourf(
            np.repeat(x, 2)[1:-1],
            np.repeat(y, 2)[1:-1],
            steps,
            levels=[0.5, 1.5],
            colors="none",
            hatches=["///"],
        )


def _extend(values: Values, colours: Colours) -> str:
    """Which ends of the colour bar have values beyond them."""
    low, high = np.nanmin(values) < colours.low, np.nanmax(values) > colours.high
    return "both" if low and high else "min" if low else "max" if high else "neither"


def _save(figure: Figure, case: Case, scores: Scores, level: int, lead: float, simulated: bool) -> Picture:
    shown = units.display(scores.field).units
    what = f"{units.title(scores.field)}, {scores.title.lower()}, {scores.level(level)}"
    valid = f"valid {_utc(case.valid)}"
    if lead:
        valid += f", {lead:g} h after {_utc(case.initial)}"
    figure.suptitle(f"{what}, {valid}")
    error = case.values["prediction"] - case.values["target"]
    size = float(np.sqrt(np.nanmean(error**2)))
    target = case.values["target"]
    places = units.decimals([float(np.nanmax(target)), float(np.nanmin(target))])
    alt = (
        f"Maps of {what}, {valid}. Target from {units.number(float(np.nanmin(target)), places)} to "
        f"{units.number(float(np.nanmax(target)), places)} {shown}; root-mean-square error of the prediction "
        f"{units.number(size, units.decimals([size]))} {shown}."
    )
    caption = f"{what}, {valid}."
    if case.hidden.any() and not case.hidden.all():
        caption += " Tokens hidden from the model are hatched on the target and outlined on every map."
    if simulated:
        caption += " The data are simulated: the coastlines are the real Earth's, for orientation only."
    name = f"{scores.field.name}-{scores.task}-{level}-{lead:g}h-map.png"
    return save(figure, name, alt, caption)


def _utc(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, 'h').replace('T', ' ')} UTC"
