import multiprocessing
import os
import signal
import time as clock
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from atmorep.artefacts import crc32c, read_json
from atmorep.config import Config
from atmorep.errors import DataError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources import grib
from atmorep.sources.grib_writer import GribWriter
from atmorep.sources.raw import GribFile
from atmorep.store.convert import convert
from atmorep.timeaxis import Span

from .conftest import FEBRUARY, JANUARY, build, fetch, forget, shards, values, write_archive


def _convert(config: Config, span: str) -> None:
    convert(config, "t", span)


def test_store_equals_grib_within_half_a_packing_step(experiment):
    config = build(experiment())
    grid, data = Grid.from_config(config.data.grid), xr.open_zarr(Paths(config).store)["t"]
    for level in (96, 137):
        for message in grib.scan(Paths(config).raw("t", level, FEBRUARY)):
            stored = data.sel(time=message.valid_time, level=level).values
            assert np.abs(stored - grib.decode(message, grid)).max() <= message.step / 2


def test_manifest_names_shards_and_raw_files(experiment):
    config = build(experiment())
    manifest = read_json(Paths(config).part("t", FEBRUARY))
    assert len(manifest["files"]) == 6
    for entry in manifest["files"]:
        path = Paths(config).store / entry["path"]
        assert (path.stat().st_size, crc32c(path)) == (entry["size"], entry["crc32c"])
    assert [Path(raw["path"]).name for raw in manifest["sources"]] == [f"{FEBRUARY}.grib"] * 2
    assert 0 < manifest["tolerance"] < 1e-3


def test_months_converted_in_parallel_equal_serial(experiment):
    config = build(experiment())
    serial = shards(Paths(config).store)
    assert len(serial) == 14
    for path in Paths(config).store.glob("t/c/*/0/0/0"):
        path.unlink()
    context = multiprocessing.get_context("spawn")  # tensorstore's threads do not survive a fork
    jobs = [context.Process(target=_convert, args=(config, span)) for span in (JANUARY, FEBRUARY)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert shards(Paths(config).store) == serial


def test_a_killed_conversion_rerun_equals_an_undisturbed_one(experiment):
    config = build(experiment())
    store, part = Paths(config).store, Paths(config).part("t", JANUARY)
    undisturbed, manifest = shards(store), part.read_bytes()
    for path in store.glob("t/c/*/0/0/0"):
        path.unlink()
    part.unlink()
    job = multiprocessing.get_context("spawn").Process(target=_convert, args=(config, JANUARY))
    job.start()
    while not shards(store) and job.is_alive():
        clock.sleep(0.001)
    os.kill(job.pid, signal.SIGKILL)
    job.join()
    assert not part.exists()
    # No shard is ever met half-written: those that are there are whole.
    assert shards(store).items() <= undisturbed.items()
    convert(config, "t", JANUARY)
    convert(config, "t", FEBRUARY)
    assert shards(store) == undisturbed
    assert part.read_bytes() == manifest


def test_a_failure_at_any_hour_leaves_no_manifest(experiment, monkeypatch):
    config = experiment()
    write_archive(config)
    fetch(config)
    whole, calls = GribFile.rounded, []

    def failing(self, time, out):
        calls.append(time)
        if len(calls) == 21:
            raise OSError("disk gone")
        return whole(self, time, out)

    monkeypatch.setattr(GribFile, "rounded", failing)
    with pytest.raises(OSError, match="disk gone"):
        convert(config, "t", JANUARY)
    assert not Paths(config).part("t", JANUARY).exists()
    assert not list(Paths(config).store.rglob("*.part"))
    convert(config, "t", JANUARY)
    assert len(shards(Paths(config).store)) == 8


def test_missing_hours_are_refused_by_name(experiment):
    config = experiment()
    write_archive(config)
    fetch(config)
    raw = Paths(config).raw("t", 137, JANUARY)
    messages = grib.scan(raw)
    raw.write_bytes(b"".join(grib.read(m) for m in messages[:5] + messages[6:]))
    with pytest.raises(DataError, match=r"(?s)137.*2020-01-31\.grib.*2020-01-25T06.*record_missing"):
        convert(config, "t", JANUARY)


def test_missing_hours_are_recorded(experiment):
    gone = tuple(f"2020-01-28T{hour:02d}" for hour in (0, 6, 12, 18))
    config = build(experiment(record_missing=True), skip=("2020-01-25T06", *gone))
    manifest = read_json(Paths(config).part("t", JANUARY))
    assert manifest["missing"] == ["2020-01-25T06", *gone]
    data = xr.open_zarr(Paths(config).store)["t"]
    assert data.sel(time="2020-01-25T06").isnull().all()
    assert not data.sel(time="2020-01-25T12").isnull().any()
    assert not (Paths(config).store / "t/c/27/0/0/0").exists()
    assert len(manifest["files"]) == 7


def test_an_hour_missing_at_one_level_is_missing(experiment):
    config = experiment(record_missing=True)
    write_archive(config)
    fetch(config)
    raw = Paths(config).raw("t", 137, JANUARY)
    raw.write_bytes(b"".join(grib.read(m) for m in grib.scan(raw)[1:]))
    forget(config)
    convert(config, "t", JANUARY)
    assert read_json(Paths(config).part("t", JANUARY))["missing"] == ["2020-01-24T00"]
    assert xr.open_zarr(Paths(config).store)["t"].sel(time="2020-01-24T00").isnull().all()


def test_the_shard_of_a_day_that_went_missing_is_removed(experiment):
    config = build(experiment(record_missing=True))
    for level in (96, 137):
        raw = Paths(config).raw("t", level, JANUARY)
        raw.write_bytes(b"".join(grib.read(m) for m in grib.scan(raw)[4:]))
    forget(config)
    convert(config, "t", JANUARY)
    assert not (Paths(config).store / "t/c/23/0/0/0").exists()


def test_a_doubled_hour_is_refused(experiment):
    config = experiment()
    write_archive(config)
    fetch(config)
    raw = Paths(config).raw("t", 96, FEBRUARY)
    raw.write_bytes(raw.read_bytes() + grib.read(grib.scan(raw)[7]))
    with pytest.raises(DataError, match=r"2020-02-06\.grib, message 25 \(t.*2020-02-02T18"):
        convert(config, "t", FEBRUARY)


def test_the_wrong_field_is_refused(experiment):
    config = experiment({"t": None, "u": None})
    write_archive(config)
    fetch(config)
    Paths(config).raw("t", 96, JANUARY).write_bytes(Paths(config).raw("u", 96, JANUARY).read_bytes())
    with pytest.raises(DataError, match="expected field t"):
        convert(config, "t", JANUARY)


@pytest.mark.parametrize("lowest", [-1e-3, -40.0])
def test_impossible_values_are_refused(experiment, lowest):
    config = experiment({"tp": None})
    write_archive(config)
    fetch(config)
    grid, raw = Grid.from_config(config.data.grid), Paths(config).raw("tp", 0, JANUARY)
    with GribWriter(raw, grid) as writer:
        for time in Span.parse(JANUARY).hours(6):
            rain = values(grid, "tp", 0, time)
            rain[3, 4] = lowest if str(time) == "2020-01-27T12" else 0
            writer.write("tp", "surface", 0, time, rain)
    forget(config)
    with pytest.raises(DataError, match=r"tp.*2020-01-27T12.*below 0"):
        convert(config, "tp", JANUARY)


def test_constant_fields_keep_their_value(experiment):
    config = experiment()
    write_archive(config)
    fetch(config)
    grid, raw = Grid.from_config(config.data.grid), Paths(config).raw("t", 96, JANUARY)
    with GribWriter(raw, grid) as writer:
        for time in Span.parse(JANUARY).hours(6):
            writer.write("t", "model", 96, time, np.full(grid.shape, 273.15))
    forget(config)
    convert(config, "t", JANUARY)
    stored = xr.open_zarr(Paths(config).store)["t"].sel(level=96, time=slice("2020-01-24", "2020-01-31"))
    np.testing.assert_allclose(stored, 273.15, atol=1e-3)
