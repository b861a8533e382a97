"""Static fields on the grid of a target: in their unit, and standardised for the network."""

import numpy as np
import pytest
import xarray as xr

from atmorep.artefacts import write_json
from atmorep.downstream.statics import read_static, read_statics
from atmorep.errors import DataError
from atmorep.paths import Paths
from atmorep.targets import statics as stage
from atmorep.targets.geometry import Geometry
from atmorep.targets.stage import download_static
from atmorep.targets.store import evaluation_grid

from .experiment import experiment

FILES = {"kind": "files", "folder": "raw", "pattern": "relief.nc"}
TASK = {"kind": "target", "target": "fine", "guess": {"field": "2t"}, "statics": ["relief"]}


class Relief:
    """Heights of a thousand metres a degree of latitude from 45 N on, and none west of 7 E."""

    geometry = Geometry.curvilinear(*np.meshgrid(np.arange(0.125, 30, 0.25), np.arange(40.125, 60, 0.25)))

    def read(self, index):
        height = 1000 * (self.geometry.latitude - 45)
        return np.where(self.geometry.longitude < 7, np.nan, height).astype(np.float32)


def test_a_static_field_on_the_grid_of_a_target(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    statics = {"relief": {"source": FILES, "variable": "HSURF", "units": "m"}}
    config = experiment(statics=statics, finetune={"downscaling": TASK})
    write_json(Paths(config).static_raw("relief"), {"files": []})
    monkeypatch.setattr(stage, "open_product", lambda wanted, files: Relief())
    stage.static(config, "relief", "fine")
    path, grid = Paths(config).static("relief", "fine"), evaluation_grid(config, "fine")
    with xr.open_dataset(path) as file:
        assert file["relief"].attrs["units"] == "m"
        latitude, longitude = file["latitude"].to_numpy(), file["longitude"].to_numpy()
    np.testing.assert_array_equal(latitude, grid.latitude)
    heights = read_static(path, grid)
    assert heights.shape == (latitude.size, longitude.size)
    # Cells are half a degree: the mean over area is that at the centre, to a metre. None west of 7 E.
    np.testing.assert_array_equal(np.isnan(heights[0]), longitude < 7)
    expected = np.broadcast_to(1000 * (latitude - 45), (np.sum(longitude > 7), latitude.size)).T
    np.testing.assert_allclose(heights[:, longitude > 7], expected, atol=10)
    (scaled,) = read_statics([path], grid)
    there = scaled[:, longitude > 7]
    assert (there.mean(), there.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, rel=1e-5))
    assert (scaled[:, longitude < 7] == 0).all()


def brought(config, *names):
    """Static fields on the grid of the target, through the stages."""
    for name in names:
        download_static(config, name)
        stage.static(config, name, "fine")
    grid = evaluation_grid(config, "fine")
    return grid, [read_static(Paths(config).static(name, "fine"), grid) for name in names]


def test_orography_and_land_of_era5(shared, tmp_path, monkeypatch):
    """Geopotential on a quarter of a degree in half a degree: two halves and a whole point each way."""
    monkeypatch.chdir(tmp_path)
    files = {"kind": "files", "folder": str(shared / "static_025")}
    terrain = {"source": {**files, "pattern": "ERA5_terrain_high.nc"}, "variable": "z"}
    mask = {"source": {**files, "pattern": "ERA5_lsm_*.nc"}, "variable": "lsm", "units": "1"}
    statics = {
        "height": {**terrain, "units": "m"},
        "geopotential": {**terrain, "units": "m**2 s**-2"},
        "land": mask,
    }
    grid, (height, geopotential, land) = brought(experiment(statics=statics), *statics)
    np.testing.assert_allclose(geopotential, 9.80665 * height, rtol=1e-5, atol=1e-2)
    with xr.open_dataset(shared / "static_025/ERA5_terrain_high.nc") as file:
        for row, column in ((0, 0), (5, 7), (13, 19)):
            latitude, longitude = grid.latitude[row], grid.longitude[column]
            points = file["z"][0].sel(
                latitude=latitude + np.array([0.25, 0, -0.25]),
                longitude=longitude + np.array([-0.25, 0, 0.25]),
            )
            edges = np.radians(latitude + np.array([0.25, 0.125, -0.125, -0.25]))
            parts = -np.diff(np.sin(edges))[:, None] * np.array([1, 2, 1])
            expected = (points.to_numpy() * parts).sum() / parts.sum()
            assert geopotential[row, column] == pytest.approx(expected, rel=1e-5)
    assert (land.min(), land.max()) == (0, pytest.approx(1, abs=1e-3))  # the Adriatic, and far from any sea
    there = [
        int(np.abs(axis - at).argmin()) for axis, at in ((grid.latitude, 48.25), (grid.longitude, 11.75))
    ]
    assert height[*there] == pytest.approx(480, abs=60)  # the plain of Munich, 48.14 N 11.58 E: about 520 m


@pytest.mark.parametrize(
    ("variable", "units", "message"),
    [
        ("tke", "m", "its unit 'm2 s-2' is not m and cannot be converted without doubt"),
        ("z", "km", "its unit 'm2 s-2' is not km"),
    ],
)
def test_only_a_geopotential_becomes_a_height(tmp_path, monkeypatch, variable, units, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    attributes = {"units": "m2 s-2"} | ({"standard_name": "geopotential"} if variable == "z" else {})
    axes = {"lat": np.arange(40.0, 60), "lon": np.arange(0.0, 30)}
    values = xr.DataArray(np.ones((20, 30)), axes, ("lat", "lon"), attrs=attributes)
    values.to_dataset(name=variable).to_netcdf(tmp_path / "raw/relief.nc")
    wanted = {"source": FILES, "variable": variable, "units": units}
    with pytest.raises(DataError, match=message):
        brought(experiment(statics={"relief": wanted}), "relief")


def test_a_field_without_a_value_is_refused_by_name(tmp_path):
    path, grid = tmp_path / "relief.nc", evaluation_grid(experiment(), "fine")
    empty = xr.DataArray(np.full(grid.shape, np.nan), dims=("latitude", "longitude"))
    empty.to_dataset(name="relief").to_netcdf(path)
    with pytest.raises(DataError, match=r"relief\.nc: has no value on the grid of the target"):
        read_statics([path], grid)
