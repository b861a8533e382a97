"""Token information α: when, where, at which level and resolution a token is."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Parts = tuple[NDArray[np.floating] | np.floating, ...]
"""The numbers of a form, each of a shape that spreads over (B, L, K, I, J)."""

COLUMNS: dict[str, dict[str, tuple[int, ...]]] = {
    "circle": {
        "year": (0,),
        "day": (1, 2),
        "hour": (3, 4),
        "latitude": (5,),
        "longitude": (6, 7),
        "level": (8,),
        "resolution": (9,),
    },
    "published": {
        "year": (0,),
        "day": (1,),
        "hour": (2,),
        "level": (3, 6),
        "latitude": (4,),
        "longitude": (5,),
        "resolution": (7,),
    },
}
"""Which numbers of each form say what; the names are those of ``network.information_parts``."""

FEATURES = {form: sum(map(len, parts.values())) for form, parts in COLUMNS.items()}
"""Numbers a token (F) of each form."""


def token_information(
    form: str,
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    resolution: float,
) -> NDArray[np.float32]:
    """Return the information of all tokens of a batch.

    Args:
        form: ``circle`` or ``published``, as ``network.information`` says.
        times: valid times of each token's steps, datetime64[m], (B, K, t).
        levels: level numbers or hPa, (L,); 0 at the surface.
        latitude: of each token's rows in degrees, (B, I, h).
        longitude: of each token's columns in degrees, (B, J, w).
        resolution: grid spacing in degrees.

    Returns:
        (B, L, K, I, J, F) float32.
    """
    parts = _FORMS[form](times, levels[:, None, None, None], latitude, longitude, resolution)
    shape = (len(times), len(levels), times.shape[1], latitude.shape[1], longitude.shape[1])
    return np.stack([np.broadcast_to(p, shape) for p in parts], axis=-1).astype(np.float32)


class _Form(Protocol):
    def __call__(
        self,
        times: NDArray[np.datetime64],
        levels: NDArray[np.float64],
        latitude: NDArray[np.floating],
        longitude: NDArray[np.floating],
        resolution: float,
    ) -> Parts: ...


def _circle(
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    resolution: float,
) -> Parts:
    """Day, hour (local solar time) and longitude as points on a circle, all of order one.

    So that midnight follows 23 h, and none of the numbers that a linear layer takes outweighs the others.
    """
    centre = times[..., 0] + (times[..., -1] - times[..., 0]) // 2
    year, day, hour = (_steps(part) for part in _calendar(centre))
    lon = _columns(np.radians(longitude.mean(-1)))
    solar, season = 2 * np.pi * hour / 24 + lon, 2 * np.pi * day / 365.25
    return (
        (year - 2000) / 25,
        np.sin(season),
        np.cos(season),
        np.sin(solar),
        np.cos(solar),
        np.sin(_rows(np.radians(latitude.mean(-1)))),
        np.sin(lon),
        np.cos(lon),
        levels / 100,
        np.log2(np.float64(resolution)) / 4,
    )


def _published(
    times: NDArray[np.datetime64],
    levels: NDArray[np.float64],
    latitude: NDArray[np.floating],
    longitude: NDArray[np.floating],
    resolution: float,
) -> Parts:
    """Year, day of the year from 0, hour, level, latitude, longitude, level and resolution, as they are.

    What the released code gives to a linear layer: the time is that of the token's last step, the place
    that of the row and column behind its middle, and the latitude is counted from the North Pole (0 to 180).
    """
    year, day, hour = (_steps(np.floor(part)) for part in _calendar(times[..., -1]))
    row, column = latitude[..., latitude.shape[-1] // 2], longitude[..., longitude.shape[-1] // 2]
    return year, day, hour, levels, _rows(90 - row), _columns(column % 360), levels, np.float64(resolution)


_FORMS: dict[str, _Form] = {"circle": _circle, "published": _published}


def _steps(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """(B, K) along the time steps of tokens."""
    return x[:, None, :, None, None]


def _rows(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """(B, I) along the rows of tokens."""
    return x[:, None, None, :, None]


def _columns(x: NDArray[np.floating]) -> NDArray[np.floating]:
    """(B, J) along the columns of tokens."""
    return x[:, None, None, None, :]


def _calendar(times: NDArray[np.datetime64]) -> tuple[NDArray[np.floating], ...]:
    """Year, day of the year from 0 (with fraction) and hour of the day (with fraction)."""
    minutes = times.astype("datetime64[m]")
    years = minutes.astype("datetime64[Y]")
    day = (minutes - years).astype(np.float64) / 1440
    hour = (minutes - minutes.astype("datetime64[D]")).astype(np.float64) / 60
    return years.astype(np.int64) + 1970.0, day, hour
