import numpy as np
import pandas as pd
import pytest
import xarray as xr

from atmorep.errors import DataError
from atmorep.evaluation import output
from atmorep.evaluation.metrics import COLUMNS
from atmorep.evaluation.stage import score
from atmorep.paths import Paths
from atmorep.store.reader import FieldReader

from .known import Known, only_visible, perfect, weather

RING = {"grid": {"north": 75, "south": -75, "west": 0, "east": 330, "resolution": 30}}  # 6 x 12 points


def run(config, rule, field="2t"):
    """Score a rule; returns the predictor, the metrics and the folder."""
    predictor = Known(config, field, rule)
    score(config, field, predictor, {})
    folder = Paths(config).evaluation(field)
    return predictor, pd.read_csv(folder / "metrics.csv"), folder


def values(metrics, metric, model="atmorep", **where):
    chosen = (metrics.metric == metric) & (metrics.model == model)
    for column, value in where.items():
        chosen &= metrics[column] == value
    return metrics[chosen].value.to_numpy()


def noisy(truth, hidden, random):
    return truth + random.normal(0, 1, (4, *truth.shape))


@pytest.mark.parametrize("field", ["2t", "t"])
def test_a_perfect_model_has_perfect_scores(make_store, field):
    config = make_store(weather, field)
    _, metrics, _ = run(config, perfect, field)
    assert tuple(metrics.columns) == COLUMNS
    for metric in ("rmse", "mae", "crps", "spread", "bias"):
        assert (values(metrics, metric) == 0).all()
        assert len(values(metrics, metric)) == 5 * len(config.model_levels(field))
    np.testing.assert_allclose(values(metrics, "acc"), 1, rtol=1e-5)
    assert len(values(metrics, "spread_skill")) == 0  # 0 / 0
    errors = metrics[metrics.metric == "rmse"]
    assert set(errors[errors.task == "forecast"].model) == {"atmorep", "persistence", "climatology"}
    assert set(errors[errors.task != "forecast"].model) == {
        "atmorep",
        "persistence",
        "climatology",
        "linear",
    }
    assert set(metrics.level) == set(config.model_levels(field))
    assert (metrics.n == 9 + 13).all()  # whole neighbourhoods of 36 h in 14 and 20 days
    for baseline in ("persistence", "climatology"):
        assert (values(metrics, f"rmse_minus_{baseline}") < 0).all()
        paired = metrics[metrics.metric == f"rmse_minus_{baseline}"]
        assert (paired.upper < 0).all()
        assert ((paired.lower <= paired.value) & (paired.value <= paired.upper)).all()


@pytest.mark.parametrize("task", ["forecast", "temporal_interpolation"])
def test_what_is_visible_gives_persistence_and_no_more(make_store, task):
    _, metrics, _ = run(make_store(weather), only_visible)
    ours, persistence = (values(metrics, "rmse", m, task=task) for m in ("atmorep", "persistence"))
    np.testing.assert_allclose(ours, persistence, rtol=1e-6)
    assert (ours > 0.5).all()
    assert (values(metrics, "rmse_minus_persistence", task=task) == 0).all()
    np.testing.assert_allclose(
        values(metrics, "crps", "persistence"), values(metrics, "mae", "persistence"), rtol=1e-7
    )


def test_nothing_visible_lies_after_the_initial_time(make_store):
    """Of the forecast's masks: those that hide whole time tokens, of which the last."""
    config = make_store(weather)
    predictor, _, folder = run(config, perfect)
    statistics = xr.open_dataset(folder / "statistics.nc")
    weight = statistics["weight"].sel(task="forecast")
    initial = statistics["init_time"].values[(weight > 0).any(("region", "lead_time", "level")).values]
    axis = predictor.reader.axis
    masks = [(w, m) for w, m in predictor.seen if m[:, -1].all() and not m[:, 0].any()]
    first_hidden = {axis.times()[w.start + 2 * int(m[0].all((1, 2)).argmax())] for w, m in masks}
    assert first_hidden == set(initial.astype("datetime64[h]") + np.timedelta64(6, "h"))


def test_only_hidden_points_are_scored(make_store):
    _, metrics, _ = run(make_store(weather), lambda t, h, r: np.repeat(np.where(h, t, t + 100)[None], 4, 0))
    assert (values(metrics, "rmse") == 0).all()


class Biased(Known):
    """Its error is the latitude over ten."""

    def predict(self, windows, hidden):
        members, latitude = super().predict(windows, hidden), self.reader.grid.latitude
        for b, window in enumerate(windows):
            members[b] += latitude[window.row : window.row + self.rows, None] / 10
        return members


def test_points_are_weighted_by_area(make_store):
    config = make_store(weather)
    grid = FieldReader(config, "2t").grid
    score(config, "2t", Biased(config, "2t", perfect), {})
    metrics = pd.read_csv(Paths(config).evaluation("2t") / "metrics.csv")
    error, area = grid.latitude / 10, grid.row_area
    for task in ("forecast", "temporal_interpolation"):
        rmse, bias = values(metrics, "rmse", task=task), values(metrics, "bias", task=task)
        np.testing.assert_allclose(rmse, np.sqrt((area * error**2).sum() / area.sum()), rtol=1e-5)
        np.testing.assert_allclose(bias, (area * error).sum() / area.sum(), rtol=1e-5)
    assert abs(rmse[0] - np.sqrt((error**2).mean())) > 1e-3  # it matters here


def test_linear_is_exact_on_what_is_linear_in_time(make_store):
    config = make_store(lambda hours, level, latitude, longitude: 200 + hours * (1 + latitude / 100))
    _, metrics, _ = run(config, perfect)
    assert values(metrics, "rmse", "linear", task="temporal_interpolation").max() < 1e-3
    assert values(metrics, "rmse", "persistence", task="temporal_interpolation").min() > 1


def test_a_reliable_ensemble_has_spread_skill_one(make_store):
    def reliable(truth, hidden, random):
        centre = truth + random.normal(0, 2, truth.shape)
        return centre + random.normal(0, 2, (4, *truth.shape))

    _, metrics, _ = run(make_store(weather), reliable)
    np.testing.assert_allclose(values(metrics, "spread", task="forecast"), 2, rtol=0.05)
    np.testing.assert_allclose(values(metrics, "spread_skill", task="forecast"), 1, rtol=0.07)
    crps = values(metrics, "crps", task="forecast")
    exact = 2 / np.sqrt(np.pi)  # of N(0, 2) against itself; four draws from it cost a quarter more
    np.testing.assert_allclose(crps, exact * (1 + 1 / 4), rtol=0.07)


def test_neighbourhoods_stay_in_the_test_periods_and_lack_no_hour(make_store):
    missing = ("2001-02-20T12", "2001-04-09T00")
    config = make_store(weather, missing=missing)
    predictor, metrics, _ = run(config, perfect)
    axis = predictor.reader.axis
    periods = [axis.index(np.array([p.start, p.end], "datetime64[h]")) for p in config.data.periods.test]
    gaps = axis.index(np.array(missing, "datetime64[h]"))
    for window, _ in predictor.seen:
        stop = window.start + predictor.steps
        assert any(first <= window.start and stop <= last + 4 for first, last in periods)
        assert not any(window.start <= gap < stop for gap in gaps)
    assert (metrics.n == 22 - 2).all()


def test_masks_depend_on_seed_time_and_place_only(make_store):
    seen = []
    for batch, seed in ((5, 0), (7, 0), (5, 1)):
        config = make_store(weather, evaluation={"batch_size": batch, "seed": seed})
        predictor, _, _ = run(config, perfect)
        random = [(w, m) for w, m in predictor.seen if not m.all((0, 2, 3)).any()]
        seen.append({w: m.tobytes() for w, m in random})
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert len(set(seen[0].values())) > 50


@pytest.mark.parametrize("chunk", [2**24, 40_000, 1])  # all initial times, a few of them, one tile
@pytest.mark.parametrize(("field", "dims"), [("2t", ()), ("t", ("level",))])
def test_predictions_open_and_are_those_of_the_model(make_store, monkeypatch, field, dims, chunk):
    monkeypatch.setattr(output, "CHUNK_BYTES", chunk)
    config = make_store(weather, field)
    predictor, metrics, folder = run(config, noisy, field)
    assert sorted(p.name for p in folder.iterdir()) == [
        "calibration.nc",
        "maps.nc",
        "metrics.csv",
        "predictions",
        "statistics.nc",
    ]
    for task, leads in (("forecast", [6, 12]), ("temporal_interpolation", [6, 12])):
        with xr.open_zarr(folder / "predictions" / f"{task}.zarr") as dataset:
            found = dataset[field].load()
        assert found.dims == ("init_time", "lead_time", "number", *dims, "latitude", "longitude")
        assert (found.lead_time / np.timedelta64(1, "h")).values.tolist() == leads
        assert found.init_time.attrs["standard_name"] == "forecast_reference_time"
        assert found.attrs["units"] == "K"
        assert found.latitude.attrs["units"] == "degrees_north"
        assert np.isfinite(found).all()
        truth = _truth(predictor, found)
        assert float((found - truth).std()) == pytest.approx(1, rel=0.02)
        rmse = np.sqrt(((found.mean("number") - truth) ** 2).weighted(_area(predictor)).mean())
        pooled = np.sqrt((values(metrics, "rmse", task=task) ** 2).mean())
        assert float(rmse) == pytest.approx(pooled, rel=1e-5)


def _truth(predictor, found):
    reader = predictor.reader
    whole = reader.read(0, reader.axis.size, 0, reader.grid.shape[0], 0, reader.grid.shape[1])
    steps = reader.axis.index((found.init_time + found.lead_time).values.astype("datetime64[h]"))
    truth = whole[steps] if "level" in found.dims else whole[steps][:, :, 0]
    dims = [d for d in found.dims if d != "number"]
    return xr.DataArray(truth, {d: found[d] for d in dims}, dims)


def _area(predictor):
    grid = predictor.reader.grid
    return xr.DataArray(grid.row_area, {"latitude": grid.latitude}, ["latitude"])


def test_maps_show_one_case_a_task(make_store):
    config = make_store(weather, "t")
    predictor, _, folder = run(config, noisy, "t")
    with xr.open_dataset(folder / "maps.nc") as maps:
        maps = maps.load()
    assert maps.target.dims == ("task", "lead_time", "level", "latitude", "longitude")
    assert maps.task.values.tolist() == ["reconstruction", "forecast", "temporal_interpolation"]
    assert maps.baseline_model.values.tolist() == ["linear", "persistence", "linear"]
    assert maps.prediction.attrs["units"] == "K"
    for task, leads in (("reconstruction", [0]), ("forecast", [6, 12]), ("temporal_interpolation", [6, 12])):
        case = maps.sel(task=task).dropna("lead_time", how="all", subset=["target"])
        assert (case.lead_time / np.timedelta64(1, "h")).values.tolist() == leads
        truth = _truth(predictor, case.target.expand_dims(init_time=[case.init_time.values]))
        np.testing.assert_array_equal(case.target.values, truth.values[0])
        assert 0.3 < float((case.prediction - case.target).std()) < 0.7  # of a mean of 4
        assert float(case.spread.mean()) == pytest.approx(0.92, abs=0.05)  # c4 of 4 members
        hidden = case.hidden.mean("longitude")
        assert (hidden == 1).all() if task != "reconstruction" else 0.2 < float(hidden.mean()) < 0.8


def test_metrics_follow_from_the_statistics(make_store):
    _, metrics, folder = run(make_store(weather, "t"), noisy, "t")
    with xr.open_dataset(folder / "statistics.nc") as means:
        found = means.sel(task="forecast", region="domain", lead_time=np.timedelta64(12, "h")).load()
    assert found.squared_error.attrs["units"] == "(K)**2"
    for model in ("atmorep", "persistence", "climatology"):
        expected = np.sqrt(found.squared_error.sel(model=model).mean("init_time"))
        rmse = values(metrics, "rmse", model, task="forecast", lead_hours=12)
        np.testing.assert_allclose(rmse, expected, rtol=1e-6)
    assert found.squared_error.sel(model="linear").isnull().all()


def test_periodic_domain_wraps(make_store):
    config = make_store(
        lambda hours, level, latitude, longitude: 280 + np.sin(np.radians(longitude + hours)) + latitude / 90,
        data=RING,
        network={"neighbourhood": {"longitude": 9}},
    )
    predictor, metrics, folder = run(config, perfect)
    assert {w.column for w, _ in predictor.seen} == {0, 9}  # columns 9, 10, 11, 0, 1, ...
    assert {w.row for w, _ in predictor.seen} == {0, 2}
    assert (values(metrics, "rmse") == 0).all()
    with xr.open_zarr(folder / "predictions/forecast.zarr") as dataset:
        assert np.isfinite(dataset["2t"]).all()


def test_regions_of_a_ring_and_of_ones_own(make_store):
    """The error is the latitude over ten, so that each region has another."""
    boxes = {"ahead": {"north": 80, "south": 40, "west": -50, "east": 80}}
    config = make_store(weather, data=RING, evaluation={"regions": boxes})
    grid = FieldReader(config, "2t").grid
    score(config, "2t", Biased(config, "2t", perfect), {})
    metrics = pd.read_csv(Paths(config).evaluation("2t") / "metrics.csv").query("task == 'forecast'")
    area, north = grid.row_area, grid.latitude == 75
    within = {"domain": area > 0, "northern": grid.latitude > 20, "southern": grid.latitude < -20}
    within |= {"tropics": abs(grid.latitude) < 20, "ahead": north | (grid.latitude == 45)}
    assert set(metrics.region) == set(within)
    for region, rows in within.items():
        expected = (area * grid.latitude / 10)[rows].sum() / area[rows].sum()
        np.testing.assert_allclose(values(metrics, "bias", region=region), expected, atol=1e-5)
    assert (metrics[metrics.metric == "rmse_minus_persistence"].groupby("region").size() == 2).all()


def test_whole_states_of_an_ensemble_that_is_right(make_store):
    """Target and members are drawn alike about a centre: ranks are flat, and nothing is too smooth."""

    def alike(truth, hidden, random):
        centre = truth + random.normal(0, 2, truth.shape)
        return centre + random.normal(0, 2, (4, *truth.shape))

    _, metrics, folder = run(make_store(weather, evaluation={"thresholds": {"2t": [283]}}), alike)
    found = metrics.query("task == 'forecast' and lead_hours == 12")
    ranks = found[(found.model == "atmorep") & found.metric.str.startswith("rank@")]
    np.testing.assert_allclose(ranks.value, 1 / 5, atol=0.03)
    assert ranks.value.sum() == pytest.approx(1)
    assert (ranks.lower < ranks.upper).all()
    for member in ("variance_ratio", "mean_variance_ratio"):
        assert 1 < values(found, member)[0] < 2  # the noise on top of the waves
    assert values(found, "mean_effective_resolution")[0] > 0
    issued = [values(found, f"issued>283@{votes}")[0] for votes in range(5)]
    assert sum(issued) == pytest.approx(1)
    quantiles = [values(found, "quantile@0.99", model)[0] for model in ("atmorep", "target")]
    assert quantiles[0] > quantiles[1]
    with xr.open_dataset(folder / "calibration.nc") as calibration:
        joint = calibration["spread_error"].load()
    assert joint.sizes["task"] == 2
    np.testing.assert_allclose(joint.sum(("spread", "error")), 1)


def test_backwards_and_gaps_in_space_where_asked(make_store):
    config = make_store(weather, evaluation={"tasks": ["hindcast", "spatial"]})
    _, metrics, folder = run(config, only_visible)
    assert set(metrics.task) == {"hindcast", "spatial"}
    back = metrics[metrics.task == "hindcast"]
    assert set(back.lead_hours) == {-12, -6}
    np.testing.assert_allclose(values(back, "rmse"), values(back, "rmse", "persistence"), rtol=1e-6)
    space = metrics[metrics.task == "spatial"]
    assert set(space[space.metric == "rmse"].model) == {"atmorep", "harmonic", "climatology"}
    with xr.open_zarr(folder / "predictions/hindcast.zarr") as dataset:
        assert (dataset.lead_time / np.timedelta64(1, "h")).values.tolist() == [-12, -6]


def test_few_initial_times_have_no_interval(make_store):
    _, metrics, _ = run(make_store(weather, evaluation={"bootstrap_block_days": 7}), perfect)
    assert metrics[["lower", "upper"]].isna().all(axis=None)
    assert metrics.value.notna().all()


def test_values_that_are_not_finite_are_refused_and_nothing_stays(make_store):
    config = make_store(weather)
    with pytest.raises(DataError, match=r"not finite.*reconstruction"):
        run(config, lambda t, h, r: np.full((4, *t.shape), np.nan))
    folder = Paths(config).model_evaluation("2t")
    assert list(folder.parent.iterdir()) == []


def test_a_test_period_without_a_whole_neighbourhood_is_refused(make_store):
    hours = np.arange("2001-02-15", "2001-04-21", 24, dtype="datetime64[h]")
    config = make_store(weather, missing=tuple(map(str, hours)))
    with pytest.raises(DataError, match=r"no neighbourhood of 6 steps fits into data\.periods\.test"):
        run(config, perfect)


def test_repeated_evaluation_gives_the_same_scores(make_store):
    config = make_store(weather)
    first = run(config, noisy)[1]
    pd.testing.assert_frame_equal(first, run(config, noisy)[1])
