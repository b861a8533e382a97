"""What is done to the network from outside leaves what it computes as it is."""

import copy
from functools import partial

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from runs import (
    close,
    first_step,
    forget,
    gradients,
    outcome,
    progress,
    same_gradients,
    save_gradients,
    spread,
    task,
    train,
)
from safetensors.torch import load_file

from atmorep.training import outside
from atmorep.training.engine import lightning_trainer
from atmorep.training.pretrain import pretrain

CPU = torch.device("cpu")
COUPLED = {
    "network": {"dropout": 0},
    "fields": {"t": {"coupled": ["2t"], "weight": 3}, "2t": {"coupled": ["t"]}},
}


def test_blocks_computed_again_have_the_same_gradients(configure):
    """Dropout included, to the last bit; nothing but the blocks' inputs is kept of them."""
    config = configure(**{**COUPLED, "network": {"dropout": 0.2}})
    pretraining, samples = task(config, "t", "2t")
    names = list(pretraining.state_dict())
    outside.recompute_blocks(pretraining.model)
    assert list(pretraining.state_dict()) == names
    found, expected = first_step(pretraining, samples), gradients(config, "t", "2t")
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_blocks_computed_again_keep_less(configure):
    def kept(again):
        pretraining, samples = task(configure(**COUPLED), "t", "2t")
        if again:
            outside.recompute_blocks(pretraining.model)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            first_step(pretraining, samples)
        return sum(sizes)

    assert kept(True) < 0.5 * kept(False)


def test_the_average_of_a_network_whose_blocks_are_computed_again_is_its_own(configure):
    pretraining, _ = task(configure(training={"ema_decay": 0.5}), "2t")
    outside.recompute_blocks(pretraining.model)
    again = copy.deepcopy(pretraining.model)
    for block in outside.blocks(again):
        assert block.forward.args[0].__self__ is block


def test_two_ranks_with_a_share_of_the_network_each_have_the_gradients_of_one(configure, tmp_path):
    sharded = configure(**COUPLED, training={"strategy": "fsdp", "accumulate": 2})
    assert spread(save_gradients, tmp_path / "sharded", sharded, "t", "2t", ranks=2) == [0, 0]
    same_gradients(load_file(tmp_path / "sharded"), gradients(configure(**COUPLED), "t", "2t"))


def test_a_process_alone_looks_for_no_others_though_some_parameters_go_unread(configure):
    pretraining, _ = task(configure(), "2t")
    settings = configure().training
    alone = lightning_trainer(settings, torch.nn.Linear(1, 1), pretraining.progress, [])
    assert isinstance(alone.strategy, SingleDeviceStrategy)


@pytest.mark.parametrize(
    ("before", "after", "optimizer"), [("fsdp", "ddp", "muon"), ("ddp", "fsdp", "adamw")]
)
def test_a_training_goes_on_under_another_strategy(configure, before, after, optimizer):
    """Weights, moments and average are whole in the state, however they were spread."""
    common = {"epochs": 2, "samples_per_epoch": 16, "ema_decay": 0.5, "checkpoint_steps": 1}

    def settings(strategy):
        training = {**common, "optimizer": optimizer, "strategy": strategy}
        return configure(network={"dropout": 0}, training=training)

    pretrain(settings("ddp"), "2t")
    expected = outcome(settings("ddp"))
    forget(settings("ddp"))
    assert set(train(settings(before), ranks=2, death=("task:learning_rate", 7))) == {-9}
    assert progress(settings(before))["step"] == 6
    assert train(settings(after), ranks=2) == [0, 0]
    # Muon computes in half precision, which makes rounding a thousand times larger
    close(outcome(settings(after)), expected, atol=3e-3 if optimizer == "muon" else 2e-4)


@pytest.mark.parametrize("encoder_tokens", ["all", "visible"])
def test_a_compiled_network_is_one_graph_with_the_same_gradients(configure, encoder_tokens, monkeypatch):
    """Traced as it would be for any compiler; the default one takes minutes on a CPU."""
    choices = {"first_guess": "temporal", "qk_norm": True, "encoder_tokens": encoder_tokens}
    config = configure(**{**COUPLED, "network": {"dropout": 0.2, **choices}})
    pretraining, samples = task(config, "t", "2t")
    names = list(pretraining.state_dict())
    whole = partial(torch.compile, fullgraph=True, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", whole)
    outside.speed_up(pretraining.model, configure(training={"compile": True}).training, CPU)
    assert list(pretraining.state_dict()) == names
    same_gradients(first_step(pretraining, samples), gradients(config, "t", "2t"))


def test_what_the_settings_say_is_applied(configure, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda function: compiled.append(function) or function)

    def applied(**settings):
        config = configure(training=settings)
        model = task(config, "2t")[0].model
        outside.speed_up(model, config.training, CPU)
        again = [hasattr(block.forward, "func") for block in outside.blocks(model)]
        assert len(again) == 4
        return set(again), compiled == [model.process]

    assert applied() == ({False}, False)
    assert applied(gradient_checkpointing=True) == ({True}, False)
    assert applied(compile=True) == ({False}, True)
