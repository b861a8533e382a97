"""An experiment with one target over four days on the turn of two months, and files that are made up."""

import datetime as dt
from typing import Any

from atmorep.config import Config, parse

DAYS = ("2020-01-30_2020-01-31", "2020-02-01_2020-02-02")
"""The spans; the time axis starts on 1 January."""


def experiment(target: dict[str, Any] | None = None, start: str = "2020-01-30", **sections: Any) -> Config:
    """Configuration with the target ``fine``: 2 m temperature on 4 cells an ERA5 point."""
    days = [(dt.date.fromisoformat(start) + dt.timedelta(days=n)).isoformat() for n in range(4)]
    return parse(
        {
            "experiment": "targets",
            "source": {"kind": "files", "folder": "archive", "pattern": "{field}_{year}{month}.grib"},
            "data": {
                "grid": {"north": 55, "south": 46, "west": 4, "east": 16, "resolution": 1},
                "time_step": 1,
                "periods": {
                    "train": [{"start": days[0], "end": days[1]}],
                    "validation": [{"start": days[2], "end": days[2]}],
                    "test": [{"start": days[3], "end": days[3]}],
                },
            },
            "fields": {"2t": None},
            "network": {
                "neighbourhood": {"time": 12, "latitude": 9, "longitude": 9},
                "token_size": {"time": 3, "latitude": 3, "longitude": 3},
            },
            "evaluation": {"lead_hours": [3]},
            "targets": {
                "fine": {
                    "source": {"kind": "files", "folder": "raw", "pattern": "{year}{month}.nc"},
                    "variable": "t2m",
                    "units": "K",
                    "field": "2t",
                    "refine": 2,
                    "region": {"north": 54.2, "south": 47.8, "west": 5.9, "east": 15.1},
                    **(target or {}),
                }
            },
            **sections,
        }
    )
