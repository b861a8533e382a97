"""A target as docs/extending.md declares it, to its store."""

import numpy as np
import xarray as xr
import yaml
from documented import shown

from atmorep.targets.convert import convert
from atmorep.targets.stage import download
from atmorep.targets.store import TargetReader

from .experiment import DAYS, experiment

FIRST = 29 * 24
"""Hours from the first of the month to the first day."""


def test_a_target_is_an_entry(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (text,) = shown(repository / "docs/extending.md", "target")
    config = experiment(yaml.safe_load(text)["targets"]["fine"])
    (tmp_path / "raw").mkdir()
    hours = np.arange("2020-01-29T00", "2020-02-03T00", dtype="datetime64[h]").astype("datetime64[ns]")
    axes = {"time": hours, "lat": np.arange(44, 58, 0.5), "lon": np.arange(2, 18, 0.5)}
    field = xr.DataArray(np.full((len(hours), 28, 32), 7.0), axes, tuple(axes), attrs={"units": "degC"})
    field["lat"].attrs["units"], field["lon"].attrs["units"] = "degrees_north", "degrees_east"
    for month in ("2020-01", "2020-02"):
        field.to_dataset(name="ts").sel(time=month).to_netcdf(f"raw/ts-{month.replace('-', '')}.nc")
    for span in DAYS:
        download(config, "fine", span)
        convert(config, "fine", span)
    reader = TargetReader(config, "fine")
    assert reader.grid.resolution == 0.5
    np.testing.assert_allclose(
        reader.read(FIRST, 96, 0, *reader.grid.shape[:1], 0, reader.grid.shape[1]), 280.15
    )
