"""Stage ``import-weights``: a checkpoint of the original becomes a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file
from torch import Tensor

from atmorep import bundle as bundles
from atmorep.artefacts import sha256
from atmorep.config import Config
from atmorep.errors import IntegrityError
from atmorep.grids import Grid
from atmorep.legacy import checkpoint, config, settings, weights
from atmorep.legacy.heads import per_head
from atmorep.legacy.tensors import Tensors
from atmorep.store.normalisation import Normalisation

LICENCE = "the weights' is that of those who published them"


def import_weights(directory: str, bundle: str, normalisation: str | None = None) -> None:
    """Write a checkpoint of the original AtmoRep as a bundle.

    Args:
        directory: folder with ``model_id<ID>.json`` and ``AtmoRep_id<ID>.mod``.
        bundle: folder to be written.
        normalisation: folder with a file of mean and standard deviation for each field; without, the network
            can be used, but not with data in physical units.

    Raises:
        ConfigError: if a setting of the checkpoint is missing, wrong or not supported.
        IntegrityError: if a file is missing, damaged or not of the others, or ``bundle`` exists.
    """
    target = Path(bundle)
    if target.exists():
        raise IntegrityError(f"{target}: exists already; remove it, or name another folder")
    files = checkpoint.find(Path(directory))
    original, values = settings.read(files.settings)
    tensors = Tensors(files.weights, checkpoint.read(files.weights))
    older = per_head(tensors.left)
    ours = config.translated(original, files.identifier, str(files.settings), per_head=older)
    state = _fitted(ours, weights.translated(tensors, original))
    checksums = {path.name: sha256(path) for path in (files.settings, files.weights)}
    known = {name: _normalisation(ours, name, normalisation) for name in ours.fields}
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as aside:
        save_file(state, Path(aside) / bundles.WEIGHTS)
        bundles.save(
            target,
            ours,
            weights=Path(aside) / bundles.WEIGHTS,
            log=None,
            normalisation=known,
            origin={"imported": files.identifier, "sha256": checksums, "configuration": values},
            licence=LICENCE,
        )


def _fitted(ours: Config, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the state of a network of ``ours`` with the weights of ``state``, all of them and no others."""
    with torch.device("meta"):
        model = bundles.build(ours, tuple(ours.fields))
    model.load_state_dict(state, assign=True)
    return {name: tensor.contiguous() for name, tensor in model.state_dict().items()}


def _normalisation(ours: Config, field: str, folder: str | None) -> Path | None:
    """File of ``field`` in ``folder``, called as in a bundle or in a store."""
    if folder is None:
        return None
    found = sorted({*Path(folder).glob(f"{field}.nc"), *Path(folder).glob(f"{field}-*.nc")})
    if len(found) != 1:
        raise IntegrityError(
            f"{folder}: holds {len(found)} files {field}.nc or {field}-*.nc; give a folder with one for each "
            f"of the fields {', '.join(ours.fields)}, as 'atmorep statistics' writes them"
        )
    shape = Normalisation.load(found[0], ours.model_levels(field)).mean.shape[2:]
    kind = ours.fields[field].normalisation
    wanted = (1, 1) if kind == "global" else Grid.from_config(ours.data.grid).shape
    if shape != wanted:
        raise IntegrityError(
            f"{found[0]}: holds {shape} points, the {kind} normalisation of {field} is of {wanted}; give "
            "that of a store with the same grid and fields.<name>.normalisation"
        )
    return found[0]
