"""Stage ``couple``: fields that were pretrained alone become a Multiformer, which is trained on."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from atmorep import bundle
from atmorep.artefacts import sha256
from atmorep.config import Config
from atmorep.errors import ConfigError
from atmorep.model.multiformer import Multiformer
from atmorep.model.transfer import transfer
from atmorep.paths import Paths
from atmorep.training.engine import fit
from atmorep.training.problem import MaskedTokens

FREE = {"dropout", "coupling_heads", "encoder_tokens", "neighbourhood", "token_size", "embed_dim"}
"""Keys of ``network`` that may differ from those of a bundle to start from: they change no weight's meaning,
or the shape of a tensor tells."""


def couple(config: Config) -> None:
    """Couple all fields and train them together, or go on where an interrupted training stopped.

    Raises:
        ConfigError: if no field is coupled, or the bundle to start from is of another network.
        IntegrityError: if a bundle is missing or damaged, or its tensors do not fit.
        DataError: if the store lacks what is needed, or the loss is no longer finite.
    """
    if not config.coupled:
        raise ConfigError("no field is coupled: name others in fields.<name>.coupled")
    paths, fields = Paths(config), tuple(config.fields)
    settings = config.coupling.training or config.training
    torch.manual_seed(settings.seed)
    model, origin = assemble(config)
    problem = MaskedTokens(config.model_copy(update={"training": settings}), fields)
    trained = fit(problem, model, paths.training_state(paths.multiformer))
    if trained.first_rank:
        bundle.save(
            paths.multiformer,
            config,
            weights=trained.weights,
            log=trained.log,
            normalisation={name: paths.normalisation(name) for name in fields},
            origin=origin,
        )


def assemble(config: Config) -> tuple[Multiformer, dict[str, Any]]:
    """Build the Multiformer from the bundles of before.

    Returns:
        The network, and where its tensors come from: ``bundles`` by field, and the names of the tensors
        ``loaded``, ``resized``, ``fresh`` and ``dropped``.
    """
    folders = {name: Paths(config).origin(name) for name in config.fields}
    bundles = {folder: bundle.load(folder) for folder in dict.fromkeys(folders.values())}
    for folder, before in bundles.items():
        _check_network(config, before.config, folder)
    model = bundle.build(config, tuple(config.fields))
    done = transfer(model, {name: bundles[folder].model for name, folder in folders.items()})
    weights = {folder: sha256(folder / bundle.WEIGHTS) for folder in bundles}
    named = {name: {"bundle": str(folder), "sha256": weights[folder]} for name, folder in folders.items()}
    return model, {"bundles": named, **asdict(done)}


def _check_network(config: Config, before: Config, folder: Path) -> None:
    ours, theirs = config.network.model_dump(), before.network.model_dump()
    differing = [key for key in ours if key not in FREE and ours[key] != theirs[key]]
    if differing:
        values = ", ".join(f"network.{key} = {theirs[key]!r}" for key in differing)
        raise ConfigError(
            f"{folder}: was trained with {values}; configure the same, or another coupling.start"
        )
