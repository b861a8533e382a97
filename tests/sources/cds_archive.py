"""Requests to the archive: what is asked for, where it lands, and a place to work in."""

import os

import numpy as np
from cds_server import values

from atmorep.config import parse
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import open_source
from atmorep.sources.grib import decode, scan
from atmorep.timeaxis import Span

SPAN = Span.parse("2019-03-01_2019-03-02")
GRID = {"north": 52.0, "south": 50.0, "west": -1.0, "east": 2.0, "resolution": 1.0}


def configuration(fields=("t", "vo", "2t", "tp"), levels=None, grid=GRID, step=6, **source):
    days = [("2019-03-01", "2019-03-02"), ("2019-03-03", "2019-03-04"), ("2019-03-05", "2019-03-06")]
    periods = [[{"start": a, "end": b}] for a, b in days]
    extent = {"time": 4, "latitude": 2, "longitude": 2}
    return parse(
        {
            "experiment": "cds",
            "source": {"kind": "cds", "retries": 3, "backoff_seconds": 0.01, **source},
            "data": {
                "grid": grid,
                "time_step": step,
                "levels": levels or {"type": "model", "values": [105, 137]},
                "periods": dict(zip(("train", "validation", "test"), periods, strict=True)),
            },
            "fields": {name: {} for name in fields},
            "network": {"neighbourhood": extent, "token_size": {**extent, "time": 1}},
            "evaluation": {"lead_hours": [step]},
        }
    )


def fetch(config, name="model_an", span=SPAN):
    source, paths = open_source(config), Paths(config)
    group = next(g for g in source.groups() if g.name == name)
    source.fetch(group, span, lambda field, level: paths.raw(field, level, span))
    return {member: paths.raw(*member, span) for member in group.members}


def files():
    return [os.path.join(folder, name) for folder, _, names in os.walk(".") for name in names]


def assert_delivered(config, raw, span=SPAN):
    grid, hours = Grid.from_config(config.data.grid), span.hours(config.data.time_step)
    for (field, level), path in raw.items():
        messages = scan(path)
        assert [m.valid_time for m in messages] == list(hours)
        assert {(m.field, m.level, m.expver) for m in messages} == {(field, level, "0001")}
        for message in messages:
            expected = values(field, level, message.valid_time, grid)
            assert np.allclose(decode(message, grid), expected, atol=2 * message.step)
    assert sorted(map(str, raw.values())) == sorted(f.removeprefix("./") for f in files())
