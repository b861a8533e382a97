"""Two processes train as one does, each on its share of the same samples, and take over from one another."""

import pytest
import torch
from runs import (
    close,
    forget,
    gradients,
    outcome,
    progress,
    same,
    same_gradients,
    save_gradients,
    spread,
    train,
)
from safetensors.torch import load_file

from atmorep.training.loaders import training_loader
from atmorep.training.pretrain import pretrain
from atmorep.training.problem import MaskedTokens

EIGHT_STEPS = {"epochs": 2, "samples_per_epoch": 16, "ema_decay": 0.5, "validation_samples": 8}


@pytest.fixture
def alone(configure):
    """Configuration and outcome of a training on one rank, which leaves nothing."""
    config = configure(network={"dropout": 0}, training=EIGHT_STEPS)
    pretrain(config, "2t")
    found = outcome(config)
    forget(config)
    return config, found


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_gradient_of_two_ranks_is_that_of_one(configure, tmp_path, accumulate):
    """Though the samples hide different numbers of tokens, so that the mean of means is not that of all."""
    common = {"network": {"dropout": 0}, "fields": {"t": {"coupled": ["2t"], "weight": 3}}}
    divided = configure(**common, training={"accumulate": accumulate})
    assert spread(save_gradients, tmp_path / "shared", divided, "t", "2t", ranks=2) == [0, 0]
    same_gradients(load_file(tmp_path / "shared"), gradients(configure(**common), "t", "2t"))


def test_a_field_that_only_informs_others_is_no_hindrance(configure, tmp_path):
    """Its last block is read by none, so that ranks have no gradient of it to share."""
    common = {"network": {"dropout": 0}, "fields": {"t": {"coupled": ["2t"]}, "2t": {"predicted": False}}}
    config = configure(**common)
    assert spread(save_gradients, tmp_path / "shared", config, "t", "2t", ranks=2) == [0, 0]
    found, expected = load_file(tmp_path / "shared"), gradients(config, "t", "2t")
    assert expected["losses"].shape == (1,)
    # what has no gradient on one rank has one of zeros on two
    assert all(not found.pop(name).any() for name in found.keys() - expected.keys())
    same_gradients(found, expected)


def test_two_ranks_train_as_one(alone):
    config, expected = alone
    assert train(config, ranks=2) == [0, 0]
    close(outcome(config), expected)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_training_goes_on_with_another_number_of_ranks(alone, configure, before, after):
    """In the middle of an epoch; in parts, for that matter."""
    config, expected = alone
    often = configure(network={"dropout": 0}, training={**EIGHT_STEPS, "checkpoint_steps": 1})
    assert set(train(often, ranks=before, death=("task:learning_rate", 7))) == {-9}
    assert progress(config)["step"] == 6
    in_parts = configure(network={"dropout": 0}, training={**EIGHT_STEPS, "accumulate": 2})
    assert train(in_parts, ranks=after) == [0] * after
    close(outcome(config), expected)


def test_two_ranks_go_on_bit_for_bit(configure):
    def settings(**changes):
        return configure(network={"dropout": 0.1}, training={**EIGHT_STEPS, **changes})

    assert train(settings(), ranks=2) == [0, 0]
    expected = outcome(settings())
    forget(settings())
    often = settings(checkpoint_steps=3)
    assert set(train(often, ranks=2, death=("task:learning_rate", 8))) == {-9}
    assert progress(often)["step"] == 6
    assert train(often, ranks=2) == [0, 0]
    assert same(outcome(often), expected)


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_samples_of_one(configure, ranks):
    config = configure(training={"batch_size": 8})
    problem = MaskedTokens(config, ("2t",))
    whole = list(training_loader(problem))
    shares = zip(*(training_loader(problem, rank, ranks) for rank in range(ranks)), strict=True)
    for batch, parts in zip(whole, shares, strict=True):
        joined = torch.cat([part["2t"].info for part in parts])
        assert torch.equal(joined, batch["2t"].info)
        assert len({sample.numpy().tobytes() for sample in joined}) == 8
