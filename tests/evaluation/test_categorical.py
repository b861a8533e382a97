"""Scores of events, against hand-computed tables and the library ``scores``."""

import numpy as np
import pytest
import xarray as xr
from scores.categorical import BasicContingencyManager
from scores.spatial import fss_2d

from atmorep.evaluation import categorical
from atmorep.evaluation.states import area_means
from atmorep.evaluation.statistics import Sample


def pooled(target, members, thresholds=(1.0,), scales=(3,)):
    """Means over the cells that have a target, and all metrics."""
    sample = Sample(target, members)
    means = {}
    for name, statistic in categorical.statistics(thresholds, scales):
        means[name] = area_means(statistic.compute(sample), np.ones((1, *target.shape)))[0]
    metrics = categorical.metrics(thresholds, scales, len(members))
    return {name: float(metric(means, len(members))) for name, metric in metrics}


def table(hits, alarms, misses, negatives):
    """A target and a prediction with so many cells of each."""
    target = np.repeat([2.0, 0.0, 2.0, 0.0], (hits, alarms, misses, negatives))
    prediction = np.repeat([2.0, 2.0, 0.0, 0.0], (hits, alarms, misses, negatives))
    return target[None], prediction[None, None]


def test_finley():
    """Finley's tornado forecasts of 1884 (Wilks, Statistical Methods in the Atmospheric Sciences)."""
    found = pooled(*table(28, 72, 23, 2680))
    assert found["frequency_bias>1"] == pytest.approx(100 / 51)
    assert found["pod>1"] == pytest.approx(28 / 51)
    assert found["far>1"] == pytest.approx(72 / 100)
    assert found["csi>1"] == pytest.approx(28 / 123)
    assert found["ets>1"] == pytest.approx(0.216, abs=5e-4)


def test_scores_are_those_of_the_library():
    counts = {"tp": 31, "fp": 17, "fn": 9, "tn": 143, "total": 200}
    found = pooled(*table(31, 17, 9, 143))
    library = BasicContingencyManager({f"{k}_count": xr.DataArray(v) for k, v in counts.items()})
    assert found["frequency_bias>1"] == pytest.approx(float(library.frequency_bias()))
    assert found["pod>1"] == pytest.approx(float(library.probability_of_detection()))
    assert found["far>1"] == pytest.approx(float(library.false_alarm_ratio()))
    assert found["csi>1"] == pytest.approx(float(library.critical_success_index()))
    assert found["ets>1"] == pytest.approx(float(library.equitable_threat_score()))


def test_cells_without_a_target_do_not_count():
    target, members = table(5, 2, 3, 10)
    more = np.concatenate([target, np.full((1, 7), np.nan)], axis=1)
    predicted = np.concatenate([members, np.full((1, 1, 7), 9.0)], axis=2)
    assert pooled(more, predicted) == pytest.approx(pooled(target, members), nan_ok=True)


def test_no_event_has_no_score():
    found = pooled(np.zeros((2, 3)), np.zeros((1, 2, 3)))
    for name in ("frequency_bias>1", "pod>1", "far>1", "csi>1", "ets>1", "fss>1@3"):
        assert np.isnan(found[name])
    assert found["brier>1"] == 0


def test_fss_by_hand():
    """One event, predicted one cell too far east: on 3 cells in a row fractions are 1/3, at the edge 1/2.

    Row of 5, event in column 1 and predicted in column 2. Target: 1/2 1/3 1/3 0 0; prediction: 0 1/3 1/3
    1/3 0. Squared differences 1/4 + 1/9, squares 1/4 + 2/9 and 3/9.
    """
    target, members = np.zeros((1, 5)), np.zeros((1, 1, 5))
    target[0, 1] = members[0, 0, 2] = 2
    found = pooled(target, members, scales=(1, 3))
    assert found["fss>1@1"] == 0
    assert found["fss>1@3"] == pytest.approx(1 - (1 / 4 + 1 / 9) / (1 / 4 + 5 / 9))


@pytest.mark.parametrize("scale", [1, 3, 5])
def test_fss_is_that_of_the_library_away_from_the_edges(scale):
    rng = np.random.default_rng(scale)
    target, prediction = rng.gamma(1, 1, (2, 20, 24))
    half = scale // 2
    inner = (..., slice(half, 20 - half), slice(half, 24 - half))
    both = categorical.fractions(Sample(target, prediction[None]), 1.0, scale)[inner].sum(axis=(1, 2))
    expected = fss_2d(
        xr.DataArray(prediction, dims=("y", "x")),
        xr.DataArray(target, dims=("y", "x")),
        event_threshold=1.0,
        window_size=(scale, scale),
        spatial_dims=("y", "x"),
    )
    assert 1 - both[0] / both[1] == pytest.approx(float(expected))


def test_probabilities():
    """Four members: probability 0, 1/2 and 1 where the event comes never, every other time and always."""
    target = np.array([[0, 0, 2, 0, 2, 2.0]])
    votes = [[0, 2, 2, 0, 4, 4]]
    members = np.where(np.arange(4)[:, None, None] < votes, 2.0, 0.0)
    found = pooled(target, members)
    assert [found[f"reliability>1@{k}"] for k in (0, 2, 4)] == [0, 0.5, 1]
    assert np.isnan(found["reliability>1@1"])
    assert [found[f"issued>1@{k}"] for k in range(5)] == pytest.approx([1 / 3, 0, 1 / 3, 0, 1 / 3])
    assert found["brier>1"] == pytest.approx(2 * 0.25 / 6)
    assert found["member_frequency_bias>1"] == pytest.approx(1)


def test_ranks():
    """Ranks 0 and 2 of two members; of a member that equals the target, half each of 0 and 1."""
    target = np.array([[0.0, 3.0, 1.0, np.nan]])
    members = np.array([[[1.0, 1.0, 1.0, 1.0]], [[2.0, 2.0, 2.0, 2.0]]])
    found = pooled(target, members)
    assert [found[f"rank@{k}"] for k in range(3)] == pytest.approx([1.5 / 3, 0.5 / 3, 1 / 3])
    assert np.isnan(pooled(target, members[:1])["rank@0"])


def test_ranks_of_an_ensemble_like_the_target_are_flat():
    rng = np.random.default_rng(0)
    draws = np.maximum(rng.normal(size=(5, 200, 200)), 0)  # half of them zero
    found = pooled(draws[0], draws[1:])
    np.testing.assert_allclose([found[f"rank@{k}"] for k in range(5)], 0.2, atol=0.01)
