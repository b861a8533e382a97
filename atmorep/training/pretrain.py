"""Pretraining of one field: from the store and its normalisation to a model bundle."""

from __future__ import annotations

import torch

from atmorep import bundle
from atmorep.config import Config
from atmorep.paths import Paths
from atmorep.training.engine import fit
from atmorep.training.problem import MaskedTokens


def pretrain(config: Config, field: str) -> None:
    """Train the transformer of ``field``, or go on where an interrupted training stopped.

    Raises:
        DataError: if the store lacks what is needed, or the loss is no longer finite.
        IntegrityError: if the state to go on from is broken or of another configuration.
    """
    paths = Paths(config)
    torch.manual_seed(config.training.seed)
    model = bundle.build(config, [field])
    target = paths.model(field)
    trained = fit(MaskedTokens(config, [field]), model, paths.training_state(target))
    if trained.first_rank:
        normalisation = {field: paths.normalisation(field)}
        bundle.save(target, config, weights=trained.weights, log=trained.log, normalisation=normalisation)
