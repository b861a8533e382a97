"""Each command that uses a bundle, from files to a file, by the command line."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from downscaling import REGION, TARGET, TASK
from own_data import GLOBE, GUESSED, hours, own, saved, saved_task

from atmorep.cli import main
from atmorep.downstream.batches import Scale
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.paths import Paths
from atmorep.training.data import neighbourhoods

FORECAST = ("init_time", "lead_time", "number", "level", "latitude", "longitude")
STATES = ("time", "number", "level", "latitude", "longitude")
PLACE = ["--field=t", "--time=2001-02-17T12", "--latitude=-21", "--longitude=352"]


@pytest.fixture
def model(configure):
    return str(saved(configure(**GUESSED)))


def written(dataset, path="own.nc"):
    """A user's file; 1 and 2 are gaps of the cases below."""
    dataset.to_netcdf(path) if path.endswith(".nc") else dataset.to_zarr(path)
    return path


def with_hole():
    dataset = own()
    dataset["t"][2:4, :, 4:7, 10:15] = np.nan
    return dataset


@pytest.mark.parametrize(
    ("command", "dataset", "options", "dims"),
    [
        ("forecast", own(), ["--hours=18"], FORECAST),
        ("counterfactual", own(), ["--hours=6", "--year=1979", "--longitude=0"], FORECAST),
        ("interpolate", own().drop_isel(valid_time=[2, 3]), [], STATES),
        ("fill", with_hole(), [], STATES),
        ("correct", own(), ["--members=2"], STATES),
    ],
)
def test_states_are_written_with_their_units_and_provenance(model, capsys, command, dataset, options, dims):
    path = written(dataset)
    assert main([command, model, path, "--output", "out.nc", *options]) == 0
    with xr.open_dataset("out.nc") as found:
        assert found.t.dims == dims
        assert found.t.shape[dims.index("number")] == (2 if command == "correct" else 3)
        assert found.t.attrs["units"] == "K"
        assert np.isfinite(found.t).all()
        assert np.isfinite(found["2t"]).all()
        assert found.attrs["Conventions"] == "CF-1.11"
        assert found.attrs["input"].endswith("own.nc")
        assert "bundle mine" in found.attrs["source"]
        assert found.latitude.attrs["standard_name"] == "latitude"


@pytest.mark.parametrize("command", ["attention", "embed"])
def test_what_is_inside_is_written(model, command):
    path = written(own())
    assert main([command, model, path, "--output", "seen.nc", *PLACE]) == 0
    with xr.open_datatree("seen.nc") as tree:
        assert tree.attrs["Conventions"] == "CF-1.11"
        assert len(tree.children) == (4 if command == "attention" else 0)


def test_grib_netcdf_and_zarr_say_the_same(model, delivered):
    """The GRIB files of a month, one a field and level, and the store that was made from them."""
    files = [str(delivered / "delivered" / f"{name}_200102.grib") for name in ("t_105", "t_137", "2t_0")]
    store = next((delivered / "data" / "store").glob("*/era5.zarr"))
    times = hours("2001-02-18T00")
    inputs = {"grib": files, "zarr": [str(store)], "nc": [written(own(times))]}
    for name, paths in inputs.items():
        start = [f"--start={times[-1]}"] if name != "nc" else []
        assert main(["forecast", model, *paths, f"--output={name}.zarr", "--hours=12", *start]) == 0
    found = [xr.open_zarr(f"{name}.zarr", consolidated=False) for name in inputs]
    for other in found[1:]:
        np.testing.assert_allclose(other.t, found[0].t, atol=0.05)  # of 16-bit packing
        np.testing.assert_allclose(other["2t"], found[0]["2t"], atol=0.05)
    assert found[0].init_time == times[-1]


def test_missing_values_in_grib_are_filled(model, delivered):
    """Temperature lacks an hour on one level."""
    names = [("t_105", "200102"), ("t_137", "200102"), ("2t_0", "200102")]
    files = [str(delivered / "delivered" / f"{name}_{month}.grib") for name, month in names]
    assert main(["fill", model, *files, "--output=filled.nc", "--members=1"]) == 0
    with xr.open_dataset("filled.nc") as found:
        lost = found.t.sel(time="2001-02-05T12", level=137)
        before = found.t.sel(time="2001-02-05T06", level=137)
        assert float(np.abs(lost - before).mean()) < 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forecast", "own.nc", "--output=f.txt", "--hours=6"], "its name must end in one of .nc, .zarr"),
        (["forecast", "there.nc", "--output=f.nc", "--hours=6"], "there.nc: there is no such file or store"),
        (["forecast", "own.nc", "--output=f.nc", "--hours=5"], "must be a positive multiple of 6 h"),
        (["downscale", "own.nc", "--output=f.nc"], "is of no downstream task"),
        (
            ["attention", "own.nc", "--output=f.nc", *PLACE[:3], "--longitude=5", "--field=tp"],
            "predicts t, 2t",
        ),
    ],
)
def test_what_is_refused_is_said_and_leaves_no_file(model, capsys, tmp_path, arguments, message):
    written(own())
    command, *others = arguments
    before = sorted(tmp_path.iterdir())
    assert main([command, model, *others]) == 2
    assert message in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


class TestTasks:
    """Bundles of downstream tasks, untrained."""

    @pytest.fixture(params=["2t", "tp"])
    def task(self, request, configure):
        """Field, configuration, and folder of a task's bundle."""
        field = request.param
        units = {"2t": "K", "tp": "m"}[field]
        when = {"time": {"kind": "sum", "window_hours": 6}} if field == "tp" else {}
        config = configure(
            targets={"fine": {**TARGET, "field": field, "units": units, **when}},
            finetune={
                "task": {**TASK, "guess": {"field": field}, "fields": [field], "statics": [], "steps": "all"}
            },
        )
        scale = Scale(field, 1.0 if field == "tp" else 280.0, 1.0)
        return field, config, saved_task(config, "task", scale, {field: Paths(config).normalisation(field)})

    def test_its_target_is_written_as_from_the_store(self, task):
        field, config, folder = task
        command, other = ("precipitation", "downscale") if field == "tp" else ("downscale", "precipitation")
        times = hours("2001-02-17T00", 12)
        path = written(own(times, fields=(field,)))
        assert main([other, str(folder), path, "--output=no.nc"]) == 2
        assert main([command, str(folder), path, "--output=fine.nc", "--members=2"]) == 0
        predictor = DownstreamPredictor.load(config, folder)
        start = int(neighbourhoods(config, field).reader.axis.index(times[0]))
        expected = np.concatenate(predictor.predict([start, start + 6]).swapaxes(1, 2))[:, :2]
        with xr.open_dataset("fine.nc") as found:
            assert found[field].dims == ("time", "number", "latitude", "longitude")
            assert found[field].shape == (12, 2, 8, 10)
            np.testing.assert_array_equal(found.time, times.astype("datetime64[ns]"))
            np.testing.assert_allclose(found[field], expected, rtol=1e-3, atol=1e-6)
            method = "time: sum (interval: 6 hour)" if field == "tp" else "time: point"
            assert found[field].attrs["cell_methods"] == method
            assert float(found.latitude[0]) == REGION["north"] - 1 + 2.5

    def test_an_input_that_does_not_hold_the_neighbourhoods_is_refused(self, task, capsys):
        field, _, folder = task
        path = written(own(fields=(field,)).isel(latitude=slice(0, 6)))
        command = "precipitation" if field == "tp" else "downscale"
        assert main([command, str(folder), path, "--output=no.nc"]) == 2
        assert (
            "does not hold the neighbourhoods of the target's region; give at least"
            in capsys.readouterr().err
        )

    def test_a_forecast_is_refused(self, task, capsys):
        _, _, folder = task
        assert main(["forecast", str(folder), written(own()), "--output=no.nc", "--hours=6"]) == 2
        assert "is of the downstream task task" in capsys.readouterr().err


def test_the_grid_of_the_input_may_be_any_part_of_the_model_s(model):
    part = own().isel(latitude=slice(2, 12), longitude=list(range(30, 36)) + list(range(0, 8)))
    assert main(["forecast", model, written(part), "--output=f.nc", "--hours=6"]) == 0
    with xr.open_dataset("f.nc") as found:
        assert found.longitude.to_numpy().tolist() == list(range(-60, 80, 10))
        assert found.latitude.to_numpy().tolist() == GLOBE.latitude[2:12].tolist()


def test_the_lines_of_the_readme_do_what_they_say(model, repository, tmp_path):
    """As a program of its own, which xarray, not AtmoRep, lets load ecCodes; pyproj after it would crash."""
    written(own(), "era5.nc")
    block = re.search(r"```python\n(import atmorep\n.*?)```", (repository / "README.md").read_text(), re.S)
    program = block[1].replace("models/t-0123456789", model)
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with xr.open_dataset("how-sure.nc") as found:
        assert found.t.sizes["lead_time"] == 4
        assert (found.t > 0).all()
