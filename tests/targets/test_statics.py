"""Static fields on the grid of a target: in their unit, and standardised for the network."""

import numpy as np
import pytest
import xarray as xr

from atmorep.artefacts import write_json
from atmorep.paths import Paths
from atmorep.targets import statics as stage
from atmorep.targets.geometry import Geometry

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
    with xr.open_dataset(Paths(config).static("relief", "fine")) as file:
        assert file["relief"].attrs["units"] == "m"
        latitude, longitude = file["latitude"].to_numpy(), file["longitude"].to_numpy()
    heights = stage.physical_statics(config, "downscaling")
    assert heights.shape == (1, latitude.size, longitude.size)
    # Cells are half a degree: the mean over area is that at the centre, to a metre. None west of 7 E.
    np.testing.assert_array_equal(np.isnan(heights[0, 0]), longitude < 7)
    expected = np.broadcast_to(1000 * (latitude - 45), (np.sum(longitude > 7), latitude.size)).T
    np.testing.assert_allclose(heights[0][:, longitude > 7], expected, atol=10)
    scaled = stage.load_statics(config, "downscaling")[0]
    there = scaled[:, longitude > 7]
    assert (there.mean(), there.std()) == (pytest.approx(0, abs=1e-5), pytest.approx(1, rel=1e-5))
    assert (scaled[:, longitude < 7] == 0).all()
