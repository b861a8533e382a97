import numpy as np
import pytest
import xarray as xr

from atmorep.errors import IntegrityError
from atmorep.store.normalisation import Normalisation

MEAN = np.arange(12.0)[:, None] + [0, 100]


@pytest.fixture
def path(tmp_path):
    variables = {"mean": (("month", "level"), MEAN), "std": (("month", "level"), MEAN + 1)}
    xr.Dataset(variables, coords={"level": [96, 137]}).to_netcdf(tmp_path / "n.nc")
    return tmp_path / "n.nc"


def test_middle_of_a_month_is_that_month(path):
    mean, std = Normalisation.load(path).at(np.datetime64("2020-06-16T00"))
    assert mean.shape == std.shape == (2, 1, 1)
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean.ravel(), [5, 105])
    np.testing.assert_allclose(std.ravel(), [6, 106])


def test_between_two_middles_it_is_linear(path):
    # 16 June 00 UTC and 16 July 12 UTC are the middles; a third of the 30.5 days is 244 hours.
    mean, _ = Normalisation.load(path).at(np.datetime64("2021-06-16T00") + np.timedelta64(244, "h"))
    np.testing.assert_allclose(mean.ravel(), [5 + 1 / 3, 105 + 1 / 3], rtol=1e-6)


@pytest.mark.parametrize("time", ["1979-01-01T00", "2019-12-31T23", "2020-01-01T00", "2020-02-29T12"])
def test_the_year_is_periodic(path, time):
    value = float(Normalisation.load(path).at(np.datetime64(time))[0][0, 0, 0])
    if time.startswith("2020-02"):
        assert 1 < value < 2
    else:
        assert value == pytest.approx(5.5, abs=0.05)  # between December (11) and January (0)


def test_it_never_jumps(path):
    normalisation = Normalisation.load(path)
    hours = np.datetime64("2019-12-20T00") + np.arange(24 * 400).astype("timedelta64[h]")
    means = np.array([normalisation.at(hour)[0][0, 0, 0] for hour in hours])
    assert np.abs(np.diff(means)).max() < 11 / (31 * 24) * 1.01


def test_levels_are_chosen_in_order(path):
    mean, _ = Normalisation.load(path, [137]).at(np.datetime64("2020-06-16T00"))
    np.testing.assert_allclose(mean, 105)
    mean, _ = Normalisation.load(path, [137, 96]).at(np.datetime64("2020-06-16T00"))
    np.testing.assert_allclose(mean.ravel(), [105, 5])


def test_an_absent_level_or_file_is_refused(path):
    with pytest.raises(IntegrityError, match="105"):
        Normalisation.load(path, [105])
    with pytest.raises(IntegrityError, match=r"none\.nc"):
        Normalisation.load(path.with_name("none.nc"))
    path.write_bytes(b"nothing")
    with pytest.raises(IntegrityError, match="atmorep statistics"):
        Normalisation.load(path)


def test_a_window_of_a_local_normalisation(tmp_path):
    values = np.random.default_rng(0).normal(size=(12, 2, 5, 6)).astype(np.float32)
    normalisation = Normalisation(values, values**2)
    time, columns = np.datetime64("2020-03-03T05"), np.array([5, 0, 1])
    whole, window = normalisation.at(time), normalisation.at(time, slice(1, 3), columns)
    for a, b in zip(whole, window, strict=True):
        np.testing.assert_array_equal(a[:, 1:3][..., columns], b)
