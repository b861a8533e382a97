"""The seam of a forecast: how much more it jumps where neighbourhoods begin and end than between tokens.

    python benchmarks/seam.py BUNDLE INPUT [INPUT …] [--hours 3]

Jumps are differences between neighbouring points of the departure from the last given state, of the mean of
the ensemble and of its members. Forecast as `atmorep forecast` does, overlapping and blended, and with
neighbourhoods side by side. Neighbourhoods end where tokens do, which leave a texture of their own: those
within are what is compared with. A ratio of one is no seam.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import xarray as xr
from measuring import Target, measured, parser, report
from numpy.typing import NDArray

from atmorep.inference import ahead
from atmorep.inference.blend import Cover, Line
from atmorep.inference.commands import pretrained
from atmorep.inference.opened import open_inputs
from atmorep.inference.pretrained import Pretrained
from atmorep.inference.request import Datasets, Request


class Apart(Line):
    """Neighbourhoods side by side: each point is of one alone."""

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First point of each neighbourhood; the last one ends with the domain."""
        return tuple(min(start, self.size - self.extent) for start in range(0, self.size, self.extent))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """One where no neighbourhood before has been (neighbourhood, extent)."""
        found, taken = [], np.zeros(self.size, bool)
        for points in map(self.points, self.starts):
            found.append((~taken[points]).astype(np.float64))
            taken[points] = True
        return np.stack(found)


def side_by_side(cover: Cover) -> Cover:
    """Return neighbourhoods of the same extent that do not overlap."""
    return Cover(*(Apart(line.size, line.extent, line.periodic) for line in (cover.rows, cover.columns)))


def borders(line: Line, length: int) -> NDArray[np.bool_]:
    """Whether pieces of ``length`` points of a neighbourhood meet behind each point of a line (size,)."""
    reached = np.zeros((len(line.starts), line.size), int)
    for own, start, weights in zip(reached, line.starts, line.weights, strict=True):
        pieces = 1 + np.arange(line.extent) // length
        own[line.points(start)] = np.where(weights > 0, pieces, 0)
    found: NDArray[np.bool_] = (reached != np.roll(reached, -1, axis=1)).any(axis=0)
    if not line.periodic:
        found[-1] = False
    return found


def seam(values: NDArray[np.float32], cover: Cover, token: tuple[int, int]) -> float:
    """Mean jump between neighbourhoods over that between tokens within, of the worse direction.

    Directions in which every border of tokens is one of neighbourhoods are left out.

    Args:
        values: (…, row, column) of the domain.
        cover: its neighbourhoods.
        token: rows and columns of a token.
    """
    ratios = []
    for axis, line, length in ((-2, cover.rows, token[0]), (-1, cover.columns, token[1])):
        jumps = np.abs(np.moveaxis(np.roll(values, -1, axis) - values, axis, -1))
        between = borders(line, line.extent)
        within = borders(line, length) & ~between
        if between.any() and within.any():
            ratios.append(float(jumps[..., between].mean() / jumps[..., within].mean()))
    return max(ratios, default=np.nan)


def forecasts(model: Pretrained, datasets: Datasets, hours: int) -> dict[str, tuple[Cover, xr.Dataset]]:
    """Forecast, blended and side by side; returned with the neighbourhoods of each."""
    found = {}
    for name in ("blended", "side by side"):
        request = Request.of(model, model.folder, datasets, None)
        cover = request.cover if name == "blended" else side_by_side(request.cover)
        vars(request)["cover"] = cover
        plan = ahead.Plan.of(request, hours, None)
        found[name] = cover, ahead.forecast(request, plan, request.readers, name)
    return found


def seams(model: Pretrained, datasets: Datasets, hours: int) -> dict[str, dict[str, float]]:
    """The seam by way of putting neighbourhoods together, and what is looked at."""
    given, found = Request.of(model, model.folder, datasets, None).given, {}
    first = int(np.flatnonzero(given.available())[-1])
    for name, (cover, forecast) in forecasts(model, datasets, hours).items():
        found[name] = {}
        for field in model.model.predicted:
            before = given.readers[field].read(first, 1, 0, cover.rows.size, 0, cover.columns.size)[0]
            after = (
                forecast[field]
                if "level" in forecast[field].dims
                else forecast[field].expand_dims("level", -3)
            )
            size = model.config.token_size(field)
            for what, values in (("mean", after.mean("number")), ("members", after)):
                departure = values.to_numpy() - before
                found[name][f"{field}, {what}"] = seam(departure, cover, (size.latitude, size.longitude))
    return found


def main() -> None:
    """Measure."""
    made = parser(__doc__)
    made.add_argument("bundle")
    made.add_argument("inputs", type=Path, nargs="+")
    made.add_argument("--hours", type=int, default=3)
    given = made.parse_args()
    for name, fields in seams(pretrained(given.bundle), open_inputs(given.inputs), given.hours).items():
        for what, value in fields.items():
            target = Target("value", "≤", 1.1) if name == "blended" and what.endswith("mean") else None
            row = measured(f"seam of {what}, {name}", value, "jumps over those between tokens", target)
            report(row, given.rows)


if __name__ == "__main__":
    main()
