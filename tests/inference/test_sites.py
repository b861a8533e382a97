"""Sites of a wind farm: analytic winds give the power, direction and rose they must, from file to page."""

import html
from math import erf, pi, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from downscaling import TARGET, TASK
from hypothesis import given
from hypothesis import strategies as st
from own_data import climate, saved, saved_task

from atmorep.cli import main
from atmorep.config import load, read, validated
from atmorep.config.site import Rose, SiteStudy, Turbine
from atmorep.downstream.batches import Scale
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.site import energy
from atmorep.site.wind import _bundle

TURBINE = {"name": "small", "hub_height": 10, "speeds": [4, 12, 25], "power": [100, 900, 900]}
SITES = {"A & B": {"latitude": 45, "longitude": 3}, "Süd": {"latitude": 42.5, "longitude": -3, "shear": 0}}
FILES = {"kind": "files", "files": ["wind.nc"]}
STUDY = {
    "title": "Zwei <Orte>",
    "output": "out",
    "wind": FILES,
    "sites": SITES,
    "turbine": TURBINE,
}
GRID = Grid(50, 0, 5, (4, 72))
HOURS = np.datetime64("2020-01-01T00", "h") + np.arange(24 * 12).astype("timedelta64[h]")


def curve(speeds, power):
    return Turbine(name="any", hub_height=100, speeds=speeds, power=power)


def wind(eastward, northward, hours=HOURS, grid=GRID, **more):
    """ERA5's NetCDF of 10 m wind; components broadcast over (time, latitude, longitude)."""
    shape = (len(hours), *grid.shape)
    dims, units = ("valid_time", "latitude", "longitude"), {"units": "m s**-1"}
    variables = {
        name: (dims, np.broadcast_to(values, shape).astype(np.float32), units)
        for name, values in (("u10", eastward), ("v10", northward))
    }
    coordinates = {"valid_time": hours.astype("datetime64[ns]")}
    return xr.Dataset(variables, {**coordinates, "latitude": grid.latitude, "longitude": grid.longitude})


def studied(**changes):
    Path("study.yaml").write_text(yaml.safe_dump({**STUDY, **changes}, allow_unicode=True))
    return main(["site", "study.yaml"])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


class TestEnergy:
    """Against what can be written down."""

    @pytest.mark.parametrize(
        ("eastward", "northward", "degrees"),
        [(0, -5, 0), (-5, 0, 90), (0, 5, 180), (5, 0, 270), (-3, -3, 45), (0, 0, 0)],
    )
    def test_direction_is_where_the_wind_blows_from(self, eastward, northward, degrees):
        assert energy.direction(np.array([eastward]), np.array([northward]))[0] == pytest.approx(degrees)

    @given(st.floats(0, 359.99), st.floats(0.1, 60))
    def test_direction_and_speed_give_the_components_back(self, degrees, speed):
        radians = np.radians(degrees)
        found = energy.direction(*(np.array([-speed * f(radians)]) for f in (np.sin, np.cos)))[0]
        assert 0 <= found < 360
        assert np.cos(np.radians(found - degrees)) == pytest.approx(1, abs=1e-12)

    def test_power_is_linear_within_the_curve_and_zero_outside(self):
        found = energy.power(np.array([3.99, 4, 8, 12, 25, 25.01]), Turbine(**TURBINE))
        np.testing.assert_allclose(found, [0, 100, 500, 900, 900, 0])

    @pytest.mark.parametrize(("scale", "shape"), [(9.0, 2.0), (6.0, 1.0)])
    def test_capacity_factor_of_weibull_wind(self, scale, shape):
        """Power in proportion to speed up to rated: the integral of the survival function exp(-(v / A)^k)."""
        rated = 12.0
        share = (np.arange(100_000) + 0.5) / 100_000
        speed = scale * (-np.log1p(-share)) ** (1 / shape)
        found = energy.power(speed, curve((0, rated, 1000), (0, 1, 1))).mean()
        integral = {2.0: sqrt(pi) / 2 * erf(rated / scale), 1.0: 1 - np.exp(-rated / scale)}[shape]
        assert found == pytest.approx(scale / rated * integral, abs=1e-5)

    def test_the_power_law(self):
        """From 10 to 100 m by 1/7: 10 ** (1/7) = 1.3895."""
        assert energy.to_hub(np.array([5.0]), 10, curve((0, 1), (0, 1)), 1 / 7)[0] == pytest.approx(
            6.9475, abs=1e-4
        )

    def test_a_rose_counts_each_hour_once_where_it_belongs(self):
        degrees, speed = np.array([355.0, 5.0, 90.0, 90.0]), np.array([3.0, 9.0, 4.0, 50.0])
        found = energy.rose(degrees, speed, Rose(sectors=4, speeds=(0, 4, 8)))
        np.testing.assert_allclose(found, np.array([[1, 0, 1], [0, 1, 1], [0, 0, 0], [0, 0, 0]]) / 4)

    def test_a_site_that_is_always_worse_is_so_in_the_interval_too(self):
        days = np.repeat(np.arange(30), 24)
        better = np.random.default_rng(0).uniform(0.2, 0.8, (2, days.size, 1))
        found = energy.capacity(np.concatenate([better - 0.1, better], 2), days, 0.8, 2)
        np.testing.assert_allclose(found.behind, [0.1, 0], atol=1e-12)
        np.testing.assert_allclose(found.behind_interval, [[0.1, 0], [0.1, 0]], atol=1e-12)
        assert (found.period[0] < found.mean).all()
        assert (found.mean < found.period[1]).all()
        assert np.isnan(energy.capacity(better[:, : 24 * 9], days[: 24 * 9], 0.8, 2).period).all()


class TestFiles:
    """Wind as files have it."""

    def test_constant_wind_gives_the_curve_s_power_from_where_it_blows(self, folder):
        wind(8, 0).to_netcdf("wind.nc")
        assert studied() == 0
        found = xr.load_dataset("out/sites.nc")
        np.testing.assert_allclose(found.capacity_factor, 500 / 900, rtol=1e-6)
        np.testing.assert_allclose(found.wind_from_direction, 270)
        assert found.rose.sel(site="Süd", sector=270).sum() == 1
        assert found.attrs["Conventions"] == "CF-1.11"
        rows = pd.read_csv("out/sites.csv")
        assert rows.site.tolist() == list(SITES)
        np.testing.assert_allclose(
            rows[["capacity_factor", "period_lower", "member_upper"]], 500 / 900, rtol=1e-5
        )
        assert rows.behind_best.tolist() == [0, 0]
        page = Path("out/sites.html").read_text()
        assert page.count("<img") == 3
        assert "<Orte>" not in page
        assert all(html.escape(name) in page for name in (STUDY["title"], *SITES))

    def test_wind_is_linear_between_the_points_over_the_meridian(self, folder):
        """Between 45 and 40 N it falls from 10 to 5; the second site lies at 42.5 N, west of Greenwich."""
        wind(np.array([15, 10, 5, 0])[:, None], 0).to_netcdf("wind.nc")
        assert studied() == 0
        found = xr.load_dataset("out/sites.nc").wind_speed.isel(time=0, number=0)
        np.testing.assert_allclose(found, [10, 7.5], atol=0.03)  # sides of the squares are great circles

    def test_members_and_lead_times_of_a_forecast_are_what_the_bounds_are_of(self, folder):
        """Three members of 6, 8 and 10 m/s: 300, 500 and 700 kW of 900."""
        each = xr.concat([wind(speed, 0, HOURS[:24]) for speed in (6, 8, 10)], "number")
        leads = (np.arange(1, 25).astype("timedelta64[h]")).astype("timedelta64[ns]")
        forecast = each.rename(valid_time="lead_time", u10="10u", v10="10v").assign_coords(lead_time=leads)
        start = np.datetime64("2020-01-01T00", "ns")
        forecast.expand_dims(init_time=[start]).to_netcdf("wind.nc")
        assert studied(bounds=0.5) == 0
        found = xr.load_dataset("out/sites.nc")
        assert found.time.to_numpy()[0] == np.datetime64("2020-01-01T01")
        np.testing.assert_allclose(found.capacity_factor, 500 / 900, rtol=1e-6)
        np.testing.assert_allclose(found.capacity_factor_bounds[:, 0], [400 / 900, 600 / 900], rtol=1e-6)
        assert np.isnan(found.capacity_factor_interval).all()  # of a day
        assert "[no interval]" in Path("out/sites.html").read_text()

    def test_files_of_months_and_components_are_put_together(self, folder):
        whole = wind(np.arange(HOURS.size)[:, None, None] % 20, 1)
        whole.to_netcdf("wind.nc")
        assert studied() == 0
        expected = xr.load_dataset("out/sites.nc")
        parts = {
            "b.nc": whole[["u10"]].isel(valid_time=slice(99, None)),
            "a.nc": whole[["u10"]].isel(valid_time=slice(99)),
        }
        for name, part in {**parts, "v.nc": whole[["v10"]]}.items():
            part.to_netcdf(name)
        assert studied(wind={"kind": "files", "files": ["b.nc", "v.nc", "a.nc"]}) == 0
        found = xr.load_dataset("out/sites.nc")
        np.testing.assert_array_equal(found.wind_speed, expected.wind_speed)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"sites": {"far": {"latitude": 10, "longitude": 0}}}, "far, 10 N 0 E, lies outside of its 35"),
            ({"wind": {**FILES, "files": ["no.nc"]}}, "no.nc: there is no such file or store"),
            ({"wind": {**FILES, "eastward": "msl"}}, "none of the files has msl"),
            ({"wind": {**FILES, "files": ["wind.nc", "wind.nc"]}}, "10u: a time is in several of the files"),
            ({"turbin": TURBINE}, "turbin = {"),
            ({"turbine": {**TURBINE, "power": [1, 2]}}, "turbine: power has 2 values for the 3 of speeds"),
            ({"turbine": {**TURBINE, "speeds": [4, 4, 25]}}, "turbine: speeds must increase"),
            ({"rose": {"speeds": [1, 2]}}, "rose: speeds must begin with 0 and increase"),
            ({"wind": {"kind": "model", "models": ["m"], "inputs": ["i"], "use": "forecast"}}, "wind: hours"),
        ],
    )  # fmt: skip
    def test_what_is_refused_is_said_and_leaves_nothing(self, folder, capsys, changes, message):
        wind(8, 0).to_netcdf("wind.nc")
        assert studied(**changes) == 2
        assert message in capsys.readouterr().err
        assert not Path("out").exists()

    def test_a_missing_value_is_named_with_the_remedy(self, folder, capsys):
        holed = wind(8, 0)
        holed["v10"][5, 1, :] = np.nan
        holed.to_netcdf("wind.nc")
        assert studied() == 2
        assert "10v, A & B, 2020-01-01T05:00: is missing (NaN); 'atmorep fill'" in capsys.readouterr().err


def test_a_model_fills_the_hours_between(configure):
    """Untrained: what is given stays alike in all members, what is between differs."""
    fields = {"10u": {"coupled": ["10v"]}, "10v": {"coupled": ["10u"]}}
    config = configure(fields=fields, network={"token_size": {"time": 1}})
    hours = np.datetime64("2001-02-17T00", "h") + 6 * np.arange(12).astype("timedelta64[h]")
    wind(3, 4, hours, Grid(60, 0, 10, (13, 36))).to_netcdf("wind.nc")
    bundle = saved(config, tuple(fields), climate(fields))
    model = {
        "kind": "model",
        "models": [str(bundle)],
        "use": "interpolate",
        "inputs": ["wind.nc"],
        "every_hours": 12,
    }
    assert studied(wind=model) == 0
    found = xr.load_dataset("out/sites.nc")
    assert (found.sizes["number"], found.sizes["time"]) == (3, 11)
    spread = found.wind_speed.std("number").max("site").to_numpy()
    np.testing.assert_allclose(spread[::2], 0, atol=1e-5)
    assert (spread[1::2] > 1e-3).all()
    assert "Interpolation in time; AtmoRep" in found.attrs["source"]


def test_two_bundles_downscale_a_component_each(configure):
    """Untrained: a guess at each fine cell, and hours that have a neighbourhood around."""
    targets, tasks = {}, {}
    for name in ("10u", "10v"):
        targets[f"fine{name}"] = {**TARGET, "field": name, "units": "m s-1"}
        guessed = {"guess": {"field": name}, "fields": [name], "statics": [], "steps": "all"}
        tasks[f"task{name}"] = {**TASK, **guessed, "target": f"fine{name}"}
    config = configure(fields={"10u": {}, "10v": {}}, targets=targets, finetune=tasks)
    norms = climate(("10u", "10v"))
    bundles = [
        str(saved_task(config, f"task{name}", Scale(name, 0.0, 1.0), {name: norms[name]})) for name in norms
    ]
    hours = np.datetime64("2001-02-17T00", "h") + 6 * np.arange(6).astype("timedelta64[h]")
    wind(3, 4, hours, Grid(90, 0, 10, (19, 36))).to_netcdf("wind.nc")
    model = {"kind": "model", "models": bundles, "use": "downscale", "inputs": ["wind.nc"], "members": 2}
    assert studied(wind=model, sites={"here": {"latitude": 40, "longitude": 12}}) == 0
    found = xr.load_dataset("out/sites.nc")
    assert (found.sizes["number"], found.sizes["time"]) == (2, 6)
    assert "Downscaling; AtmoRep" in found.attrs["source"]


def test_the_example_names_a_model_that_predicts_both_components(repository):
    study = validated(SiteStudy, read(repository / "config/examples/wind-farm.yaml"), "it")
    config = load(repository / study.wind.models[0])
    assert {study.wind.eastward, study.wind.northward} <= set(config.predicted(config.fields))
    assert _bundle(repository / study.wind.models[0], "10u") == str(Paths(config).multiformer)
    grid = Grid.from_config(config.data.grid)
    for site in study.sites.values():
        assert grid.latitude[-1] < site.latitude < grid.north
        assert grid.west < site.longitude < grid.longitude[-1]
