"""Files of a target to its store: known sums, winds turned, cells, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from atmorep.artefacts import crc32c, read_json, write_json
from atmorep.errors import DataError
from atmorep.paths import Paths
from atmorep.targets import convert as stage
from atmorep.targets.geometry import Geometry
from atmorep.targets.stage import download
from atmorep.targets.store import TargetReader

from .experiment import DAYS, experiment
from .meshes import rotated

FIRST = 29 * 24


class Made:
    """A product in memory: ``value(end)`` everywhere, on cells of half a degree or a grid that is given."""

    def __init__(self, value, minutes=0, start="2020-01-29T00:00", end="2020-02-03T00:00", geometry=None):
        last = np.arange(start, end, np.timedelta64(minutes or 60, "m"), dtype="datetime64[m]")
        self.intervals = np.stack([last - np.timedelta64(minutes, "m"), last], 1)
        centres = np.arange(0.25, 30, 0.5), np.arange(40.25, 60, 0.5)
        self.geometry = geometry or Geometry.curvilinear(*np.meshgrid(*centres))
        self._value = value

    def read(self, index):
        return np.broadcast_to(self._value(self.intervals[index, 1]), self.geometry.shape).astype(np.float32)


def since_midnight(time):
    """Minutes since the start of the last day of January."""
    return (time - np.datetime64("2020-01-31T00:00")).astype(int)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Convert products, by variable; returns what the store holds."""
    monkeypatch.chdir(tmp_path)

    def convert(products, spans=DAYS, **target):
        config = experiment(target)
        monkeypatch.setattr(stage, "open_product", lambda wanted, files: products[wanted.variable])
        for span in spans:
            write_json(Paths(config).target_raw("fine", span), {"files": []})
            stage.convert(config, "fine", span)
        return config, TargetReader(config, "fine")

    return convert


def whole(reader):
    return reader.read(FIRST, 96, 0, reader.grid.shape[0], 0, reader.grid.shape[1])


def test_instants_on_the_evaluation_grid(run):
    config, reader = run({"t2m": Made(lambda time: 280 + since_midnight(time) / 1440)})
    np.testing.assert_allclose(whole(reader)[:, 3, 4], 279 + np.arange(96) / 24, rtol=1e-6)
    assert reader.available()[FIRST:].all()
    part = read_json(Paths(config).target_part("fine", DAYS[0]))
    assert (part["missing"], part["coverage"]) == ([], pytest.approx(1))
    shard = part["files"][0]
    assert shard["crc32c"] == crc32c(Paths(config).target_store("fine") / shard["path"])
    # Both training days: hours -24 to 23, over 24 each, on 279 + 1; uniform steps have (n^2 - 1) / 12.
    mean, std = reader.normalisation()
    assert mean == pytest.approx(280 - 1 / 48, rel=1e-6)
    assert std == pytest.approx(np.sqrt((48**2 - 1) / 12) / 24, rel=1e-4)


RAIN = {"field": "tp", "variable": "YW", "units": "mm", "time": {"kind": "sum", "interval_minutes": 5}}


def test_the_first_hour_of_a_month_is_the_sum_of_the_last_of_the_month_before(run):
    """Each five minutes have their number of the day as micrometres: 276 to 287 make up 23 to 24 UTC."""
    _, reader = run({"YW": Made(lambda t: 1e-6 * ((since_midnight(t) - 1) // 5 % 288), minutes=5)}, **RAIN)
    got = whole(reader)
    assert got[48, 5, 5] == pytest.approx(1e-6 * sum(range(276, 288)), rel=1e-6)
    assert got[25, 5, 5] == pytest.approx(1e-6 * sum(range(12)), rel=1e-6)


def test_an_hour_with_a_gap_is_missing_never_less(run):
    def dry_but_a_gap(time):
        return np.nan if time == np.datetime64("2020-02-01T05:25") else 1e-6

    config, reader = run({"YW": Made(dry_but_a_gap, minutes=5)}, **RAIN)
    expected = np.full(96, 12e-6)
    expected[48 + 6] = np.nan
    np.testing.assert_allclose(whole(reader)[:, 0, 0], expected, rtol=1e-6)
    assert read_json(Paths(config).target_part("fine", DAYS[1]))["missing"] == ["2020-02-01T06"]
    assert not reader.available()[FIRST + 48 + 6]


def test_a_zonal_wind_in_rotated_axes_is_zonal_again(run):
    geometry = rotated(np.linspace(-15, 10, 101), np.linspace(-10, 12, 89))
    # Axes turned by an angle see an eastward wind of 10 m/s at minus that angle.
    parts = {
        "U": Made(lambda time: 10 * np.cos(-geometry.angle), geometry=geometry),
        "V": Made(lambda time: 10 * np.sin(-geometry.angle), geometry=geometry),
    }
    assert np.ptp(geometry.angle) > 0.2
    wind = {"units": "m/s"}
    _, east = run(parts, field="10u", variable="U", partner="V", vector="u", **wind)
    _, north = run(parts, field="10v", variable="V", partner="U", vector="v", **wind)
    np.testing.assert_allclose(whole(east), 10, rtol=1e-5)
    np.testing.assert_allclose(whole(north), 0, atol=1e-4)


@pytest.mark.parametrize(
    ("product", "words"),
    [
        (Made(lambda time: 8 - since_midnight(time) / 60), r"targets\.fine, 2020-01.*-\d+ K is below 0"),
        (Made(lambda time: 280, start="2019-01-01T00:00", end="2019-02-01T00:00"), "the files hold 2019-01"),
        (
            Made(lambda time: 280, geometry=Geometry.curvilinear(*np.meshgrid([100, 101], [0, 1]))),
            r"targets\.fine: the files cover 0\.00 to 1\.00 N, 100\.00 to 101\.00 E, nothing of",
        ),
    ],
    ids=["below the floor", "another year", "elsewhere"],
)
def test_what_is_refused(run, product, words):
    with pytest.raises(DataError, match=words):
        run({"t2m": product})
    assert not list(Paths(experiment()).target_folder("fine").glob("parts/*"))


def test_packing_leaves_rain_a_little_below_zero(run):
    rain = np.linspace(-1e-8, 0.02, 40 * 60).reshape(40, 60)
    _, reader = run(
        {"YW": Made(lambda time: rain, minutes=60)},
        field="tp",
        variable="YW",
        units="mm",
        time={"kind": "sum"},
    )
    assert np.nanmin(whole(reader)) >= 0


def test_a_repeated_conversion_changes_nothing(run):
    products = {"t2m": Made(lambda time: 280 + since_midnight(time) / 1440)}
    config, _ = run(products)
    folder = Paths(config).target_folder("fine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    run(products)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_an_hour_of_radar_on_the_evaluation_grid(shared, tmp_path, monkeypatch):
    """Twelve RADKLIM YW, 0:50 to 1:50: the hour of 2 UTC, but for the ten minutes that are accepted."""
    monkeypatch.chdir(tmp_path)
    files = {
        "kind": "files",
        "folder": str(shared / "radar_precip"),
        "pattern": "radklim_yw_{year}{month}*/*",
    }
    time = {"kind": "sum", "interval_minutes": 5, "offset_minutes": 10}
    config = experiment({**RAIN, "source": files, "time": time, "refine": 4}, start="2017-08-16")
    span = "2017-08-16_2017-08-19"
    download(config, "fine", span)
    stage.convert(config, "fine", span)
    reader = TargetReader(config, "fine")
    there = np.flatnonzero(reader.available())
    np.testing.assert_array_equal(reader.axis.at(there), [np.datetime64("2017-08-16T02")])
    got = reader.read(int(there[0]), 1, 0, reader.grid.shape[0], 0, reader.grid.shape[1])[0]
    listed = read_json(Paths(config).target_raw("fine", span))["files"]
    product = stage.open_product(config.targets["fine"], [Path(entry["path"]) for entry in listed])
    total = sum(product.read(i) for i in range(12))
    row, column = np.unravel_index(np.nanargmax(got), got.shape)
    centre = reader.grid.latitude[row], reader.grid.longitude[column]
    inside = (np.abs(product.geometry.latitude - centre[0]) < 0.125) & (
        np.abs(product.geometry.longitude - centre[1]) < 0.125
    )
    assert got[row, column] == pytest.approx(total[inside].mean(), rel=0.03)
    assert 1e-4 < got[row, column] < 0.05
    assert np.isnan(got).any()
