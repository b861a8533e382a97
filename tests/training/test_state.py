"""The complete state: what it holds, when it is not written, and what it is refused for."""

import json
import math

import numpy as np
import pytest
import torch
import yaml
from runs import progress, state_path
from safetensors.torch import load_file, safe_open, save_file
from torch.optim import AdamW

from atmorep import bundle, integrity
from atmorep.cli import main
from atmorep.errors import DataError, IntegrityError
from atmorep.paths import Paths
from atmorep.training import state
from atmorep.training.pretrain import pretrain
from atmorep.training.problem import MaskedTokens
from atmorep.training.progress import Progress
from atmorep.training.task import TrainingTask


@pytest.fixture
def trained(configure):
    """A small training that has ended."""
    config = configure(training={"ema_decay": 0.5})
    pretrain(config, "2t")
    return config


def rewrite(path, stored=None, **metadata):
    """Change the tensors or the metadata of a state."""
    with safe_open(path, "pt") as file:
        kept = json.loads(file.metadata()["training"])
    save_file(stored or load_file(path), path, {"training": json.dumps({**kept, **metadata})})


def test_it_holds_weights_average_moments_and_progress(trained):
    tensors = load_file(state_path(trained))
    weights = {name for name in tensors if name.startswith("model.")}
    assert weights
    for name in weights:
        bare = name.removeprefix("model.")
        moments = {f"optimizer.{bare}.{key}" for key in ("step", "exp_avg", "exp_avg_sq")}
        assert moments | {f"average.module.{bare}"} <= set(tensors)
    assert len(tensors) == 5 * len(weights) + 1
    assert tensors["average.n_averaged"] == 6
    kept = progress(trained)
    assert (kept["step"], len(kept["rows"]), kept["names"]) == (6, 3, ["2t"])
    with safe_open(state_path(trained), "pt") as file:
        assert set(file.metadata()) == {"training"}  # JSON: nothing in it is ever executed


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_a_truncated_state_is_refused_by_name(trained, share, capsys, tmp_path):
    path = state_path(trained)
    content = path.read_bytes()
    integrity.beside(path).unlink()  # it would tell at once
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(IntegrityError, match=rf"{path}: cannot be read .*; delete it to begin anew"):
        pretrain(trained, "2t")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(trained.model_dump(mode="json")))
    assert main(["pretrain", "--config", "config.yaml", "--field", "2t"]) == 2
    assert f"{path}: cannot be read" in capsys.readouterr().err


def test_the_state_of_another_configuration_is_refused_by_its_key(trained, configure):
    other = configure(training={"ema_decay": 0.5, "lr_max": 5e-3})
    state_path(other).parent.mkdir(parents=True)
    state_path(trained).rename(state_path(other))
    found = (
        r"is the state of another configuration, with training\.lr_max = 0\.003 in place of 0\.005; delete"
    )
    with pytest.raises(IntegrityError, match=found):
        pretrain(other, "2t")


def test_how_it_is_run_is_no_other_configuration(trained, configure):
    changed = {
        "workers": 3,
        "accumulate": 2,
        "checkpoint_steps": 1,
        "checkpoint_minutes": None,
        "compile": True,
    }
    changed |= {"gradient_checkpointing": True, "strategy": "fsdp", "trackers": ["mlflow"]}
    other = configure(training={"ema_decay": 0.5, **changed}, fields={"2t": {"weight": 2}})
    assert state_path(other) == state_path(trained)
    assert state.read_progress(state_path(trained), MaskedTokens(other, ["2t"]).described()).step == 6


def test_a_state_of_another_form_is_refused(trained):
    rewrite(state_path(trained), format=0)
    with pytest.raises(IntegrityError, match="is damaged or was altered"):
        pretrain(trained, "2t")
    integrity.beside(state_path(trained)).unlink()
    with pytest.raises(IntegrityError, match="format 0 is not 2"):
        pretrain(trained, "2t")


def drop(kind):
    return lambda tensors, name: tensors.pop(kind + name)


def shorten(kind, moment=""):
    return lambda tensors, name: tensors.update({kind + name + moment: torch.zeros(1)})


@pytest.mark.parametrize("known", [False, True], ids=["broken", "other"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop("model."), "it lacks model."),
        (drop("average.module."), "it lacks average.module."),
        (lambda tensors, _: tensors.update({"model.odd": torch.zeros(1)}), "it knows, besides, model.odd"),
        (
            lambda tensors, _: tensors.update({"optimizer.odd.step": torch.zeros(1)}),
            "it knows, besides, optimizer.odd.step",
        ),
        (shorten("model."), r"model\..* is \(1,\), not \("),
        (shorten("optimizer.", ".exp_avg"), r"\.exp_avg is \(1,\), not \("),
    ],
)
def test_no_part_of_a_state_is_loaded_silently(trained, change, message, known):
    """Neither of a broken one, nor of one that is whole and of another network."""
    path = state_path(trained)
    tensors = load_file(path)
    change(tensors, next(n for n in tensors if n.startswith("model.")).removeprefix("model."))
    rewrite(path, tensors, **({"tensors": sorted(tensors)} if known else {}))
    task = TrainingTask(bundle.build(trained, ["2t"]), MaskedTokens(trained, ["2t"]), Progress.begin(["2t"]))
    with pytest.raises(IntegrityError, match=f"is not of this network: .*{message}"):
        state.restore(path, task.parts, [AdamW(task.model.parameters())])


def test_a_state_without_a_moment_that_it_says_it_has_is_refused(trained):
    path = state_path(trained)
    tensors = load_file(path)
    tensors.pop(next(name for name in tensors if name.endswith(".exp_avg_sq")))
    rewrite(path, tensors)
    task = TrainingTask(bundle.build(trained, ["2t"]), MaskedTokens(trained, ["2t"]), Progress.begin(["2t"]))
    with pytest.raises(IntegrityError, match=r"it lacks optimizer\..*\.exp_avg_sq"):
        state.restore(path, task.parts, [AdamW(task.model.parameters())])


# -- numbers that are no longer finite ---------------------------------------------------------------


def spoilt(monkeypatch, step):
    """Let the loss of one step be NaN."""
    taken = TrainingTask._backward

    def backward(task, part, counts):
        losses = taken(task, part, counts)
        return losses * (math.nan if task.progress.step + 1 == step else 1)

    monkeypatch.setattr(TrainingTask, "_backward", backward)


def test_a_loss_that_is_not_finite_stops_before_the_next_state_and_names_field_step_and_remedy(
    configure, monkeypatch
):
    config = configure(training={"samples_per_epoch": 32, "checkpoint_steps": 3})
    spoilt(monkeypatch, 4)
    with pytest.raises(DataError, match=r"^2t: the loss is not finite at step 4; lower training\.lr_max"):
        pretrain(config, "2t")
    assert progress(config)["step"] == 3
    assert all(t.isfinite().all() for t in load_file(state_path(config)).values())
    assert not Paths(config).model("2t").exists()


def test_weights_that_are_not_finite_are_no_state(configure, monkeypatch):
    config = configure(training={"samples_per_epoch": 32, "checkpoint_steps": 3})
    moved = TrainingTask._move

    def move(task):
        moved(task)
        if task.progress.step == 5:  # the sixth: its loss was that of the weights before
            next(task.model.parameters()).data.fill_(math.inf)

    monkeypatch.setattr(TrainingTask, "_move", move)
    with pytest.raises(DataError, match=r"^2t: weights are not finite after step 6; lower"):
        pretrain(config, "2t")
    assert progress(config)["step"] == 3


def test_a_diverging_training_stops_with_the_remedy(configure, capsys, tmp_path):
    config = configure(training={"lr_max": 1e38, "lr_start": 1e-4, "warmup_epochs": 1})
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["pretrain", "--config", "config.yaml", "--field", "2t"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("atmorep pretrain: 2t: the ")
    assert "not finite" in error
    assert "lower training.lr_max" in error
    assert not Paths(config).model("2t").exists()


def test_of_several_fields_the_broken_ones_are_named_with_the_first_step():
    found = Progress.begin(["t", "u", "v"])
    for losses in ([1.0, 2, 3], [1, np.inf, 3], [np.nan, np.nan, 3]):
        found.add(torch.tensor(losses, dtype=torch.float64))
    with pytest.raises(DataError, match=r"^t, u: the loss is not finite at step 2; "):
        found.check()


def test_progress_outlives_its_state():
    found = Progress.begin(["t", "u"])
    found.add(torch.tensor([0.1, 1 / 3], dtype=torch.float64))
    found.end_epoch({"epoch": 1, "val_loss": 1 / 7}, "best-1.safetensors")
    found.add(torch.tensor([0.2, 2 / 3], dtype=torch.float64))
    again = Progress.parse(json.loads(json.dumps(found.plain())))
    assert again.plain() == found.plain()
    assert (again.step, again.best, again.rows) == (
        2,
        "best-1.safetensors",
        [{"epoch": 1, "val_loss": 1 / 7}],
    )
    assert again.sums.tolist() == [0.2, 2 / 3]
