"""Schedule, optimiser, moving average: what the configuration says."""

import lightning as L
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import gradients, same_gradients, task, trainer

from atmorep.config import Training
from atmorep.training.optimizers import learning_rate
from atmorep.training.task import dropout_seed

STEPS = 10
SETTINGS = {"lr_start": 1e-5, "lr_max": 1e-3, "lr_end": 2e-4, "warmup_epochs": 2, "decay_rate": 1.1}


def rates(**changes):
    chosen = Training(**{**SETTINGS, "epochs": 8, "samples_per_epoch": 960, **changes})
    return [learning_rate(chosen, step) for step in range(chosen.epochs * STEPS + 1)]


@pytest.mark.parametrize("kind", ["published", "cosine"])
def test_warm_up_is_linear_from_the_start_to_the_largest_rate(kind):
    rate = rates(schedule=kind)
    assert rate[0] == pytest.approx(1e-5)
    assert rate[STEPS] == pytest.approx((1e-5 + 1e-3) / 2)
    assert rate[2 * STEPS] == pytest.approx(1e-3) == max(rate)


def test_the_published_schedule_divides_each_epoch_down_to_the_end():
    rate = rates(schedule="published", epochs=40)
    assert rate[3 * STEPS] == pytest.approx(1e-3 / 1.1)
    assert rate[7 * STEPS] == pytest.approx(1e-3 / 1.1**5)
    assert rate[-1] == pytest.approx(2e-4)


def test_the_cosine_schedule_ends_at_its_last_step():
    rate = rates(schedule="cosine")
    assert rate[5 * STEPS] == pytest.approx((1e-3 + 2e-4) / 2)  # half-way
    assert rate[-1] == pytest.approx(2e-4) == min(rate[2 * STEPS :])
    assert all(a > b for a, b in zip(rate[2 * STEPS :], rate[2 * STEPS + 1 :], strict=False))


def test_without_warm_up_the_first_rate_is_the_largest():
    assert rates(warmup_epochs=0)[0] == pytest.approx(1e-3)


def test_only_matrices_decay(configure):
    pretraining, _ = task(configure(network={"first_guess": "temporal"}), "2t")
    (adamw,) = pretraining.configure_optimizers()
    decayed, free = adamw.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0)
    names = {id(p): name for name, p in pretraining.model.named_parameters()}
    found = {names[id(p)] for p in free["params"]}
    assert found | {names[id(p)] for p in decayed["params"]} == set(names.values())
    found = {name.removeprefix("fields.2t.") for name in found}
    assert {"tail.scale", "tail.shift", "tail.bias", "embedding.values.bias"} <= found
    assert all("bias" in n or "norm" in n or n in ("tail.scale", "tail.shift") for n in found)


def test_muon_takes_the_matrices_of_the_transformer_and_adamw_the_rest(configure):
    pretraining, _ = task(configure(training={"optimizer": "muon"}), "2t")
    muon, adamw = pretraining.configure_optimizers()
    matrices, decayed, free = (
        {id(p) for p in group["params"]} for group in muon.param_groups + adamw.param_groups
    )
    linear = {id(m.weight) for m in pretraining.model.modules() if isinstance(m, torch.nn.Linear)}
    assert matrices == linear
    assert decayed == {id(pretraining.model.fields["2t"].tail.weight)}
    assert matrices | decayed | free == {id(p) for p in pretraining.model.parameters()}
    assert len(matrices) + len(decayed) + len(free) == len(list(pretraining.model.parameters()))


@pytest.mark.parametrize(
    ("loss", "optimizer"), [("crps_gaussian", "adamw"), ("mse_ensemble", "adamw"), ("mse_ensemble", "muon")]
)
def test_the_validation_loss_falls_within_60_steps(configure, loss, optimizer):
    config = configure(
        loss={"mse_ensemble": 0, "statistical": 0, loss: 1},
        training={"epochs": 5, "samples_per_epoch": 192, "batch_size": 16, "validation_samples": 16}
        | {"lr_max": 1e-2, "warmup_epochs": 0.5, "optimizer": optimizer},
        network={"dropout": 0, "embed_dim": 32},
    )
    pretraining, samples = task(config, "t")
    trainer(1).validate(pretraining, samples, verbose=False)
    untrained = pretraining.validation
    trainer(5).fit(pretraining, datamodule=samples)
    assert pretraining.validation.shape == untrained.shape == (1, 2)
    assert (pretraining.validation < 0.75 * untrained).all()


class Steps(L.Callback):
    """Keeps the weights and the learning rates after each step."""

    def __init__(self, model):
        self.weights, self.rates = [parameters(model)], []

    def on_train_batch_end(self, trainer, task, *_):
        self.weights.append(parameters(task.model))
        self.rates.append({group["lr"] for o in trainer.optimizers for group in o.param_groups})


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_the_moving_average_follows_the_weights_and_is_what_is_validated(configure):
    pretraining, samples = task(configure(training={"ema_decay": 0.75, "epochs": 2}), "2t")
    steps = Steps(pretraining.model)
    trainer(2, steps).fit(pretraining, datamodule=samples)
    average = steps.weights[1]  # the first update copies
    for weights in steps.weights[2:]:
        average = 0.75 * average + 0.25 * weights
    assert len(steps.weights) == 5
    assert torch.allclose(parameters(pretraining.best_known), average, atol=1e-6)
    assert pretraining.best_known is not pretraining.model


def test_without_an_average_the_model_itself_is_kept(configure):
    pretraining, _ = task(configure(), "2t")
    assert pretraining.best_known is pretraining.model


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_every_step_has_its_learning_rate_in_all_groups(configure, optimizer):
    config = configure(training={"epochs": 2, "optimizer": optimizer})
    pretraining, samples = task(config, "2t")
    steps = Steps(pretraining.model)
    trainer(2, steps).fit(pretraining, datamodule=samples)
    # from 1e-4 to 3e-3 in one epoch of two steps, then divided by 1.025 an epoch
    assert [len(rates) for rates in steps.rates] == [1, 1, 1, 1]
    assert [rate for (rate,) in steps.rates] == pytest.approx([1e-4, 1.55e-3, 3e-3, 3e-3 / 1.025**0.5])


@pytest.mark.parametrize("parts", [2, 4])
def test_a_step_taken_in_parts_is_that_of_the_whole_batch(configure, parts):
    """Though the samples hide different numbers of tokens; with every term of the loss."""
    terms = dict.fromkeys(("mse_ensemble", "statistical", "crps_gaussian", "crps_fair", "crps_empirical"), 1)
    common = {"loss": terms, "network": {"dropout": 0}, "fields": {"t": {"coupled": ["2t"], "weight": 3}}}
    whole = gradients(configure(**common), "t", "2t")
    assert whole["losses"].shape == (2,)
    assert (whole["losses"] > 0).all()
    same_gradients(gradients(configure(**common, training={"accumulate": parts}), "t", "2t"), whole)


def test_fields_count_by_their_weight(configure):
    def gradient(weight):
        config = configure(network={"dropout": 0}, fields={"t": {"weight": weight}})
        return gradients(config, "t", "2t")["fields.t.embedding.values.weight"]

    torch.testing.assert_close(gradient(3), gradient(1) * (3 / 4) / (1 / 2))


def test_a_large_gradient_is_shortened_and_keeps_its_direction(configure):
    config = configure(training={"clip_norm": 1e-3})
    whole = gradients(config, "2t")
    del whole["losses"]
    pretraining, samples = task(config, "2t")
    seen = {}

    class Look(L.Callback):
        def on_train_start(self, trainer, task):
            (optimizer,) = trainer.optimizers
            optimizer.register_step_pre_hook(
                lambda *_: seen.update({n: p.grad.clone() for n, p in task.model.named_parameters()})
            )

    trainer(1, Look(), limit_train_batches=1, limit_val_batches=0).fit(pretraining, datamodule=samples)
    norm = torch.cat([g.flatten() for g in whole.values()]).norm()
    assert norm > 1e-2
    for name, gradient in whole.items():
        torch.testing.assert_close(seen[name], gradient * (1e-3 / norm), rtol=1e-3, atol=1e-12)


def test_in_half_precision_weights_and_losses_stay_single(configure):
    terms = {"mse_ensemble": 0, "statistical": 0, "crps_empirical": 1}
    config = configure(loss=terms, network={"dropout": 0, "embed_dim": 64})
    single, half = gradients(config, "2t"), gradients(config, "2t", precision="bf16-mixed")
    loss, half_loss = single.pop("losses"), half.pop("losses")
    assert half_loss != loss
    assert half_loss.item() == pytest.approx(loss.item(), rel=2e-2)
    a, b = (torch.cat([g.flatten() for g in found.values()]) for found in (single, half))
    assert b.dtype == torch.float32
    assert torch.cosine_similarity(a, b, dim=0) > 0.98


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), min_size=2, max_size=2, unique=True))
def test_dropout_is_drawn_by_seed_step_and_rank(places):
    def drawn(seed, step, rank):
        torch.manual_seed(dropout_seed(seed, step, rank))
        return torch.rand(4).tolist()

    first, second = places
    assert drawn(*first) == drawn(*first) != drawn(*second)
