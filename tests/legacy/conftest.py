"""Importing a checkpoint, and running what came of it."""

import pytest
import torch

import atmorep
from atmorep.legacy.settings import NAMES
from atmorep.legacy.stage import import_weights
from atmorep.model.inputs import Inputs


class Imported:
    """A bundle from a checkpoint, called by the original's names."""

    def __init__(self, folder):
        self.bundle = atmorep.load(folder)
        self.model, self.config = self.bundle.model, self.bundle.config

    @staticmethod
    def inputs(pairs):
        """Inputs by field, from source (B, L, K, I, J, V) and token information (B, L, K, I, J, 8)."""
        return {
            NAMES[name]: Inputs(source, info, torch.zeros(source.shape[:-1], dtype=torch.bool))
            for name, (source, info) in pairs.items()
        }

    @torch.inference_mode()
    def embed(self, pairs):
        """Embedded tokens (B, N, D) by field."""
        inputs = self.inputs(pairs)
        return {
            name: self.model.fields[NAMES[name]].embed(inputs[NAMES[name]]).tokens.values for name in pairs
        }

    @torch.inference_mode()
    def __call__(self, pairs):
        """Members (B, N, M, V) by field."""
        members = self.model(self.inputs(pairs))
        return {name: members[NAMES[name]].flatten(1, 4) for name in pairs if NAMES[name] in members}


@pytest.fixture
def imported(tmp_path):
    """Import a folder: ``imported(folder)``."""

    def do(folder):
        target = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        import_weights(str(folder), str(target))
        return Imported(target)

    return do
