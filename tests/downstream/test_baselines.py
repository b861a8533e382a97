"""Baselines recover the relation of target and fields that the data were made with."""

import numpy as np
import pytest
import yaml

from atmorep.cli import main
from atmorep.downstream import fits
from atmorep.downstream.baselines import mapped
from atmorep.downstream.fitted import above, fit, load
from atmorep.downstream.inputs import Inputs
from atmorep.errors import ConfigError, IntegrityError

from .made import RAIN, configuration, make, rain, temperature

RELIEF = 300 * np.random.default_rng(3).random((12, 16))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def predicted(config, time=-20):
    """All baselines and the truth at a time of the test period."""
    fit(config, "down")
    inputs = Inputs(config, "down")
    state = inputs.state(inputs.axis.size + time)
    return (
        {name: baseline.predict(state)[0] for name, baseline in load(inputs).items()},
        state.truth(),
        inputs,
    )


def of(*baselines, **more):
    return {"finetune": {"down": {"baselines": list(baselines), **more}}}


def test_lapse_rate():
    """Bilinear interpolation lacks -6.5 K a km of the height over the interpolated points, and 2 K there."""
    config = configuration(**of("bilinear", "lapse_rate"))
    make(config, temperature, RELIEF)
    inputs = Inputs(config, "down")
    high = above(inputs)
    assert np.abs(high).max() > 50

    def target(hours, latitude, longitude):
        steps = len(hours)
        return inputs.between(inputs.guess(0, steps, inputs.between)) - 0.0065 * high + 2.0

    make(config, target, RELIEF)
    found, truth, _ = predicted(config)
    np.testing.assert_allclose(found["lapse_rate"], truth, atol=1e-3)
    np.testing.assert_allclose(found["bilinear"], truth - 2 + 0.0065 * high, atol=1e-3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (of("lapse_rate", statics=[]), "lapse_rate needs the height of the cells"),
        (of("bicubic", guess={"field": "msl"}), "bicubic gives values of the guess, msl in Pa"),
    ],
)
def test_baselines_that_lack_what_they_need_are_refused(changes, message):
    with pytest.raises(ConfigError, match=rf"finetune\.down\.baselines: {message}"):
        configuration(**changes)


def linear(hours, latitude, longitude):
    """Linear in the fields and the hour, with coefficients that change from cell to cell."""
    slope = 1 + 0.02 * (latitude - 50) + 0.01 * longitude
    interpolated = INPUTS[0].between(INPUTS[0].guess(0, len(hours), INPUTS[0].between))
    other = INPUTS[0].between(INPUTS[0].points(INPUTS[0].features[1], 0, len(hours), INPUTS[0].between))
    return slope * interpolated + (other - 101_000) / 300 + 3 * np.sin(2 * np.pi * hours / 12) - 5


INPUTS: list[Inputs] = []


@pytest.mark.parametrize("block", [2**27, 1])
def test_regression(monkeypatch, block):
    monkeypatch.setattr(fits, "BLOCK_BYTES", block)
    config = configuration(**of("regression"))
    make(config, temperature)
    INPUTS[:] = [Inputs(config, "down")]
    make(config, linear)
    found, truth, inputs = predicted(config)
    assert inputs.names == ("one", "2t", "msl", "sin_24h", "cos_24h", "sin_12h", "cos_12h")
    np.testing.assert_allclose(found["regression"], truth, atol=0.02)


def test_what_is_missing_takes_part_in_no_fit():
    """Without every other hour of some cells the regression is the same; without all, that of all cells."""
    config = configuration(**of("regression"))
    make(config, temperature)
    INPUTS[:] = [Inputs(config, "down")]

    def gaps(hours, latitude, longitude):
        values = np.array(np.broadcast_to(linear(hours, latitude, longitude), (len(hours), 12, 16)))
        values[::2, :4] = np.nan
        values[:, 5, 5] = np.nan
        return values

    make(config, linear)
    truth = predicted(config)[1]
    make(config, gaps)
    found = predicted(config)[0]["regression"]
    everywhere = np.ones((12, 16), bool)
    everywhere[5, 5] = False
    np.testing.assert_allclose(found[everywhere], truth[everywhere], atol=0.02)
    assert np.isfinite(found).all()
    assert 0.05 < abs(found[5, 5] - truth[5, 5]) < 10  # the other cells' coefficients


def test_held_out_cells_are_not_looked_at():
    """Whatever the target is in the holdout, what is fitted is the same."""
    box = {"north": 50, "south": 47, "west": 5, "east": 9}
    config = configuration(**of("lapse_rate", "regression", "quantile_mapping", holdout=box))
    inside = np.zeros((12, 16), bool)
    found = []
    for shift in (0, 1000):

        def target(hours, latitude, longitude, shift=shift):
            inside[:] = (latitude <= 50) & (longitude <= 9)
            return temperature(hours, latitude, longitude) + shift * inside

        make(config, target, RELIEF)
        found.append(predicted(config)[0])
    assert 10 < inside.sum() < 100
    for name in ("lapse_rate", "regression", "quantile_mapping"):
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_quantile_mapping_is_exact_for_a_monotonous_relation(monkeypatch):
    monkeypatch.setattr(fits, "TIMES_FOR_QUANTILES", 100)
    config = configuration(**of("quantile_mapping"))
    make(config, temperature)
    inputs = Inputs(config, "down")

    def target(hours, latitude, longitude):
        guess = inputs.between(inputs.guess(0, len(hours), inputs.between))
        return 280 + 0.5 * (guess - 280) + 0.1 * longitude

    make(config, target)
    found, truth, _ = predicted(config)
    np.testing.assert_allclose(found["quantile_mapping"], truth, atol=0.05)


def test_mapping_of_quantiles():
    """Zero stays zero, though more of the guess is dry; between and beyond quantiles it goes on."""
    guess = np.array([0, 0, 0, 2, 4.0])[:, None, None]
    target = np.array([0, 1, 2, 3, 8.0])[:, None, None]
    values = np.array([[0, 1, 3, 4, 5.0]])
    found = mapped(values, np.repeat(guess, 5, 2), np.repeat(target, 5, 2))
    np.testing.assert_allclose(found, [[0, 2.5, 5.5, 8, 9]])


def test_rain_is_of_the_interval_and_in_logarithms(monkeypatch):
    monkeypatch.setattr(fits, "TIMES_FOR_QUANTILES", 100)
    changes = {
        **RAIN,
        "finetune": {"down": {**RAIN["finetune"]["down"], "baselines": ["bilinear", "regression"]}},
    }
    config = configuration(**changes)

    def target(hours, latitude, longitude):
        return 3 * rain(hours, latitude, longitude)

    make(config, target)
    found, truth, _ = predicted(config)
    assert set(found) == {"raw", "bilinear", "regression"}
    assert min(values.min() for values in found.values()) >= 0
    wet = truth > 1e-4
    assert np.abs(found["bilinear"][wet] / truth[wet] - 1).mean() < 0.1  # three hours of the mean one
    np.testing.assert_array_equal(found["raw"][::2, ::2], found["raw"][1::2, 1::2])


def test_the_command_line_fits_and_what_is_missing_is_named(tmp_path, capsys):
    config = configuration(**of("bilinear", "bicubic", "regression"))
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["baselines", "--config", "c.yaml", "--task", "down"]) == 2
    make(config, temperature)
    with pytest.raises(IntegrityError, match=r"fitted\.json"):
        load(Inputs(config, "down"))
    assert main(["baselines", "--config", "c.yaml", "--task", "down"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "down bilinear",
        "down bicubic",
        "down regression",
    ]
    assert set(load(Inputs(config, "down"))) == {"bilinear", "bicubic", "regression"}
