"""Schedule, optimiser, moving average: what the configuration says."""

import lightning as L
import pytest
import torch

from atmorep import bundle
from atmorep.config import Training
from atmorep.training.data import training_loader, validation_loader
from atmorep.training.task import PretrainTask, schedule

STEPS = 10
SETTINGS = {"lr_start": 1e-5, "lr_max": 1e-3, "lr_end": 2e-4, "warmup_epochs": 2, "decay_rate": 1.1}


def rates(**changes):
    settings = Training(**{**SETTINGS, "epochs": 8, "samples_per_epoch": 960, **changes})
    factor = schedule(settings, STEPS)
    return [settings.lr_max * factor(step) for step in range(settings.epochs * STEPS + 1)]


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


def task(config, field="2t"):
    torch.manual_seed(0)
    loader = training_loader(config, (field,))
    return PretrainTask(bundle.build(config, [field]), config, len(loader)), loader


def test_only_matrices_decay(configure):
    pretraining, _ = task(configure(network={"first_guess": "temporal"}))
    decayed, free = pretraining.configure_optimizers()["optimizer"].param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.05, 0)
    names = {id(p): name for name, p in pretraining.model.named_parameters()}
    found = {names[id(p)] for p in free["params"]}
    assert found | {names[id(p)] for p in decayed["params"]} == set(names.values())
    found = {name.removeprefix("fields.2t.") for name in found}
    assert {"tail.scale", "tail.shift", "tail.bias", "embedding.values.bias"} <= found
    assert all("bias" in n or "norm" in n or n in ("tail.scale", "tail.shift") for n in found)


def test_muon_takes_the_matrices_of_the_transformer_and_adamw_the_rest(configure):
    pretraining, _ = task(configure(training={"optimizer": "muon"}))
    optimizer = pretraining.configure_optimizers()["optimizer"]
    muon, decayed, free = ({id(p) for p in group["params"]} for group in optimizer.param_groups)
    linear = {id(m.weight) for m in pretraining.model.modules() if isinstance(m, torch.nn.Linear)}
    assert muon == linear
    assert decayed == {id(pretraining.model.fields["2t"].tail.weight)}
    assert muon | decayed | free == {id(p) for p in pretraining.model.parameters()}
    assert len(muon) + len(decayed) + len(free) == len(list(pretraining.model.parameters()))
    assert {group["lr"] for group in optimizer.param_groups} == {1e-4}  # the schedule reaches all


def trainer(epochs, *callbacks):
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
    )


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
    pretraining, loader = task(config, "t")
    validation = validation_loader(config, ("t",))
    (untrained,) = trainer(1).validate(pretraining, validation, verbose=False)
    trainer(5).fit(pretraining, loader)
    (trained,) = trainer(1).validate(pretraining, validation, verbose=False)
    assert trained["val_loss"] < 0.75 * untrained["val_loss"]
    assert trained["val_mse"] < 0.75 * untrained["val_mse"]


def test_the_moving_average_follows_the_weights_and_is_what_is_validated(configure):
    config = configure(training={"ema_decay": 0.75, "epochs": 2})
    pretraining, loader = task(config)
    history = [parameters(pretraining.model)]

    class History(L.Callback):
        def on_train_batch_end(self, *_):
            history.append(parameters(pretraining.model))

    trainer(2, History()).fit(pretraining, loader)
    average = history[1]  # the first update copies
    for weights in history[2:]:
        average = 0.75 * average + 0.25 * weights
    assert len(history) == 5
    assert torch.allclose(parameters(pretraining.best_known), average, atol=1e-6)
    assert pretraining.best_known is not pretraining.model


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_without_an_average_the_model_itself_is_kept(configure):
    pretraining, _ = task(configure())
    assert pretraining.best_known is pretraining.model
