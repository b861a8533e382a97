"""Predictions: physical, of the right shape, and blind to what is hidden."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from atmorep import bundle
from atmorep.errors import IntegrityError
from atmorep.inference.predictor import Predictor
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.store.arrays import open_array

WINDOWS = [Window(150, 4, 31), Window(100, 10, 2)]
CLIMATE = {"t": (220, 340), "2t": (200, 320), "tp": (0, 0.01)}


def predictor(config, field):
    """A predictor of untrained weights, from a bundle on disk."""
    torch.manual_seed(2)
    folder = Paths(config).model(field)
    folder.parent.mkdir(parents=True, exist_ok=True)
    save_file(bundle.build(config, [field]).state_dict(), "weights")
    open("log", "w").close()
    statistics = Paths(config).normalisation(field)
    bundle.save(folder, config, weights=Path("weights"), log=Path("log"), normalisation={field: statistics})
    return Predictor.load(config, field, folder)


def own(predictor):
    """The reader of the field that is predicted."""
    return predictor.neighbourhoods[predictor.field]


def predict(predictor, windows, hidden):
    return predictor.predict(windows, {predictor.field: hidden})


def some_hidden(predictor, number=2):
    return np.random.default_rng(0).random((number, *own(predictor).tokens)) < 0.5


def points(hidden, size):
    """(B, L, K, I, J) to (B, T, L, H, W)."""
    return np.kron(hidden, np.ones((1, 1, *size), bool)).swapaxes(1, 2)


@pytest.mark.parametrize("field", CLIMATE)
@pytest.mark.parametrize("guess", ["none", "temporal"])
def test_members_are_in_physical_units_on_the_neighbourhood(configure, field, guess):
    p = predictor(configure(network={"first_guess": guess}), field)
    members = predict(p, WINDOWS, some_hidden(p))
    levels = 2 if field == "t" else 1
    assert (p.steps, p.rows, p.columns, p.tails, len(p.levels)) == (6, 6, 9, 3, levels)
    assert members.shape == (2, 3, 6, levels, 6, 9)
    assert np.isfinite(members).all()
    low, high = CLIMATE[field]
    assert low <= members.mean() <= high
    assert members.min() >= (0 if field == "tp" else 150)
    assert members.std(1).max() > 0


def test_each_level_and_window_is_near_its_own_climate(configure):
    """A first guess that hardly departs shows whether levels, times and places are in order."""
    config = configure(network={"first_guess": "temporal"})
    p = predictor(config, "t")
    hidden = np.zeros((2, *own(p).tokens), bool)
    truth = own(p).values(WINDOWS).swapaxes(1, 2)
    error = predict(p, WINDOWS, hidden).mean(1) - truth
    _, std = own(p).scales(WINDOWS)
    assert np.sqrt((error**2).mean()) < 0.1 * std.mean()  # DEPARTURE_GAIN is 0.05
    assert truth.std() > 0.5 * std.mean()


@pytest.mark.parametrize("guess", ["none", "temporal"])
def test_what_is_hidden_never_shows(configure, delivered, tmp_path, guess):
    config = configure(network={"first_guess": guess})
    p = predictor(config, "t")
    hidden = some_hidden(p)
    before = predict(p, WINDOWS, hidden)
    (tmp_path / "data").unlink()
    shutil.copytree(delivered / "data", tmp_path / "data")
    covered = points(hidden, p.token)
    array = open_array(Paths(config).store, "t")
    for window, cover in zip(WINDOWS, covered, strict=True):
        columns = [(window.column + n) % 36 for n in range(9)]
        block = array[window.start : window.start + 6, :, window.row : window.row + 6]
        values = block.read().result()
        values[..., columns] = np.where(cover, np.nan, values[..., columns])
        block.write(values).result()
    after = Predictor.load(config, "t", Paths(config).model("t"))
    assert np.isnan(own(after).values(WINDOWS).swapaxes(1, 2)[covered]).all()
    assert np.array_equal(predict(after, WINDOWS, hidden), before)


def test_what_is_visible_does_show(configure):
    p = predictor(configure(), "t")
    hidden = some_hidden(p)
    assert not np.array_equal(predict(p, WINDOWS, hidden), predict(p, WINDOWS, ~hidden))


@pytest.mark.parametrize("field", CLIMATE)
def test_a_batch_of_two_is_two_batches_of_one(configure, field):
    p = predictor(configure(), field)
    hidden = some_hidden(p)
    both = predict(p, WINDOWS, hidden)
    for n in range(2):
        alone = predict(p, WINDOWS[n : n + 1], hidden[n : n + 1])
        np.testing.assert_allclose(both[n], alone[0], rtol=1e-5, atol=1e-7)


def test_a_subset_of_levels_is_predicted_in_its_own_climate(configure):
    p = predictor(configure(fields={"t": {"levels": [137]}}, network={"first_guess": "temporal"}), "t")
    assert p.levels == (137,)
    hidden = np.zeros((2, *own(p).tokens), bool)
    error = predict(p, WINDOWS, hidden).mean(1) - own(p).values(WINDOWS).swapaxes(1, 2)
    assert np.abs(error).mean() < 3


def test_a_model_that_is_not_there_is_refused(configure):
    with pytest.raises(IntegrityError, match="is missing; train the model"):
        Predictor.load(configure(), "t", Paths(configure()).model("t"))
