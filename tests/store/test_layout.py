import multiprocessing

import numpy as np
import xarray as xr

from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.store.layout import create, field_layout

from .conftest import build, shards


def test_shard_is_a_day_padded_to_whole_chunks(experiment):
    config = experiment()
    assert field_layout(config, "t").chunk == (4, 2, 18, 36)
    assert field_layout(config, "t").shard == (4, 2, 36, 72)


def test_opens_in_xarray_with_cf_metadata(experiment):
    config = build(experiment({"t": None, "tp": None}))
    data = xr.open_zarr(Paths(config).store)
    assert data["t"].dims == ("time", "level", "latitude", "longitude")
    assert data["tp"].dims == ("time", "surface", "latitude", "longitude")
    assert data["t"].attrs["standard_name"] == "air_temperature"
    assert data["t"].attrs["units"] == "K"
    assert data["t"].attrs["paramId"] == 130
    assert "sum" in data["tp"].attrs["cell_methods"]
    assert data.attrs["Conventions"].startswith("CF-")
    assert data.attrs["source"] == "files"
    expected = np.arange("2020-01-01T00", "2020-02-07T00", 6, dtype="datetime64[h]")
    np.testing.assert_array_equal(data["time"], expected.astype("datetime64[ns]"))
    np.testing.assert_array_equal(data["level"], [96, 137])
    np.testing.assert_allclose(data["latitude"][[0, -1]], [60, 41])
    np.testing.assert_allclose(data["longitude"][[0, -1]], [-10, 29])
    assert not data["t"].sel(time=slice("2020-01-24", None)).isnull().any()


def test_repeating_changes_nothing(experiment):
    config = build(experiment())
    files = {p: p.read_bytes() for p in Paths(config).store_folder.rglob("*") if p.is_file()}
    create(field_layout(config, "t"))
    assert {p: p.read_bytes() for p in Paths(config).store_folder.rglob("*") if p.is_file()} == files


def test_a_month_more_only_lengthens_the_time_axis(experiment):
    short, long = experiment({"t": None, "tp": None}), experiment({"t": None}, end="2020-04-30")
    build(short)
    store = Paths(short).store
    assert Paths(long).store == store
    before = shards(store)
    create(field_layout(long, "t"))
    assert shards(store) == before
    data = xr.open_zarr(store)  # fields that were not extended by name must fit all the same
    assert data.sizes["time"] == (31 + 29 + 31 + 30) * 4
    assert data["tp"].isel(time=slice((31 + 6) * 4, None)).isnull().all()
    create(field_layout(short, "t"))
    assert xr.open_zarr(store).sizes["time"] == (31 + 29 + 31 + 30) * 4


def test_a_crash_between_resizing_and_writing_times_is_mended(experiment):
    config = experiment()
    create(field_layout(config, "t"))
    Paths(config).layout("t").unlink()  # it is written last
    (Paths(config).store / "time/c/0").unlink()
    create(field_layout(config, "t"))
    assert xr.open_zarr(Paths(config).store)["time"].values[1] == np.datetime64("2020-01-01T06")


def _create(config: Config, field: str) -> None:
    create(field_layout(config, field))


def test_fields_laid_out_at_the_same_time_are_all_there(experiment):
    names = ("t", "u", "v", "tp")
    config = experiment(dict.fromkeys(names))
    context = multiprocessing.get_context("fork")
    jobs = [context.Process(target=_create, args=(config, name)) for name in names]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
        assert job.exitcode == 0
    assert set(names) <= set(xr.open_zarr(Paths(config).store).data_vars)
    assert all(Paths(config).layout(name).exists() for name in names)
