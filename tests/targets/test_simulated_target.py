"""Simulated targets: reproducible, in place, and with the relations to the coarse state they claim."""

from pathlib import Path

import eccodes
import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from atmorep.config import parse
from atmorep.errors import ConfigError, DataError
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.sources.grib_writer import GribWriter
from atmorep.targets.product import open_product
from atmorep.targets.simulated import Simulated
from atmorep.targets.simulated.geography import radar_grid, rotated_grid
from atmorep.targets.simulated.patterns import Evolving, Spectrum, field
from atmorep.targets.simulated.sun import Sun
from atmorep.targets.simulated.surface import Surface
from atmorep.timeaxis import Span

JANUARY, FEBRUARY = Span.parse("2001-01-31_2001-01-31"), Span.parse("2001-02-01_2001-02-03")
SURFACE = Surface(rotated_grid(), 0)
LEVEL = 1457.3  # m, 850 hPa in the standard atmosphere (ICAO 1993)
AIR = {"t": 280.0, "u": 8.0, "v": -4.0, "tp": 1e-3}
"""The coarse state where a test says nothing else."""


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    """Give a target's or static field's source; a simulation's raw files with constant fields are there."""
    monkeypatch.chdir(tmp_path)

    def made(name, spans=(FEBRUARY,), **air):
        config = parse(settings_of())
        deliver(config, spans, AIR | air)
        return Simulated(config, name)

    return made


def settings_of():
    source = {
        product: {"kind": "simulated", "product": product} for product in ("temperature", "radar", "relief")
    }
    region = {"north": 50, "south": 45, "west": 5, "east": 15}
    return {
        "experiment": "test",
        "source": {"kind": "simulated"},
        "data": {
            "grid": {"east": 355, "resolution": 5},
            "time_step": 1,
            "levels": {"type": "pressure", "values": [500, 850]},
            "periods": {
                "train": [{"start": "2001-01-31", "end": "2001-01-31"}],
                "validation": [{"start": "2001-02-01", "end": "2001-02-01"}],
                "test": [{"start": "2001-02-02", "end": "2001-02-03"}],
            },
        },
        "fields": {"t": {}, "u": {}, "v": {}, "tp": {}},
        "network": {
            "neighbourhood": {"time": 4, "latitude": 6, "longitude": 6},
            "token_size": {"time": 1, "latitude": 3, "longitude": 3},
        },
        "evaluation": {"lead_hours": [3]},
        "targets": {
            "warmth": {
                "source": source["temperature"],
                "variable": "2t",
                "units": "K",
                "field": "2t",
                "region": region,
            },
            "rain": {
                "source": source["radar"],
                "variable": "rain",
                "units": "mm",
                "field": "tp",
                "time": {"kind": "sum"},
                "region": region,
            },
        },
        "statics": {"relief": {"source": source["relief"], "variable": "HSURF", "units": "m"}},
    }


def deliver(config, spans, air):
    """Write raw files; a value that is a function is one of the time."""
    grid = Grid.from_config(config.data.grid)
    for span in spans:
        for name, value in air.items():
            for level in config.store_levels(name):
                kind = "surface" if known_field(name).surface else "pressure"
                with GribWriter(Paths(config).raw(name, level, span), grid) as writer:
                    for time in span.hours(1):
                        constant = value(time) if callable(value) else value
                        writer.write(name, kind, level, time, np.full(grid.shape, constant))


def messages(path: Path):
    """Values (time, rows, columns), and geographic longitudes and latitudes as ecCodes has them."""
    values = []
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            shape = eccodes.codes_get(handle, "Nj"), eccodes.codes_get(handle, "Ni")
            values.append(eccodes.codes_get_values(handle).reshape(shape))
            places = [eccodes.codes_get_array(handle, f"{name}itudes") for name in ("long", "lat")]
            eccodes.codes_release(handle)
    return np.stack(values), *(place.reshape(shape) for place in places)


def rain_of(path: Path):
    with netCDF4.Dataset(path) as file:
        rain = file["rain"][:].filled(np.nan)
        return rain, file["time_bounds"][:].astype("datetime64[h]")


# -- reproducible ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["warmth", "rain"])
def test_a_span_needs_no_other_and_comes_out_the_same_again(simulated, tmp_path, name):
    target = simulated(name, (JANUARY, FEBRUARY))
    once = [path.read_bytes() for path in target.fetch(FEBRUARY, tmp_path / "once")]
    for path in target.raw(JANUARY):
        path.unlink()
    assert [path.read_bytes() for path in target.fetch(FEBRUARY, tmp_path / "again")] == once
    with pytest.raises(DataError, match="raw file of"):
        target.fetch(JANUARY, tmp_path / "again")


def test_another_seed_has_another_relief():
    assert not np.allclose(Surface(rotated_grid(), 1).height, SURFACE.height, atol=100)


@given(hours=st.integers(1, 60), memory=st.floats(1, 8))
@settings(max_examples=15, deadline=None)
def test_a_pattern_is_the_same_whenever_it_is_followed_from(hours, memory):
    spectrum, time = Spectrum((20, 24), 1.5, 8), np.datetime64("2001-02-01T00", "h")
    followed, begun = (Evolving(spectrum, memory, (0, 9)) for _ in range(2))
    followed.at(time - np.timedelta64(hours, "h"))
    difference = followed.at(time) - begun.at(time)
    assert np.abs(difference).max() < 10 * np.exp(-8)


# -- patterns --------------------------------------------------------------------------------------


def test_a_field_has_mean_0_and_variance_1():
    fields = np.stack([field(Spectrum((30, 41), 1.3, 10), 0, n) for n in range(400)])
    assert abs(fields.mean()) < 1e-12
    assert fields.var() == pytest.approx(1, abs=0.05)


def test_a_pattern_fades_and_drifts():
    spectrum, start = Spectrum((32, 32), 1.5, 8), np.datetime64("2001-02-01T00", "h")
    found = []
    for seed in range(40):
        pattern = Evolving(spectrum, 3.0, (seed, 9))
        before, after = (pattern.at(start + np.timedelta64(n, "h"), (2.0, -3.0)) for n in (0, 2))
        found.append((np.roll(before, (4, -6), (0, 1)) * after).mean())
    assert np.mean(found) == pytest.approx(np.exp(-2 / 3), abs=0.05)


# -- geometry --------------------------------------------------------------------------------------


def test_where_the_points_of_the_rotated_grid_are(simulated, tmp_path):
    (path,) = simulated("relief").fetch(None, tmp_path)
    height, longitude, latitude = messages(path)
    grid = rotated_grid()
    np.testing.assert_allclose(latitude, grid.latitude, atol=2e-3)
    np.testing.assert_allclose((longitude - grid.longitude + 180) % 360 - 180, 0, atol=4e-3)
    np.testing.assert_allclose(height[0], SURFACE.height, atol=0.1)


def test_the_radar_grid_is_radolans():
    """Corner of the national composite: 46.9526 N, 3.5889 E at x = -523.462, y = -4658.645 km (DWD 2015)."""
    row, column = radar_grid().indices(3.5889, 46.9526)
    assert -5500 + 20 * row == pytest.approx(-4658.645, abs=0.01)
    assert -1200 + 20 * column == pytest.approx(-523.462, abs=0.01)


def test_a_grid_that_ends_amid_the_target_is_refused():
    values = settings_of()
    values["data"]["grid"] = {"north": 70, "south": 45, "west": -30, "east": 40, "resolution": 5}
    words = "data.grid: does not reach around the simulated temperature, from 37.9 to 63.5 degrees north"
    with pytest.raises(ConfigError, match=words):
        Simulated(parse(values), "warmth").check()


# -- relief ----------------------------------------------------------------------------------------


def test_the_relief_has_alps_and_is_the_models_in_the_large():
    from atmorep.sources.simulated.relief import relief

    grid = rotated_grid()
    alps = (abs(grid.latitude - 46.5) < 2) & (abs(grid.longitude - 10) < 5)
    large = relief(np.radians(grid.longitude), np.radians(grid.latitude))
    far = gaussian_filter(SURFACE.height - large, 300 / 24.5)
    assert SURFACE.height.min() >= 0
    assert 2000 < SURFACE.height[alps].max() < 4810
    assert np.sqrt((far**2).mean()) < 60


def test_slopes_point_up(simulated):
    """Along the rotated axes, which are nearly the geographic ones around 18 degrees east."""
    grid = rotated_grid()
    here = (abs(grid.longitude - 18) < 3) & (abs(grid.latitude - 48) < 4)
    rise = np.gradient(SURFACE.height, 24.46e3)
    for found, along in zip(SURFACE.slopes, reversed(rise), strict=True):
        assert np.corrcoef(found[here], gaussian_filter(along, 1.2)[here])[0, 1] > 0.9


# -- temperature -----------------------------------------------------------------------------------


def test_temperature_falls_with_height_and_varies_by_the_hour(simulated, tmp_path):
    """In a gale no cold air gathers, and the wind blows along the latitudes."""
    (path,) = simulated("warmth", u=60.0, v=0.0).fetch(FEBRUARY, tmp_path)
    values, longitude, _ = messages(path)
    level = 280 + 0.0065 * (LEVEL - SURFACE.height)
    flat = np.abs(SURFACE.slopes[0]) < 2e-4
    slope = np.polyfit(SURFACE.height[flat], values.mean(0)[flat], 1)[0]
    assert slope == pytest.approx(-0.0065, abs=2e-4)
    solar = (np.arange(72)[:, None] + longitude[flat] / 15) % 24
    land, sea = SURFACE.land[flat] > 0.95, SURFACE.land[flat] < 0.3
    anomaly = values[:, flat] - level[flat]
    noon, night = abs(solar - 14) < 1, abs(solar - 2) < 1
    warmer = [anomaly[noon & where].mean() - anomaly[night & where].mean() for where in (land, sea)]
    assert 2 < warmer[0] < 6
    assert warmer[1] < 0.6 * warmer[0]


def test_cold_air_gathers_in_valleys_in_calm_nights_only(simulated, tmp_path):
    deep = (SURFACE.valley > 0.7) & (SURFACE.land > 0.95)
    slopes = (SURFACE.valley == 0) & (SURFACE.land > 0.95)
    found = {}
    for name, wind in (("calm", 0.0), ("gale", 60.0)):
        (path,) = simulated("warmth", u=wind, v=0.0).fetch(FEBRUARY, tmp_path / name)
        values = messages(path)[0] + 0.0065 * SURFACE.height
        cold = values[:, slopes].mean(1) - values[:, deep].mean(1)
        found[name] = cold.reshape(3, 24).mean(0)
    pooling = found["calm"] - found["gale"]
    assert pooling[2] > 3
    assert abs(pooling[13]) < 0.5


def test_temperatures_are_of_this_world(simulated, tmp_path):
    (path,) = simulated("warmth").fetch(FEBRUARY, tmp_path)
    values, *_ = messages(path)
    assert values.shape == (72, *rotated_grid().shape)
    assert 250 < values.min() < values.max() < 310


# -- rain ------------------------------------------------------------------------------------------


def test_rain_falls_in_the_hour_that_ends_at_its_time(simulated, tmp_path):
    wet = np.datetime64("2001-02-02T05", "h")
    (path,) = simulated("rain", tp=lambda time: 2e-3 * (time == wet)).fetch(FEBRUARY, tmp_path)
    rain, hours = rain_of(path)
    (index,) = np.flatnonzero(np.nansum(rain, (1, 2)))
    assert tuple(hours[index]) == (wet - np.timedelta64(1, "h"), wet)
    assert hours.shape == (72, 2)
    assert hours[0, 1] == np.datetime64("2001-02-01T00", "h")


def test_rain_has_the_coarse_amount_in_the_mean(simulated, tmp_path):
    """With neither slopes nor daily cycle in the mean, as the cascade has mean 1 (and drizzle little)."""
    (path,) = simulated("rain", tp=2e-3, u=0.0, v=0.0).fetch(FEBRUARY, tmp_path)
    rain, _ = rain_of(path)
    assert np.nanmean(rain) == pytest.approx(2, rel=0.08)
    assert np.nanstd(rain) > 1
    assert 0 < np.nanmin(rain[rain > 0]) <= 0.1 + 1e-6


def test_drizzle_is_not_seen(simulated, tmp_path):
    (path,) = simulated("rain", tp=4e-7).fetch(FEBRUARY, tmp_path)
    rain, _ = rain_of(path)
    assert np.nanmax(rain) == 0


def test_pixels_out_of_range_are_missing_and_outages_last_a_day(simulated, tmp_path):
    (path,) = simulated("rain", tp=2e-3).fetch(FEBRUARY, tmp_path)
    rain, hours = rain_of(path)
    lost = np.isnan(rain)
    assert 0.005 < lost.all(0).mean() < 0.2
    days = (hours[:, 1] - np.timedelta64(1, "h")).astype("datetime64[D]")
    for day in np.unique(days):
        assert (lost[days == day] == lost[days == day][0]).all()
    assert (lost[1] != lost[-1]).any()


def test_the_file_says_that_it_is_simulated(simulated, tmp_path):
    (path,) = simulated("rain").fetch(FEBRUARY, tmp_path)
    with netCDF4.Dataset(path) as file:
        assert "Simulated" in file.title
        assert "nothing in it was observed" in file.source


# -- the sun ---------------------------------------------------------------------------------------


def test_the_sun_at_equinox_and_solstice():
    """Noon altitudes: 90 degrees at the equator in March, 66.6 at 46.84 N in June; a day's mean is 1 / pi."""
    sun = Sun(np.array([0.0, 0.0]), np.array([0.0, 46.84]))
    march, june = np.datetime64("2001-03-21T12", "h"), np.datetime64("2001-06-21T12", "h")
    assert np.degrees(np.arcsin(sun.altitude(march)[0])) == pytest.approx(90, abs=1)
    assert np.degrees(np.arcsin(sun.altitude(june)[1])) == pytest.approx(66.6, abs=0.3)
    assert sun.mean(march)[0] == pytest.approx(1 / np.pi, rel=2e-3)
    assert (sun.altitude(march - np.timedelta64(12, "h")) == 0).all()


# -- as products are read --------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "grid"), [("warmth", rotated_grid()), ("rain", radar_grid())])
def test_products_are_read_where_and_when_they_are(simulated, tmp_path, name, grid):
    config = parse(settings_of())
    files = simulated(name).fetch(FEBRUARY, tmp_path / "files")
    product = open_product(config.targets[name], files)
    turn = (product.geometry.longitude - grid.longitude + 180) % 360 - 180
    np.testing.assert_allclose(turn * np.cos(np.radians(grid.latitude)), 0, atol=2e-3)
    np.testing.assert_allclose(product.geometry.latitude, grid.latitude, atol=2e-3)
    ends = np.arange("2001-02-01T00", "2001-02-04T00", dtype="datetime64[h]")
    hours = np.stack([ends - np.timedelta64(1, "h") * (name == "rain"), ends], 1)
    np.testing.assert_array_equal(product.intervals, hours.astype("datetime64[m]"))
    values = product.read(5)
    if name == "rain":
        np.testing.assert_allclose(values, rain_of(files[0])[0][5] / 1000, rtol=1e-6)  # in m
    else:
        np.testing.assert_allclose(values, messages(files[0])[0][5], rtol=1e-6)


def test_the_relief_is_read_as_a_static_field(simulated, tmp_path):
    config = parse(settings_of())
    product = open_product(config.statics["relief"], simulated("relief").fetch(None, tmp_path / "files"))
    np.testing.assert_allclose(product.read(0), SURFACE.height, atol=0.1)
