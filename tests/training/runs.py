"""Trainings in processes of their own, on one rank or more, killed where that is wanted; what they leave."""

import importlib
import json
import multiprocessing
import os
import shutil
import signal
import socket
from pathlib import Path

import lightning as L
import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor

from atmorep import bundle
from atmorep.paths import Paths
from atmorep.training import outside, state
from atmorep.training.engine import fit
from atmorep.training.pretrain import pretrain
from atmorep.training.problem import MaskedTokens
from atmorep.training.progress import Progress
from atmorep.training.samples import Samples
from atmorep.training.task import TrainingTask

TIMING = ["seconds", "samples_per_second"]
SECONDS = 300
"""After which a process is taken to hang."""

# Processes of one server, which has imported what takes long; none has opened a store, which allows no fork.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["atmorep.training.pretrain"])


def train(config, field="2t", ranks=1, death=None):
    """Pretrain in a process for each rank; returns their exit codes.

    Args:
        config: the configuration.
        field: to be trained.
        ranks: on the CPU.
        death: (function, number): the process is killed before that call of ``module:function`` below
            ``atmorep.training``, or after it where the name ends with ``+``.
    """
    return spread(pretrain, config, field, ranks=ranks, death=death)


def spread(function, *arguments, ranks=1, death=None):
    """Call ``function`` in a process for each rank; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    settings = {"PL_TRAINER_DEVICES": ranks, "PL_TRAINER_ACCELERATOR": "cpu", "MASTER_PORT": port}
    started = []
    for rank in range(ranks):
        place = {"LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_ADDR": "localhost"} if ranks > 1 else {}
        environment = {name: str(value) for name, value in {**settings, **place}.items()}
        how = (os.getcwd(), environment, death)
        started.append(PROCESSES.Process(target=_rank, args=(how, function, arguments)))
        started[-1].start()
    for process in started:
        process.join(SECONDS)
        process.kill()
    return [process.exitcode for process in started]


def _rank(how, function, arguments):
    folder, environment, death = how
    os.chdir(folder)
    os.environ.update(environment)
    if death:
        _die_at(*death)
    function(*arguments)


def _die_at(target, number):
    """Let the process be killed at call ``number`` of a function."""
    module, path = target.rstrip("+").split(":")
    owner = importlib.import_module(f"atmorep.training.{module}")
    *names, name = path.split(".")
    for part in names:
        owner = getattr(owner, part)
    function, calls = getattr(owner, name), 0

    def dying(*arguments, **options):
        nonlocal calls
        calls += 1
        outcome = function(*arguments, **options) if target.endswith("+") or calls < number else None
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    setattr(owner, name, dying)


def state_path(config, field="2t"):
    """The file of the complete state."""
    paths = Paths(config)
    return paths.training_state(paths.model(field)) / "state.safetensors"


def progress(config, field="2t"):
    """Where the training whose state is there stands, as plain values."""
    with safe_open(state_path(config, field), "pt") as file:
        return json.loads(file.metadata()["training"])["progress"]


def outcome(config, field="2t"):
    """Weights and log of the bundle and the complete state, without what the clock says."""
    folder = Paths(config).model(field)
    log = pd.read_csv(folder / "training.csv", dtype=str).drop(columns=TIMING)
    kept = progress(config, field)
    kept["rows"] = [{n: value for n, value in row.items() if n not in TIMING} for row in kept["rows"]]
    return load_file(folder / "model.safetensors"), log, load_file(state_path(config, field)), kept


def same(a, b):
    """Whether two outcomes agree to the last bit."""
    tensors = all(
        x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)
        for x, y in ((a[0], b[0]), (a[2], b[2]))
    )
    return tensors and a[1].equals(b[1]) and a[3] == b[3]


def close(a, b, atol=2e-4):
    """Whether two outcomes agree but for the order in which gradients are added up, over 8 steps of Adam.

    The bias of keys adds the same to all scores: its gradient is rounding alone, which Adam makes a step of.
    """
    for x, y in ((a[0], b[0]), (a[2], b[2])):
        assert x.keys() == y.keys()
        for name in (name for name in x if "k_norm.bias" not in name):
            torch.testing.assert_close(x[name], y[name], atol=atol, rtol=1e-3, msg=name)
    pd.testing.assert_frame_equal(a[1].astype(float), b[1].astype(float), rtol=1e-4)
    assert (a[3]["step"], a[3]["best"]) == (b[3]["step"], b[3]["best"])


def forget(config, field="2t"):
    """Remove a training's state and bundle."""
    for folder in (state_path(config, field).parent, Path(Paths(config).model(field))):
        shutil.rmtree(folder)


def fit_several(config, folder, *fields):
    """Train a model of several fields; returns where its weights and log lie."""
    torch.manual_seed(config.training.seed)
    return fit(MaskedTokens(config, fields), bundle.build(config, fields), folder)


# -- a single step ---------------------------------------------------------------------------------


def task(config, *fields):
    """A training that has not begun, and its batches."""
    torch.manual_seed(0)
    model = bundle.build(config, fields)
    found, problem = Progress.begin(model.predicted), MaskedTokens(config, fields)
    return TrainingTask(model, problem, found), Samples(problem, found)


def trainer(epochs, *callbacks, **options):
    """Lightning without anything beside the steps."""
    return L.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=list(callbacks),
        **options,
    )


def first_step(pretraining, samples, **options):
    """Gradients of the first step by name of parameter, and the losses of the fields as ``losses``."""
    found = {}

    class Look(L.Callback):
        def on_train_batch_start(self, *_):
            pretraining._move = lambda: found.update(
                state.gathered(
                    {n: p.grad for n, p in pretraining.model.named_parameters() if p.grad is not None}
                )
            )

    lightning = trainer(1, Look(), limit_train_batches=1, limit_val_batches=0, **options)
    outside.allow_unread(lightning.strategy, pretraining.model)
    lightning.fit(pretraining, datamodule=samples)
    return {**found, "losses": pretraining.progress.sums}


def gradients(config, *fields, **options):
    """The same of a model that begins."""
    return first_step(*task(config, *fields), **options)


def save_gradients(path, config, *fields):
    """Write the same to a file, once."""
    pretraining, samples = task(config, *fields)
    found = first_step(pretraining, samples, strategy=outside.strategy(config.training))
    parameters = list(pretraining.model.parameters())
    assert {isinstance(p, DTensor) for p in parameters} == {config.training.strategy == "fsdp"}
    if state.first_rank():
        save_file(found, path)


def same_gradients(a, b):
    """Whether gradients and losses agree to rounding."""
    assert a.keys() == b.keys()
    torch.testing.assert_close(a["losses"], b["losses"], rtol=1e-6, atol=0)
    for name, gradient in a.items():
        torch.testing.assert_close(gradient, b[name], rtol=1e-4, atol=1e-6, msg=name)
