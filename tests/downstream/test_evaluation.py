"""Scores of a task whose predictions are made of the truth by a stated rule."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from atmorep.config import Config
from atmorep.downstream.fitted import fit, load
from atmorep.downstream.inputs import Inputs
from atmorep.errors import DataError
from atmorep.evaluation.downstream import TaskEvaluation, score_task
from atmorep.evaluation.metrics import COLUMNS
from atmorep.paths import Paths

from .known import Known, biased, perfect, reliable
from .made import RAIN, configuration, make, rain, temperature

BOX = {"north": 50, "south": 47, "west": 5, "east": 9}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(config: Config, rule=perfect):
    """Score a rule; returns the metrics, the folder and the evaluation."""
    fit(config, "down")
    inputs = Inputs(config, "down")
    evaluation = TaskEvaluation(inputs, Known(inputs, rule), load(inputs))
    score_task(evaluation)
    folder = Paths(config).task_evaluation("down")
    return pd.read_csv(folder / "metrics.csv"), folder, evaluation


def value(metrics, metric, model="atmorep", region="domain"):
    chosen = metrics[(metrics.metric == metric) & (metrics.model == model) & (metrics.region == region)]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_perfect():
    config = configuration(
        finetune={"down": {"holdout": BOX, "scores": {"thresholds": [282.0], "scales": [1, 3]}}}
    )
    make(config, temperature)
    metrics, _, evaluation = run(config)
    assert tuple(metrics.columns) == COLUMNS
    assert set(metrics.task) == {"down"}
    assert set(metrics.field) == {"2t"}
    assert set(metrics.lead_hours) == set(metrics.level) == {0}
    assert set(metrics.model) == {"atmorep", "bilinear", "bicubic", "regression", "target"}
    assert (metrics.n == len(evaluation.starts)).all()
    for region in ("domain", "holdout"):
        for metric in ("rmse", "mae", "bias", "crps", "spread", "brier>282", "far>282"):
            assert value(metrics, metric, region=region).value == 0
        for metric in ("correlation", "pod>282", "csi>282", "ets>282", "frequency_bias>282", "fss>282@3"):
            assert value(metrics, metric, region=region).value == pytest.approx(1, abs=1e-6)
        assert value(metrics, "rmse_minus_bilinear", region=region).upper < 0
    assert value(metrics, "fss>282@1_minus_bilinear").value > 0
    assert value(metrics, "variance_ratio").value == pytest.approx(1)
    ratios = metrics[metrics.metric.str.contains("power_ratio") & (metrics.model == "atmorep")]
    np.testing.assert_allclose(ratios.value, 1, rtol=1e-5)
    median = (value(metrics, "quantile@0.5", model).value for model in ("atmorep", "target"))
    assert next(median) == next(median)
    of_target = metrics[metrics.model == "target"].metric
    assert not of_target.str.contains("rmse|pod|ratio").any()
    assert metrics.value.notna().all()


def test_times_are_the_middle_of_neighbourhoods_within_the_period():
    config = configuration()
    make(config, temperature)
    _, _, evaluation = run(config)
    times = pd.DatetimeIndex(evaluation.times.astype("datetime64[ns]"))
    assert set(times.hour) == {0, 12}
    assert times[0] == pd.Timestamp("2020-03-01T12")  # three steps are seen before it
    assert times[-1] == pd.Timestamp("2020-03-20T12")
    assert evaluation.predictor.seen[: len(times)] == evaluation.starts


def test_constant_bias_and_area_weights():
    config = configuration()
    make(config, temperature)
    metrics, folder, evaluation = run(config, biased)
    for metric, expected in (("bias", 2), ("rmse", 2), ("mae", 2), ("crps", 2), ("correlation", 1)):
        assert value(metrics, metric).value == pytest.approx(expected, rel=1e-5)
    assert value(metrics, "rank@0").value == pytest.approx(1)
    found = value(metrics, "rmse_minus_bilinear")
    assert found.value == pytest.approx(2 - value(metrics, "rmse", "bilinear").value, rel=1e-5)
    with xr.open_zarr(folder / "predictions.zarr") as predictions:
        own = predictions["2t"].isel(lead_time=0).mean("number").to_numpy()
    truth = np.stack([evaluation.inputs.state(s + 3).truth() for s in evaluation.starts])
    bilinear = np.stack([evaluation.inputs.state(s + 3).interpolated() for s in evaluation.starts])
    np.testing.assert_allclose(own, truth + 2, rtol=1e-6)
    area = evaluation.inputs.target.grid.weights
    rmse = np.sqrt((area * (bilinear - truth) ** 2).mean())
    assert value(metrics, "rmse", "bilinear").value == pytest.approx(rmse, rel=1e-4)


def test_a_reliable_ensemble():
    config = configuration()
    make(config, temperature)
    metrics, _, _ = run(config, reliable)
    assert value(metrics, "spread_skill").value == pytest.approx(1, abs=0.05)
    ranks = [value(metrics, f"rank@{k}").value for k in range(5)]
    np.testing.assert_allclose(ranks, 0.2, atol=0.03)


def test_missing_cells_and_hours_are_left_out():
    """Where there is no target the prediction is nonsense, which no score may see."""
    config = configuration(finetune={"down": {"scores": {"thresholds": [282.0], "scales": [3]}}})

    def gaps(hours, latitude, longitude):
        values = np.array(temperature(hours, latitude, longitude))
        values[:, 3:6, 2:9] = np.nan
        values[-8:] = np.nan
        return values

    make(config, gaps)
    metrics, folder, evaluation = run(config)
    assert value(metrics, "rmse").value == 0
    assert value(metrics, "csi>282").value == value(metrics, "fss>282@3").value == 1
    assert value(metrics, "mean_gradient_ratio").value == pytest.approx(1)
    with xr.open_dataset(folder / "statistics.nc") as statistics:
        weight = statistics["weight"].to_numpy()
    assert weight[0, 0, 0, -1] == 0 or np.isfinite(value(metrics, "rmse").n)
    with xr.open_dataset(folder / "maps.nc") as maps:
        assert np.isnan(maps["target"].to_numpy()).sum() == 21
        assert set(maps.data_vars) == {"target", "guess", "prediction", "spread", "baseline", "hidden"}
    assert value(metrics, "rmse").n < len(evaluation.starts) + 1


def test_rain_is_beside_the_raw_guess_and_has_exact_zeros():
    scores = {
        "thresholds": [0.0001, 0.001],
        "scales": [1, 3],
        "points": {"city": {"latitude": 50.1, "longitude": 8.6}},
    }
    config = configuration(**{**RAIN, "finetune": {"down": {**RAIN["finetune"]["down"], "scores": scores}}})

    def target(hours, latitude, longitude):
        return 3 * rain(hours, latitude, longitude)

    make(config, target)
    metrics, folder, evaluation = run(config)
    assert {"raw", "bilinear"} <= set(metrics.model)
    for threshold in ("0.0001", "0.001"):
        assert value(metrics, f"csi>{threshold}").value == 1
        assert value(metrics, f"reliability>{threshold}@4").value == 1
        assert value(metrics, f"reliability>{threshold}@0").value == 0
    truth = np.stack([evaluation.inputs.state(s + 3).truth() for s in evaluation.starts])
    assert value(metrics, "quantile@0.05", "target").value == pytest.approx(0, abs=1e-7)
    expected = np.quantile(truth, 0.95)
    assert value(metrics, "quantile@0.95", "target").value == pytest.approx(expected, rel=0.05)
    for hour in (0, 12):
        at = evaluation.times.astype("datetime64[h]").astype(int) % 24 == hour
        weights = evaluation.inputs.target.grid.weights
        mean = (truth[at] * weights).mean()
        assert value(metrics, f"diurnal@{hour:02d}", "target").value == pytest.approx(mean, rel=1e-4)
    with xr.open_dataset(folder / "series.nc") as series:
        assert series["prediction"].dims == ("init_time", "number", "point")
        assert abs(float(series["latitude"][0]) - 50.1) <= 0.25
        np.testing.assert_array_equal(series["prediction"].isel(number=0), series["target"])


def test_values_that_are_not_finite_are_refused_and_nothing_stays():
    config = configuration()
    make(config, temperature)

    with pytest.raises(DataError, match="not finite"):
        run(config, lambda truth, random: np.repeat(truth[None], 4, axis=0) * np.inf)
    assert not Paths(config).task_evaluation("down").exists()


def test_a_test_period_without_a_target_is_refused():
    config = configuration()

    def train_only(hours, latitude, longitude):
        return np.where(hours < 24 * 55, temperature(hours, latitude, longitude), np.nan)

    make(config, train_only)
    with pytest.raises(DataError, match=r"finetune\.down: no neighbourhood with a target"):
        run(config)
