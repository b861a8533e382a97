"""The model bundle: a folder that loads anywhere, without the data it was trained on or the store."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from atmorep import card, integrity, manifest
from atmorep.artefacts import write_json, written_aside
from atmorep.config import Config
from atmorep.config import load as load_config
from atmorep.errors import IntegrityError
from atmorep.fields import field as known_field
from atmorep.model.field_transformer import FieldShape
from atmorep.model.multiformer import Multiformer
from atmorep.store.normalisation import Normalisation

CONFIG, CARD = card.CONFIG, card.CARD
WEIGHTS, NORMALISATION, LOG, ORIGIN = "model.safetensors", "normalisation", "training.csv", "origin.json"


def build(config: Config, fields: Sequence[str]) -> Multiformer:
    """Return the untrained model of ``fields``; a coupling to a field that is not among them is left out."""
    shapes = {name: shape(config, name, fields) for name in fields}
    coupled = {name: [other for other in config.fields[name].coupled if other in fields] for name in fields}
    return Multiformer(shapes, coupled, config.network)


def shape(config: Config, field: str, fields: Sequence[str]) -> FieldShape:
    """Return what determines the shapes of ``field`` in the model of ``fields``."""
    return FieldShape(
        (len(config.model_levels(field)), *config.tokens(field).shape),
        config.token_size(field).shape,
        config.embed_dim(field),
        _heights(config, field),
        field in config.predicted(fields),
    )


def _heights(config: Config, name: str) -> tuple[float, ...]:
    """Places of a field's levels from 0 to 1 among those of the data, the surface next to the lowest."""
    known = sorted(config.data.levels.values)
    below = len(known)  # level numbers and pressures both grow towards the ground
    levels = config.model_levels(name)
    places = [below if known_field(name).surface else known.index(level) for level in levels]
    return tuple((place + 0.5) / (below + 1) for place in places)


@dataclass(frozen=True)
class OfTask:
    """What the bundle of a downstream task holds besides.

    Attributes:
        name: of the task.
        files: what is copied, by name in the bundle.
        texts: what is written, by name in the bundle.
        arrays: what is written as .npy files, by name in the bundle.
        purpose: what the model card says of it, a paragraph.
    """

    name: str
    files: Mapping[str, Path]
    texts: Mapping[str, str]
    arrays: Mapping[str, NDArray[np.float32]]
    purpose: str


def save(
    target: Path,
    config: Config,
    *,
    weights: Path,
    log: Path | None,
    normalisation: Mapping[str, Path | None],
    origin: Mapping[str, Any] | None = None,
    licence: str = "Apache-2.0",
    task: OfTask | None = None,
) -> None:
    """Write the bundle ``target`` at once.

    Args:
        target: folder to be.
        config: of the training.
        weights: safetensors file of the best weights.
        log: CSV file of the training; None where it is not known.
        normalisation: NetCDF file of mean and standard deviation, by field of the model; None where it is not
            known.
        origin: where the weights came from before the training, where that is known.
        licence: of the weights.
        task: what else there is, where the model is that of a downstream task.
    """
    sources: dict[str, Path | None] = {f"{NORMALISATION}/{name}.nc": p for name, p in normalisation.items()}
    sources |= {WEIGHTS: weights, LOG: log, **(task.files if task else {})}
    copies = {name: path for name, path in sources.items() if path is not None}
    known = [integrity.checked(path) for path in copies.values()]
    fields, purpose = tuple(normalisation), task.purpose if task else ""
    texts = {CONFIG: yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)}
    texts |= task.texts if task else {}
    with written_aside(target) as aside:
        for folder in {NORMALISATION, *(str(Path(name).parent) for name in copies)}:
            (aside / folder).mkdir(parents=True, exist_ok=True)
        for name, path in copies.items():
            shutil.copyfile(path, aside / name)
        for name, text in {**texts, CARD: card.text(config, fields, licence, purpose)}.items():
            (aside / name).write_text(text)
        arrays = task.arrays if task else {}
        for name, array in arrays.items():
            np.save(aside / name, array, allow_pickle=False)
        if origin is not None:
            write_json(aside / ORIGIN, dict(origin))
        kept = sorted({*texts, *copies, *arrays} - {LOG})
        manifest.write(aside, fields, kept, task.name if task else None)
        # the card may be written anew, with the skill
        integrity.record_folder(aside, "train the model again, or copy it again", known, leave=[CARD])


@dataclass(frozen=True)
class Bundle:
    """A trained model as it was saved.

    Attributes:
        fields: ERA5 short names.
        config: of the training.
        model: the network, in evaluation mode.
        normalisation: mean and standard deviation of the levels it knows, by field; imported weights may
            be without.
    """

    fields: tuple[str, ...]
    config: Config
    model: Multiformer
    normalisation: dict[str, Normalisation]


def load(folder: str | Path) -> Bundle:
    """Load the bundle ``folder``.

    Raises:
        IntegrityError: if a file is missing, has been altered since, or does not fit the others, or the model
            is that of a downstream task.
    """
    folder = Path(folder)
    manifest.verify(folder)
    if (task := manifest.task(folder)) is not None:
        raise IntegrityError(f"{folder}: is of the downstream task {task}, not of fields alone")
    fields, config = manifest.fields(folder), load_config(folder / CONFIG)
    model = build(config, fields)
    load_weights(model, folder)
    return Bundle(fields, config, model.eval(), load_normalisation(folder, config, fields))


def load_weights(model: nn.Module, folder: Path) -> None:
    """Give ``model`` the weights of the bundle ``folder``.

    Raises:
        IntegrityError: if they are not of the model.
    """
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise IntegrityError(
            f"{folder / WEIGHTS}: is not of {CONFIG} beside it; train the model again ({error})"
        ) from None


def load_normalisation(folder: Path, config: Config, fields: Sequence[str]) -> dict[str, Normalisation]:
    """Return the normalisation of those of ``fields`` that the bundle ``folder`` knows it of."""
    return {
        name: Normalisation.load(folder / NORMALISATION / f"{name}.nc", config.model_levels(name))
        for name in fields
        if f"{NORMALISATION}/{name}.nc" in manifest.files(folder)
    }
