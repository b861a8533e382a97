"""Maps of one case: what came, what was predicted, the errors and the spread, with coastlines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
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
        values: ``target``, ``prediction``, ``spread``, and ``baseline`` and ``guess`` where there are such,
            each (rows, columns).
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
            for name in ("target", "prediction", "spread", "baseline", "guess")
            if name in maps and bool(maps[name].notnull().any())
        }
        if "target" not in values or "prediction" not in values:
            return None  # padding: the dimensions hold the lead times of all tasks
        initial = np.datetime64(maps["init_time"].to_numpy().item(), "ns").astype("datetime64[h]")
        valid = initial + np.timedelta64(int(lead), "h")
        latitude, longitude = (maps[axis].to_numpy().astype(float) for axis in ("latitude", "longitude"))
        hidden = maps["hidden"].fillna(0).to_numpy() > 0.5
        reference = str(maps["baseline_model"].to_numpy())
        reference = units.MODELS.get(reference, reference)
        return cls(latitude, longitude, values, hidden, valid, initial, reference)

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, east, south and north edge of the cells in degrees; half a cell beyond a pole."""
        step = abs(self.latitude[0] - self.latitude[-1]) / max(len(self.latitude) - 1, 1) / 2
        west, east = self.longitude[0] - step, self.longitude[-1] + step
        return west, east, self.latitude[-1] - step, self.latitude[0] + step

    @property
    def seen(self) -> tuple[float, float]:
        """Southern and northern end of what is shown in degrees."""
        _, _, south, north = self.edges
        return max(south, -90.0), min(north, 90.0)

    @property
    def aspect(self) -> float:
        """Length of a degree of latitude over one of longitude on the map.

        True in the middle of a region; 1 on a map of the globe.
        """
        west, east, south, north = self.edges
        return float(1 / np.cos(np.radians((south + north) / 2))) if east - west < 180 else 1.0

    def rms(self, error: Values) -> float:
        """Area-weighted root mean square over the hidden points, as the scores have it."""
        weight = np.cos(np.radians(self.latitude))[:, None] * (self.hidden & np.isfinite(error))
        return float(np.sqrt(np.nansum(weight * error**2) / weight.sum())) if weight.any() else float("nan")


@dataclass(frozen=True)
class Palette:
    """Colours that the maps of some cases have in common, so that they can be compared."""

    values: Colours
    errors: Colours
    spread: Colours | None

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Palette:
        """Take the range of all cases."""
        fields, errors, spreads = [], [], []
        for case in cases:
            target = case.values["target"]
            shown = [case.values[name] for name in ("prediction", *_OTHERS) if name in case.values]
            fields += [target, *shown]
            errors += [field - target for field in shown]
            spreads += [case.values["spread"]] if "spread" in case.values else []
        return cls(
            Colours.of_values(np.stack(fields)),
            Colours.of_errors(np.stack(errors)),
            Colours.of_spread(np.stack(spreads)) if spreads else None,
        )


_OTHERS = ("guess", "baseline")


def draw(case: Case, palette: Palette, scores: Scores, level: int, lead: float, simulated: bool) -> Picture:
    """Maps of one case as one picture, two columns: fields on the left, errors on the right.

    Args:
        case: the state.
        palette: colours.
        scores: of the field and task, for names and units.
        level: the level shown.
        lead: lead time in hours.
        simulated: True if the coastlines are not those of the data.
    """
    panels = _panels(case, palette)
    west, east, south, north = case.edges
    coast = coastlines(west, east, south, north)
    with rc_context({**STYLE, **_FRAME}):
        sheet = Sheet.of(case, len(panels))
        for place, (title, values, colours) in enumerate(panels):
            axis, bar = sheet.panel(place)
            image = _panel(axis, values, colours, case)
            axis.set_title(title)
            axis.add_collection(LineCollection(coast, colors="black", linewidths=0.35 if simulated else 0.6))
            _outline(axis, case, hatched=place == 0)
            scale = sheet.figure.colorbar(image, cax=bar, extend=_extend(values, colours))
            scale.set_label(units.display(scores.field).units)
        return _save(sheet.figure, case, scores, level, lead, simulated)


_FRAME: dict[Any, Any] = {
    "axes.grid": False,
    "axes.spines.top": True,
    "axes.spines.right": True,
}


@dataclass(frozen=True)
class Sheet:
    """A figure with two columns of map panels, all sizes in inches.

    Attributes:
        figure: the figure.
        width: of a map.
        height: of a map.
    """

    figure: Figure
    width: float
    height: float

    LEFT, COLUMN, ROW_GAP, TOP = 0.55, 4.75, 0.62, 0.4

    @classmethod
    def of(cls, case: Case, panels: int) -> Sheet:
        """Make room for ``panels`` maps in the shape of the case's area."""
        west, east, _, _ = case.edges
        low, high = case.seen
        shape = (high - low) * case.aspect / (east - west)
        width = min(3.4, 4.6 / shape)
        rows = (panels + 1) // 2
        size = (2 * cls.COLUMN, rows * (width * shape + cls.ROW_GAP) + cls.TOP)
        return cls(Figure(figsize=size), width, width * shape)

    def panel(self, place: int) -> tuple[Axes, Axes]:
        """Axes of a map and of its colour bar; ``place`` counts row by row."""
        whole = np.tile(self.figure.get_size_inches(), 2)
        row, column = divmod(place, 2)
        left = self.LEFT + column * self.COLUMN
        bottom = whole[1] - self.TOP - (row + 1) * (self.height + self.ROW_GAP) + self.ROW_GAP - 0.25
        corner = np.array([left, bottom, self.width, self.height])
        beside = np.array([left + self.width + 0.1, bottom, 0.13, self.height])
        return self.figure.add_axes(corner / whole), self.figure.add_axes(beside / whole)


def _panels(case: Case, palette: Palette) -> list[tuple[str, Values, Colours]]:
    values, target = case.values, case.values["target"]
    panels = [("Target", target, palette.values)]
    if palette.spread is not None and "spread" in values:
        panels.append(("Spread of the ensemble", values["spread"], palette.spread))
    own = values["prediction"] - target
    panels.append(("AtmoRep: ensemble mean", values["prediction"], palette.values))
    panels.append(("AtmoRep minus target" + _size(case, own), own, palette.errors))
    titles = {"guess": "First guess, interpolated", "baseline": case.reference}
    for name, title in titles.items():
        if name in values:
            error = values[name] - target
            panels.append((title, values[name], palette.values))
            panels.append((f"{title} minus target" + _size(case, error), error, palette.errors))
    return panels


def _size(case: Case, error: Values) -> str:
    size = case.rms(error)
    return f" (root mean square {units.number(size, units.decimals([size]))})"


def _panel(axis: Axes, values: Values, colours: Colours, case: Case) -> Any:
    west, east, south, north = case.edges
    image = axis.imshow(
        np.ma.masked_invalid(values),
        extent=(west, east, south, north),
        origin="upper",
        aspect="auto",  # the sheet has the area's shape
        cmap=colours.map,
        norm=Normalize(colours.low, colours.high),
        interpolation="nearest",
    )
    axis.set_facecolor("0.85")
    axis.set_xlim(west, east)
    axis.set_ylim(*case.seen)
    for ticks, sides in ((axis.xaxis, "EW"), (axis.yaxis, "NS")):
        ticks.set_major_locator(MaxNLocator(5, steps=[1, 1.5, 2, 3, 4.5, 5, 6, 9, 10]))
        ticks.set_major_formatter(partial(_degrees, sides=sides))
    return image


def _degrees(value: float, position: int | None, sides: str) -> str:
    """A coordinate with its hemisphere, e.g. ``30°W``."""
    if sides == "EW":
        value = (value + 180) % 360 - 180
    side = "" if value in (0, -180) else sides[0] if value > 0 else sides[1]
    return f"{abs(value):g}°{side}"


def _outline(axis: Axes, case: Case, hatched: bool) -> None:
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
    if hatched:
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
        valid += f", {abs(lead):g} h {'after' if lead > 0 else 'before'} {_utc(case.initial)}"
    figure.suptitle(f"{what}, {valid}", fontsize=10, y=1 - 0.12 / figure.get_figheight())
    size = case.rms(case.values["prediction"] - case.values["target"])
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
    name = f"{scores.field.name}-{scores.task}-{level}-{lead:g}h-map.webp"
    return save(figure, name, alt, caption)


def _utc(time: np.datetime64) -> str:
    return f"{np.datetime_as_string(time, 'h').replace('T', ' ')} UTC"
