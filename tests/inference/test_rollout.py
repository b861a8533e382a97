"""Forecasts that are fed back: what a step by hand gives, member by member, at the right time and scale."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from atmorep import bundle
from atmorep.inference.predictor import Predictor
from atmorep.inference.rollout import Rollout
from atmorep.paths import Paths
from atmorep.sampling.batches import NeighbourhoodReader
from atmorep.sampling.windows import Window
from atmorep.store.normalisation import Normalisation
from atmorep.store.reader import FieldReader

FIELDS = {"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t"]}, "tp": {"coupled": ["t"]}}
WINDOWS = [Window(150, 4, 31), Window(100, 10, 2)]


class Fed(NeighbourhoodReader):
    """Reads, instead of the store, one state a window that it is given."""

    states: np.ndarray

    def normalised(self, windows):
        return self.normalise(windows, self.states)


@pytest.fixture
def parts(configure):
    """A configuration, an untrained coupled model and its readers."""
    config = configure(fields=FIELDS, evaluation={"batch_size": 2})
    torch.manual_seed(3)
    return config, bundle.build(config, list(FIELDS)).eval(), readers(config)


def readers(config, kind=NeighbourhoodReader):
    return {
        name: kind(config, name, FieldReader(config, name), Normalisation.load(path))
        for name, path in ((name, Paths(config).normalisation(name)) for name in FIELDS)
    }


def rollout(parts, **changes):
    _, model, neighbourhoods = parts
    settings = {"tails": 3, "steps": 2, "batch_size": 4} | changes
    return Rollout(model, neighbourhoods, **settings)


def last_hidden(number=2):
    tokens = {"t": (2, 3, 2, 3), "2t": (1, 3, 2, 3), "tp": (1, 3, 2, 3)}
    hidden = {name: np.zeros((number, *shape), bool) for name, shape in tokens.items()}
    for mask in hidden.values():
        mask[:, :, -1] = True
    return hidden


def by_hand(parts, windows, states=None):
    """Members (B, M, 2, L, H, W) of the last steps of each field by the predictor, from given states."""
    config, model, neighbourhoods = parts
    if states is not None:
        neighbourhoods = readers(config, Fed)
        for name, reader in neighbourhoods.items():
            reader.states = states[name]
    hidden = last_hidden(len(windows))
    return {
        name: Predictor(model, neighbourhoods, name, 3).predict(windows, hidden)[:, :, -2:] for name in FIELDS
    }


def test_one_step_is_the_plain_forecast(parts):
    (found,) = rollout(parts).forecasts(WINDOWS, 1)
    for name, expected in by_hand(parts, WINDOWS).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-7)
        assert found[name].std(1).max() > 0


def test_later_steps_are_those_made_by_hand_with_the_predictor(parts):
    """Member m sees itself in all fields, a day on over the turn of a month."""
    _, _, neighbourhoods = parts
    start = int(neighbourhoods["t"].reader.axis.index(np.datetime64("2001-01-31T00", "h")))
    windows = [Window(start, 4, 31), Window(100, 10, 2)]
    found = list(rollout(parts).forecasts(windows, 3))
    seen = {name: np.stack([r.values(windows)] * 3) for name, r in neighbourhoods.items()}  # member first
    for number, states in enumerate(found):
        moved = [replace(w, start=w.start + 2 * number) for w in windows]
        for member in range(3):
            own = {name: values[member] for name, values in seen.items()}
            expected = {name: v[:, member] for name, v in by_hand(parts, moved, own).items()}
            for name in FIELDS:
                np.testing.assert_allclose(states[name][:, member], expected[name], rtol=2e-5, atol=1e-6)
                predicted = expected[name].swapaxes(1, 2)  # B L T H W
                blank = np.full_like(predicted, np.nan)
                seen[name][member] = np.concatenate([own[name][:, :, 2:-2], predicted, blank], axis=2)
    assert all(np.isfinite(values).all() for states in found for values in states.values())


def test_the_hidden_steps_are_not_looked_at(parts):
    config, model, neighbourhoods = parts
    fed = readers(config, Fed)
    for name, reader in fed.items():
        reader.states = neighbourhoods[name].values(WINDOWS)
        reader.states[:, :, -2:] = np.nan
    for one, other in zip(
        rollout(parts).forecasts(WINDOWS, 2),
        Rollout(model, fed, tails=3, steps=2, batch_size=4).forecasts(WINDOWS, 2),
        strict=True,
    ):
        for name in FIELDS:
            np.testing.assert_array_equal(one[name], other[name])


def test_the_ensemble_is_carried(parts):
    """Tails in another order give the same members in that order, at every step."""
    _, model, _ = parts
    before = list(rollout(parts).forecasts(WINDOWS, 3))
    order = [2, 0, 1]
    for name in FIELDS:
        for parameter in model.fields[name].tail.parameters():
            parameter.data = parameter.data[order]
    after = list(rollout(parts).forecasts(WINDOWS, 3))
    for one, other in zip(before, after, strict=True):
        for name in FIELDS:
            np.testing.assert_allclose(other[name], one[name][:, order], rtol=2e-5, atol=1e-6)
    assert np.abs(before[2]["t"] - before[2]["t"][:, order]).max() > 0.01


def test_batches_bound_what_the_network_is_given_and_change_nothing(parts):
    _, model, _ = parts
    sizes = []
    handle = model.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0]["t"].source)))
    whole = list(rollout(parts, batch_size=100).forecasts(WINDOWS, 2))
    assert sizes == [2, 6]
    sizes.clear()
    cut = list(rollout(parts, batch_size=4).forecasts(WINDOWS, 2))
    assert sizes == [2, 4, 2]
    handle.remove()
    for one, other in zip(whole, cut, strict=True):
        for name in FIELDS:
            np.testing.assert_allclose(one[name], other[name], rtol=2e-5, atol=1e-6)


def test_the_window_s_token_information_and_scale_move_on(parts):
    """Of what the network is given at the second step: times of the moved window, and its scale."""
    _, model, neighbourhoods = parts
    inputs = []
    handle = model.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    first, _ = rollout(parts, batch_size=6).forecasts(WINDOWS, 2)
    handle.remove()
    moved = [replace(w, start=w.start + 2) for w in WINDOWS for _ in range(3)]
    for name, reader in neighbourhoods.items():
        assert torch.equal(inputs[1][name].info.cpu(), reader.info(moved))
        values = reader.values(moved)
        values[:, :, 2:4] = first[name].swapaxes(2, 3).reshape(6, *values[:, :, 2:4].shape[1:])
        values[:, :, 4:] = 0
        expected = reader.normalise(moved, values)
        expected[:, :, 2] = 0
        torch.testing.assert_close(inputs[1][name].source.cpu(), expected)
