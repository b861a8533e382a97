"""Grids of products, made from the coordinates of their corners."""

import numpy as np
import pyproj

from atmorep.targets.geometry import Geometry


def regular(west: float, south: float, width: float, height: float, shape: tuple[int, int]) -> Geometry:
    """Cells of ``width`` x ``height`` degrees from a south-western corner on, rows from south to north."""
    corners = np.meshgrid(west + width * np.arange(shape[1] + 1), south + height * np.arange(shape[0] + 1))
    centres = (corner[:-1, :-1] + half / 2 for corner, half in zip(corners, (width, height), strict=True))
    return Geometry(*centres, *corners, np.zeros(shape))


def projected(projection: str, x: np.ndarray, y: np.ndarray) -> Geometry:
    """Cells between the coordinates ``x`` and ``y`` of a projection."""
    to_degrees = pyproj.Transformer.from_crs(projection, "+proj=longlat +R=6371229", always_xy=True)
    centres = np.meshgrid((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2)
    corners = to_degrees.transform(*np.meshgrid(x, y))
    return Geometry.curvilinear(*to_degrees.transform(*centres), corners)


def rotated(lon: np.ndarray, lat: np.ndarray, pole: float = 39.25, turn: float = 18) -> Geometry:
    """Cells between rotated coordinates; the default is the pole of COSMO and EURO-CORDEX, 39.25 N 162 W."""
    pole_of = f"+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p={pole} +lon_0={turn} +R=6371229"
    return projected(pole_of, lon, lat)
