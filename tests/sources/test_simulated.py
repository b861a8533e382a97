"""The simulated atmosphere: plausible, consistent, reproducible, and readable as ERA5 is."""

import datetime as dt
import os
import subprocess
import sys

import jax
import numpy as np
import pytest
import xarray as xr

from atmorep.config import parse
from atmorep.config.data import Levels
from atmorep.errors import IntegrityError, SourceError
from atmorep.fields import FIELDS
from atmorep.grids import Grid
from atmorep.integrity import beside
from atmorep.paths import Paths
from atmorep.sources import open_source
from atmorep.sources.grib import decode, eccodes, read, scan
from atmorep.sources.simulated.fields import DIAGNOSED, Output
from atmorep.sources.simulated.levels import coefficients, half_levels
from atmorep.sources.simulated.model import Model, load, save
from atmorep.timeaxis import Span, data_spans

GLOBE = Grid(90.0, 0.0, 3.0, (61, 120))
PRESSURE = Levels(type="pressure", values=(850, 500, 250))
RADIUS, GRAVITY, GAS = 6.37122e6, 9.80616, 1004 * 2 / 7


def configuration(fields=("t",), first="2011-01-31", **changes):
    day = dt.date.fromisoformat(first)
    one, two, three = (str(day + dt.timedelta(n)) for n in (0, 1, 4))
    values = {
        "experiment": "test",
        "source": {"kind": "simulated", "truncation": 21, "spin_up_days": 1},
        "data": {
            "grid": {"west": 0, "east": 350, "resolution": 10},
            "time_step": 3,
            "levels": {"type": "pressure", "values": [850, 500]},
            "periods": {
                name: [{"start": day, "end": day}]
                for name, day in zip(("train", "validation", "test"), (one, two, three), strict=True)
            },
        },
        "fields": dict.fromkeys(fields),
        "network": {
            "neighbourhood": {"time": 4, "latitude": 6, "longitude": 6},
            "token_size": {"time": 1, "latitude": 3, "longitude": 3},
        },
        "evaluation": {"lead_hours": [3]},
    }
    values["source"] |= changes.pop("source", {})
    values["data"] |= changes
    return parse(values)


def fetch(config, *spans):
    source, paths = open_source(config), Paths(config)
    (group,) = source.groups()
    for span in spans or data_spans(config.data):
        source.fetch(group, span, lambda field, level, span=span: paths.raw(field, level, span))
    return paths


def area_mean(values, grid=GLOBE):
    return (values * grid.weights).mean(axis=(-2, -1))


@pytest.fixture(scope="module")
def model():
    return Model(21)


@pytest.fixture(scope="module")
def season(model):
    """Six-hourly fields, and hourly precipitation, of five days after twenty of spin-up."""
    output = Output(model.core, GLOBE, PRESSURE, tuple(DIAGNOSED))
    weather, time = model.initial(0), np.datetime64("2010-12-12T00", "h")
    found, rain = [], []
    for hour in range(25 * 24):
        weather, time = model.advance(weather, time), time + np.timedelta64(1, "h")
        if hour >= 20 * 24:
            fields = output.fields(weather)
            rain.append(fields["tp"])
            found += [fields] if hour % 6 == 5 else []
    series = {name: np.stack([fields[name] for fields in found]) for name in DIAGNOSED}
    return series | {"tp": np.stack(rain)}


# -- climate -----------------------------------------------------------------------------------


def test_every_known_field_is_simulated():
    assert set(DIAGNOSED) == set(FIELDS)


def test_mean_temperature_of_levels(season):
    standard = 288.15 * (np.array(PRESSURE.values) / 1013.25) ** (GAS * 0.0065 / GRAVITY)
    assert np.abs(area_mean(season["t"]).mean(axis=0) - standard).max() < 5


def test_eddies_are_as_strong_as_weather(season):
    found = np.sqrt(area_mean(season["v"] ** 2)).mean(axis=0)
    assert (found > [3, 5, 8]).all()
    assert (found < [12, 16, 22]).all()
    assert 20 < np.abs(season["u"][:, 2]).max() < 120


def test_vertical_velocity(season):
    assert 0.05 < season["w"][:, 1].std() < 0.4
    assert np.abs(area_mean(season["w"])).max() < 0.01


def test_precipitation_is_not_negative_and_of_earths_size(season):
    assert season["tp"].min() >= 0
    assert 1 < area_mean(season["tp"]).mean() * 24e3 < 6


def test_surface_fields_are_plausible(season):
    assert abs(area_mean(season["msl"]).mean() - 1.01e5) < 2e3
    assert 1.5e4 > np.ptp(season["msl"][:, 0, 10:50]) > 4e3
    assert 270 < area_mean(season["2t"]).mean() < 295
    assert (season["2d"] <= season["2t"]).all()
    assert (season["q"] >= 0).all()
    assert 10 < area_mean(season["tcwv"]).mean() < 35
    assert 2 < np.hypot(season["10u"], season["10v"]).mean() < 10


def test_days_are_warmer_than_nights_over_land(season):
    """Australia (25 S, 133 E) lies 9 hours ahead: 06 UTC is its afternoon, 18 UTC its night."""
    row, column = 115 // 3, 132 // 3
    warm, cold = season["2t"][0::4, 0, row, column], season["2t"][2::4, 0, row, column]
    assert (warm - cold).mean() > 2


def derivatives(field, grid=GLOBE):
    """Central differences of (..., rows, columns): d/dx, and d/dy of the rows within."""
    step = np.radians(grid.resolution)
    cosine = np.cos(np.radians(grid.latitude))[1:-1, None]
    east = np.roll(field, -1, -1) - np.roll(field, 1, -1)
    north = field[..., :-2, :] - field[..., 2:, :]
    return east[..., 1:-1, :] / (2 * step * RADIUS * cosine), north / (2 * step * RADIUS)


def correlation(a, b):
    return np.corrcoef(a[..., 5:-5, :].ravel(), b[..., 5:-5, :].ravel())[0, 1]


def test_vorticity_and_divergence_are_those_of_the_wind(season):
    u, v = season["u"], season["v"]
    (ux, _), (vx, _) = derivatives(u), derivatives(v)
    cosine = np.cos(np.radians(GLOBE.latitude))[:, None]
    uy, vy = (derivatives(x * cosine)[1] / cosine[1:-1] for x in (u, v))
    # Interpolated between sigma layers, as all fields are, so that the derivative is not exact.
    assert correlation(vx - uy, season["vo"][..., 1:-1, :]) > 0.95
    assert correlation(ux + vy, season["d"][..., 1:-1, :]) > 0.8


def test_geopotential_is_hydrostatic(season):
    """Thickness between 850 and 500 hPa against the mean of the two temperatures."""
    high = season["sp"][:, 0] > 9e4
    thickness = season["z"][:, 1] - season["z"][:, 0]
    expected = GAS * season["t"][:, :2].mean(axis=1) * np.log(850 / 500)
    assert np.abs(thickness / expected - 1)[high].max() < 0.04  # temperature is not linear between
    assert abs((thickness / expected)[high].mean() - 1) < 0.01


def test_winds_blow_across_the_poles(season):
    """Seen from space the wind has one direction there: u and v turn once with the meridian."""
    for row, sign in ((0, -1), (-1, 1)):
        wind = season["u"][:, 1, row] + 1j * season["v"][:, 1, row]
        waves = np.abs(np.fft.fft(wind, axis=-1))
        assert (waves[:, sign].max() / np.delete(waves, sign, axis=1).max()) > 20


# -- output grid and levels --------------------------------------------------------------------


def test_region_is_a_part_of_the_globe(model):
    names = tuple(DIAGNOSED)
    weather = model.advance(model.initial(0), np.datetime64("2011-07-01T00", "h"))
    globe = Output(model.core, GLOBE, PRESSURE, names).fields(weather)
    region = Output(model.core, Grid(60.0, -9.0, 3.0, (5, 7)), PRESSURE, names).fields(weather)
    columns = np.arange(-3, 4)
    for name in names:
        part = globe[name][:, 10:15][:, :, columns]
        np.testing.assert_allclose(region[name], part, atol=1e-4 * np.abs(globe[name]).max(), err_msg=name)


def test_table_of_model_levels_is_ecmwfs(shared):
    path = shared / "model_level_spectral/od_137ml_uvtq_lnsp_20181114.grib2"
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)
        pv = eccodes.codes_get_array(handle, "pv")
        eccodes.codes_release(handle)
    np.testing.assert_allclose(np.concatenate(half_levels()), pv, rtol=1e-5, atol=1e-5)


def test_model_levels_follow_the_ground():
    a, b = coefficients(Levels(type="model", values=(137, 96)))
    over_sea, over_tibet = a + b * 101325, a + b * 55000
    assert over_sea[0] == pytest.approx(101204, abs=2)  # ECMWF's table: pf of level 137 is 1012.0494 hPa
    assert over_tibet[0] == pytest.approx(55000 * b[0])
    assert over_sea[1] > over_tibet[1]


def test_temperature_between_and_below_the_layers(model):
    """Level 137 is warmer than the lowest layer's centre by the standard lapse rate."""
    weather = model.initial(0)
    low = Output(model.core, GLOBE, Levels(type="model", values=(137,)), ("t", "2t")).fields(weather)
    assert np.abs(low["t"] - low["2t"]).max() < 0.15  # 10 m apart


# -- files -------------------------------------------------------------------------------------


def test_files_read_back_and_only_what_is_configured_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration(("t", "tp"))
    paths = fetch(config)
    grid, (first, second) = Grid.from_config(config.data.grid), data_spans(config.data)
    assert [str(first), str(second)] == ["2011-01-31_2011-01-31", "2011-02-01_2011-02-04"]
    found = {str(p.relative_to(paths.raw_folder)) for p in paths.raw_folder.rglob("*.*")}
    members = ("t/850", "t/500", "tp/0")
    expected = {f"{m}/{s}.grib" for m in members for s in (first, second)}
    states = {f"state/{s}.npz" for s in (first, second)}
    assert found == expected | states | {f"{state}.manifest.json" for state in states}
    for span in (first, second):
        for field, level in (("t", 850), ("t", 500), ("tp", 0)):
            messages = scan(paths.raw(field, level, span))
            assert [m.valid_time for m in messages] == list(span.hours(3))
            assert {(m.field, m.level, m.expver) for m in messages} == {(field, level, "0001")}
            values = decode(messages[-1], grid)
            assert (values >= 0).all()
            assert (values > 200).all() == (field == "t")


def test_cfgrib_opens_the_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration(("u", "tp"), time_step=1)
    first = data_spans(config.data)[0]
    paths = fetch(config, first)
    options = {"indexpath": "", "time_dims": ["valid_time"]}
    for field, level in (("u", 500), ("tp", 0)):
        path = paths.raw(field, level, first)
        with xr.open_dataset(path, engine="cfgrib", backend_kwargs=options) as data:
            assert dict(data[field].sizes) == {"valid_time": 24, "latitude": 19, "longitude": 36}
            assert (data.valid_time.values == first.hours(1)).all()
            assert np.isfinite(data[field]).all()


def test_model_levels_come_as_edition_2(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration(("q", "2t"), levels={"type": "model", "values": [137, 96]})
    first = data_spans(config.data)[0]
    paths = fetch(config, first)
    edition = {"q": 2, "2t": 1}
    for field, level in (("q", 137), ("q", 96), ("2t", 0)):
        message = scan(paths.raw(field, level, first))[0]
        assert message.level_type == ("model" if level else "surface")
        assert message.level == level
        handle = eccodes.codes_new_from_message(read(message))
        assert eccodes.codes_get(handle, "edition") == edition[field]
        eccodes.codes_release(handle)


# -- time --------------------------------------------------------------------------------------


def test_restart_continues_bit_for_bit(tmp_path, monkeypatch, model):
    """Jobs of two spans, with a gap between, against one uninterrupted run."""
    monkeypatch.chdir(tmp_path)
    config = configuration(("t", "tp"), first="2011-01-30", time_step=1)
    source = open_source(config)
    spans = data_spans(config.data)
    assert [str(s) for s in spans] == ["2011-01-30_2011-01-31", "2011-02-03_2011-02-03"]
    paths = fetch(config)
    output = Output(model.core, Grid.from_config(config.data.grid), config.data.levels, ("t", "tp"))
    weather, time = model.initial(0), np.datetime64("2011-01-29T00", "h")
    while time < np.datetime64("2011-02-03T00"):
        weather, time = model.advance(weather, time), time + np.timedelta64(1, "h")
    fields = output.fields(weather)
    grid = Grid.from_config(config.data.grid)
    for field, level, index in (("t", 850, 0), ("t", 500, 1), ("tp", 0, 0)):
        message = scan(paths.raw(field, level, spans[1]))[0]
        assert message.valid_time == time
        assert np.abs(decode(message, grid) - fields[field][index]).max() <= message.step
    for _ in range(24):
        weather, time = model.advance(weather, time), time + np.timedelta64(1, "h")
    kept, when = load(source.state_path(spans[1]))
    assert when == time
    for ours, theirs in zip(jax.tree.leaves(weather), jax.tree.leaves(kept), strict=True):
        assert np.array_equal(ours, theirs)


def test_same_seed_same_bytes_other_seed_other_weather(tmp_path, monkeypatch):
    results = {}
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        config = configuration(("v",), source={"seed": seed})
        first = data_spans(config.data)[0]
        results[name] = fetch(config, first).raw("v", 500, first).read_bytes()
    assert results["a"] == results["b"]
    assert results["a"] != results["c"]


def test_previous_spans():
    config = configuration()
    source = open_source(config)
    first, second = data_spans(config.data)
    assert source.previous(first) is None
    assert source.previous(second) == first
    with pytest.raises(SourceError, match="2015-01 is not one of the configuration's"):
        source.previous(Span.parse("2015-01"))


def test_lacking_state_names_the_span_to_fetch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = configuration()
    with pytest.raises(SourceError, match="fetch span 2011-01-31_2011-01-31 first"):
        fetch(config, data_spans(config.data)[1])
    assert not list(tmp_path.rglob("*.grib"))


@pytest.mark.parametrize("damage", ["truncated", "something else", "empty"])
def test_broken_state_is_refused(tmp_path, model, damage):
    path = tmp_path / "state.npz"
    save(path, model.initial(0), np.datetime64("2011-01-01T00", "h"))
    data = path.read_bytes()
    path.write_bytes({"truncated": data[: len(data) // 2], "something else": b"x" * 99, "empty": b""}[damage])
    with pytest.raises(IntegrityError, match=r"state\.npz: is damaged.*rerun 'atmorep download'"):
        load(path)
    beside(path).unlink()  # what has no manifest is taken as it is
    with pytest.raises(IntegrityError, match=r"state\.npz.*delete it and rerun"):
        load(path)


# -- before any job ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"type": "pressure", "values": [500, 10]}, "pressure level 10 lies at 10 hPa"),
        ({"type": "pressure", "values": [1050]}, "pressure level 1050"),
        ({"type": "model", "values": [137, 30]}, "model level 30"),
    ],
)
def test_levels_out_of_reach_are_refused(levels, message):
    with pytest.raises(SourceError, match=message):
        open_source(configuration(levels=levels)).check()


def test_what_can_be_simulated_is_accepted():
    for levels in (
        {"type": "model", "values": [96, 105, 114, 123, 137]},
        {"type": "pressure", "values": [1000, 50]},
    ):
        open_source(configuration(tuple(DIAGNOSED), levels=levels)).check()


def test_planning_does_not_load_jax():
    code = (
        "import sys\n"
        "from atmorep.sources.simulated import Simulated\n"
        "assert not {'jax', 'dinosaur', 'eccodes'} & set(sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
