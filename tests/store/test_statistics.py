import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from atmorep import transforms
from atmorep.errors import DataError, IntegrityError
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.store.statistics import RELATIVE_FLOOR, Moments, floored, merge, merge_all, partial
from atmorep.timeaxis import training_spans

from .conftest import build

finite = st.floats(-1e3, 1e3)


def _statistics(config, field):
    for span in training_spans(config.data):
        partial(config, field, str(span))
    merge(config, field)
    return xr.load_dataset(Paths(config).normalisation(field))


def _training(config, field, months=(1, 2)):
    """Transformed values of the training days, straight from the store."""
    data = xr.open_zarr(Paths(config).store)[field]
    spans = [s for s in training_spans(config.data) if s.start.month in months]
    whole = xr.concat([data.sel(time=slice(str(s.start), f"{s.end}T23")) for s in spans], "time")
    return transforms.forward(field, whole.values).astype(np.float64)


@pytest.mark.parametrize("field", ["t", "tp"])
def test_global_equals_numpy_with_area_weights(experiment, field):
    config = build(experiment({field: None}))
    found, weights = _statistics(config, field), Grid.from_config(config.data.grid).weights
    for month in (1, 2):
        values = _training(config, field, (month,))
        mean = (values * weights).mean((0, 2, 3))
        std = np.sqrt((weights * (values - mean[None, :, None, None]) ** 2).mean((0, 2, 3)))
        np.testing.assert_allclose(found["mean"].sel(month=month), mean, rtol=1e-6)
        np.testing.assert_allclose(found["std"].sel(month=month), std, rtol=1e-5)


def test_local_equals_numpy(experiment):
    config = build(experiment({"t": {"normalisation": "local"}}))
    found = _statistics(config, "t")
    assert found["mean"].dims == ("month", "level", "latitude", "longitude")
    values = _training(config, "t", (1,))
    np.testing.assert_allclose(found["mean"].sel(month=1), values.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found["std"].sel(month=1), values.std(0), rtol=1e-4)


def test_months_without_training_days_hold_all_training_days(experiment):
    config = build(experiment({"t": {"normalisation": "local"}}))
    found, values = _statistics(config, "t"), _training(config, "t")
    for month in (3, 7, 12):
        np.testing.assert_allclose(found["mean"].sel(month=month), values.mean(0), rtol=1e-6)
        np.testing.assert_allclose(found["std"].sel(month=month), values.std(0), rtol=1e-4)


def test_validation_and_test_days_do_not_count(experiment):
    config = build(experiment())
    before = _statistics(config, "t")
    # The last training day of January is the 27th: what comes after may be anything.
    for day in range(27, 31):
        (Paths(config).store / f"t/c/{day}/0/0/0").write_bytes(b"")
    xr.testing.assert_identical(before, _statistics(config, "t"))


def test_missing_hours_do_not_count(experiment):
    config = build(experiment(record_missing=True), skip=("2020-01-25T06",))
    found, values = _statistics(config, "t"), _training(config, "t", (1,))
    assert np.isnan(values).any()
    weights = Grid.from_config(config.data.grid).weights
    mean = np.nanmean(values * weights, axis=(0, 2, 3))
    np.testing.assert_allclose(found["mean"].sel(month=1), mean, rtol=1e-6)


def test_a_span_of_missing_hours_is_refused(experiment):
    skip = tuple(f"2020-02-{day:02d}T{hour:02d}" for day in (1, 2) for hour in (0, 6, 12, 18))
    config = build(experiment(record_missing=True), skip=skip)
    with pytest.raises(DataError, match=r"t, 2020-02-01_2020-02-02: all hours are missing"):
        partial(config, "t", "2020-02-01_2020-02-02")


def test_hours_that_should_be_there_are_missed(experiment):
    config = build(experiment())
    (Paths(config).store / "t/c/24/0/0/0").unlink()
    with pytest.raises(IntegrityError, match=r"2020-01-25.*convert"):
        partial(config, "t", "2020-01-24_2020-01-27")


def test_an_absent_partial_sum_is_named(experiment):
    config = build(experiment())
    partial(config, "t", "2020-01-24_2020-01-27")
    with pytest.raises(IntegrityError, match=r"2020-02-01_2020-02-02\.nc.*atmorep sums"):
        merge(config, "t")


@given(
    values=arrays(np.float64, (9, 2, 3, 4), elements=finite),
    weights=arrays(np.float64, (3, 1), elements=st.floats(0.1, 2)),
    cuts=st.sets(st.integers(1, 8)),
    local=st.booleans(),
)
def test_merging_any_partition_equals_the_whole(values, weights, cuts, local):
    axes = (0,) if local else (0, 2, 3)
    pieces = np.split(values, sorted(cuts))
    merged = merge_all(Moments.of(piece, weights, axes) for piece in pieces)
    whole = Moments.of(values, weights, axes)
    full = np.broadcast_to(weights, values.shape)
    average = (values * full).sum(axes) / full.sum(axes)
    np.testing.assert_allclose(merged.count, whole.count, rtol=1e-12)
    np.testing.assert_allclose(merged.mean, average, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(merged.squares, whole.squares, rtol=1e-9, atol=1e-6)


def test_merging_does_not_cancel():
    """Means far larger than the spread: sums of squares would lose all digits."""
    values = 1e8 + np.random.default_rng(0).normal(size=(1000, 1, 1, 1))
    merged = merge_all(Moments.of(v, np.ones((1, 1)), (0,)) for v in np.split(values, 100))
    np.testing.assert_allclose(merged.std, values.std(0), rtol=1e-7)


def test_small_deviations_are_raised_to_a_share_of_the_level():
    std = np.array([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    typical = np.sqrt(2 / 3)
    np.testing.assert_allclose(floored(std), [[[1, 1, RELATIVE_FLOOR * typical]], [[1, 1, 1]]])
