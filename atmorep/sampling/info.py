"""Token information α: when, where, at which level and resolution a token is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEATURES = 10
"""Numbers a token (F)."""


def token_information(
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    resolution: float,
) -> NDArray[np.float32]:
    """Return the information of all tokens of a batch.

    The paper gives raw year, day, hour, level, latitude, longitude and resolution to a linear layer;
    here day, hour (local solar time) and longitude enter as points on a circle, so that midnight
    follows 23 h, and all numbers are of order one.

    Args:
        times: valid times of token centres, datetime64[m], (B, K).
        levels: level numbers or hPa, (L,); 0 at the surface.
        latitude: of token centres in degrees, (B, I).
        longitude: of token centres in degrees, (B, J).
        resolution: grid spacing in degrees.

    Returns:
        (B, L, K, I, J, FEATURES) float32.
    """
    year, day, hour = _calendar(times)
    t, b = (slice(None), None, slice(None), None, None), len(times)
    row, column = (slice(None), None, None, slice(None), None), (slice(None), None, None, None, slice(None))
    lon = np.radians(longitude)[column]
    solar = 2 * np.pi * hour[t] / 24 + lon
    season = 2 * np.pi * day[t] / 365.25
    parts = (
        (year[t] - 2000) / 25,
        np.sin(season),
        np.cos(season),
        np.sin(solar),
        np.cos(solar),
        np.sin(np.radians(latitude))[row],
        np.sin(lon),
        np.cos(lon),
        (levels / 100)[None, :, None, None, None],
        np.log2(np.float64(resolution)) / 4,
    )
    shape = (b, len(levels), times.shape[1], latitude.shape[1], longitude.shape[1])
    return np.stack([np.broadcast_to(p, shape) for p in parts], axis=-1).astype(np.float32)


def _calendar(times: NDArray[np.datetime64]) -> tuple[NDArray[np.floating], ...]:
    """Year, day of the year from 0 (with fraction) and hour of the day (with fraction)."""
    minutes = times.astype("datetime64[m]")
    years = minutes.astype("datetime64[Y]")
    day = (minutes - years).astype(np.float64) / 1440
    hour = (minutes - minutes.astype("datetime64[D]")).astype(np.float64) / 60
    return years.astype(np.int64) + 1970.0, day, hour
