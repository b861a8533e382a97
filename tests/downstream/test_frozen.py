"""What of a coupled core is trained, and that the rest stays in evaluation mode, in copies too."""

import copy

import pytest
import torch
from downscaling import FILES, TARGET, TASK

from atmorep.downstream.model import build, freeze
from atmorep.model.inputs import Inputs
from atmorep.training.optimizers import build_optimizers

COUPLED = {"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t", "tp"]}, "tp": {"predicted": False}}


@pytest.fixture
def config(configure):
    return configure(
        targets={"fine": TARGET},
        statics={"relief": {"source": FILES, "variable": "z", "units": "m"}},
        finetune={"downscaling": TASK},
        fields=COUPLED,
        network={"dropout": 0.5},
    )


def parts(model):
    """Field and part of what is trained of the core."""
    names = (name for name, p in model.core.named_parameters() if p.requires_grad)
    return {tuple(name.split(".")[1:3]) for name in names}


ENCODERS = {(field, part) for field in COUPLED for part in ("embedding", "encoder")}


@pytest.mark.parametrize(
    ("core", "expected"),
    [
        ("frozen", set()),
        ("decoder", {("2t", "decoder")}),
        ("full", {("2t", "decoder"), *ENCODERS}),
        ("scratch", {("2t", "decoder"), *ENCODERS}),
    ],
)
def test_only_what_is_trained_needs_a_gradient_and_drops_out(config, core, expected):
    model = build(config, "downscaling")
    freeze(model.core, core, model.read, tails=False)
    assert parts(model) == expected
    assert all(p.requires_grad for p in model.head.parameters())
    trained = {id(p) for p in model.parameters() if p.requires_grad}
    optimised = {
        id(p)
        for optimizer in build_optimizers(model, config.training)
        for group in optimizer.param_groups
        for p in group["params"]
    }
    assert optimised == trained
    for each in (model, copy.deepcopy(model)):
        each.eval()
        each.train()
        assert each.head.training
        assert not each.core.fields["2t"].tail.training
        for field, part in ENCODERS | {("2t", "decoder")}:
            module = getattr(each.core.fields[field], part)
            assert {child.training for child in module.modules()} == {(field, part) in expected}


def test_the_tails_are_trained_with_the_decoders_for_forecasts(config):
    model = build(config, "downscaling")
    freeze(model.core, "decoder", model.core.predicted, tails=True)
    assert parts(model) == {(field, part) for field in ("t", "2t") for part in ("decoder", "tail")}


def test_a_frozen_core_computes_no_gradient(config):
    model = build(config, "downscaling")
    freeze(model.core, "frozen", model.read, tails=False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        inputs = {
            name: Inputs(
                torch.randn(1, *shape.tokens, 18),
                torch.randn(1, *shape.tokens, 10),
                torch.zeros(1, *shape.tokens, dtype=torch.bool),
            )
            for name, shape in model.core.shapes.items()
        }
        model.core.decode(model.core.embed(inputs), model.read)
    assert not kept
