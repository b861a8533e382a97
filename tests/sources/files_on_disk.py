"""Experiments on files that are on disk: samples of ERA5, and small ones made up."""

from pathlib import Path

from atmorep.config import Config, parse
from atmorep.sources import grib, open_source, stage
from atmorep.timeaxis import data_spans

UK = {"north": 58, "south": 50, "west": -10, "east": 2, "resolution": 0.25}
ATLANTIC = {"north": 75, "south": 55, "west": -30, "east": -8, "resolution": 0.25}
YUKON = {"north": 65.7, "south": 64.2, "west": -139, "east": -137.5, "resolution": 0.25}
DAVOS = {"north": 47.201, "south": 46.451, "west": 9.292, "east": 10.292, "resolution": 0.25}
EUROPE = {"north": 60, "south": 40, "west": -10, "east": 20, "resolution": 1}
SMALL = {"north": 3, "south": 0, "west": 0, "east": 4, "resolution": 1}
EDGE = 3
UK_FILE = "era5_grib/era5-2mt-2019-03-uk.grib"


def experiment(folder, pattern, grid, days, fields, levels=None, step=1, record_missing=False) -> Config:
    """A configuration of three periods between four ``days``."""
    names = ("train", "validation", "test")
    periods = {n: [{"start": a, "end": b}] for n, (a, b) in zip(names, days, strict=True)}
    return parse(
        {
            "experiment": "files",
            "source": {
                "kind": "files",
                "folder": str(folder),
                "pattern": pattern,
                "record_missing": record_missing,
            },
            "data": {"grid": grid, "time_step": step, "levels": levels or {}, "periods": periods},
            "fields": dict.fromkeys(fields),
            "network": {
                "neighbourhood": {"time": 4, "latitude": EDGE, "longitude": EDGE},
                "token_size": {"time": 1, "latitude": EDGE, "longitude": EDGE},
            },
            "evaluation": {"lead_hours": [step]},
        }
    )


def uk(shared, days=None, **options) -> Config:
    days = days or [("2019-03-01", "2019-03-20"), ("2019-03-21", "2019-03-25"), ("2019-03-26", "2019-03-31")]
    return experiment(shared / "era5_grib", "era5-2mt-*.grib", UK, days, ["2t"], **options)


def bodies(path: Path) -> list[bytes]:
    """The messages of a GRIB file, without the padding old archives put between them."""
    return [grib.read(message) for message in grib.scan(path)]


def download(config: Config) -> None:
    for group in open_source(config).groups():
        for span in data_spans(config.data):
            stage.download(config, group.name, str(span))
