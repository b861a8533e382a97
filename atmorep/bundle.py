"""The model bundle: a folder that loads anywhere, without the data it was trained on or the store."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from atmorep import __version__
from atmorep.artefacts import read_json, sha256, write_json, written_aside
from atmorep.config import Config
from atmorep.config import load as load_config
from atmorep.errors import IntegrityError
from atmorep.model.field_transformer import FieldShape, FieldTransformer
from atmorep.store.normalisation import Normalisation

WEIGHTS, CONFIG, NORMALISATION, LOG, CARD, MANIFEST = (
    "model.safetensors",
    "config.yaml",
    "normalisation.nc",
    "training.csv",
    "README.md",
    "bundle.json",
)
FORMAT = 1
"""Version of the bundle's form; raised when a bundle of before cannot be read as it is."""


def build(config: Config, field: str) -> FieldTransformer:
    """Return the untrained transformer of ``field``."""
    tokens = (len(config.model_levels(field)), *config.tokens(field).shape)
    shape = FieldShape(tokens, config.token_size(field).shape, config.embed_dim(field))
    return FieldTransformer(shape, config.network)


def save(target: Path, config: Config, field: str, *, weights: Path, log: Path, normalisation: Path) -> None:
    """Write the bundle ``target`` at once.

    Args:
        target: folder to be.
        config: of the training.
        field: ERA5 short name.
        weights: safetensors file of the best weights.
        log: CSV file of the training.
        normalisation: NetCDF file of mean and standard deviation.
    """
    with written_aside(target) as aside:
        aside.mkdir()
        for source, name in ((weights, WEIGHTS), (log, LOG), (normalisation, NORMALISATION)):
            shutil.copyfile(source, aside / name)
        (aside / CONFIG).write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        (aside / CARD).write_text(_card(config, field))
        checksums = {name: sha256(aside / name) for name in (WEIGHTS, CONFIG, NORMALISATION)}
        manifest = {"format": FORMAT, "field": field, "code_version": __version__, "sha256": checksums}
        write_json(aside / MANIFEST, manifest)


@dataclass(frozen=True)
class Bundle:
    """A trained field as it was saved.

    Attributes:
        field: ERA5 short name.
        config: of the training.
        model: the transformer, in evaluation mode.
        normalisation: mean and standard deviation of the levels it knows.
    """

    field: str
    config: Config
    model: FieldTransformer
    normalisation: Normalisation


def load(folder: str | Path) -> Bundle:
    """Load the bundle ``folder``.

    Raises:
        IntegrityError: if a file is missing, has been altered since, or does not fit the others.
    """
    folder = Path(folder)
    field = _checked_field(folder)
    config = load_config(folder / CONFIG)
    model = build(config, field)
    try:
        model.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise IntegrityError(
            f"{folder / WEIGHTS}: is not of {CONFIG} beside it; train the model again ({error})"
        ) from None
    levels = config.model_levels(field)
    return Bundle(field, config, model.eval(), Normalisation.load(folder / NORMALISATION, levels))


def _checked_field(folder: Path) -> str:
    """Return the field of a bundle whose files are what its manifest says."""
    if not (folder / MANIFEST).is_file():
        raise IntegrityError(f"{folder}: {MANIFEST} is missing; train the model again")
    manifest = read_json(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise IntegrityError(
            f"{folder / MANIFEST}: format {manifest.get('format')} is not {FORMAT}, the one this version of "
            "AtmoRep reads; train the model again or use the version that wrote it"
        )
    for name, checksum in manifest["sha256"].items():
        if not (folder / name).is_file():
            raise IntegrityError(f"{folder}: {name} is missing; train the model again")
        if sha256(folder / name) != checksum:
            raise IntegrityError(
                f"{folder / name}: is damaged or has been altered since it was saved; train the model again"
            )
    return str(manifest["field"])


def _card(config: Config, field: str) -> str:
    from atmorep.fields import field as known

    spec, data, grid = known(field), config.data, config.data.grid
    periods = ", ".join(f"{p.start} to {p.end}" for p in data.periods.train)
    simulated = (
        "\nThe training data are **simulated**, not a reanalysis.\n"
        if config.source.kind == "simulated"
        else ""
    )
    size, whole, network = config.token_size(field), config.network.neighbourhood, config.network
    where = f"{grid.north} to {grid.south} N, {grid.west} to {grid.east} E, {grid.resolution} degrees"
    vertical = "surface" if spec.surface else f"{data.levels.type} levels {config.model_levels(field)}"
    return f"""# AtmoRep: {spec.long_name} ({field})

A transformer of one field after Lessig et al. 2023 (arXiv 2308.13280), trained to predict hidden
space-time tokens by an ensemble of {config.network.tails} tail networks.
{simulated}
| | |
|---|---|
| field | {field}, {spec.long_name}, {spec.units} |
| levels | {vertical} |
| source | {config.source.kind} |
| grid | {where}, every {data.time_step} h |
| trained on | {periods} |
| neighbourhood | {whole.time} steps x {whole.latitude} x {whole.longitude} points |
| token | {size.time} steps x {size.latitude} x {size.longitude} points |
| width, blocks | {config.embed_dim(field)}, {network.encoder_blocks} + {network.decoder_blocks} |

Files: `{WEIGHTS}` weights, `{CONFIG}` configuration, `{NORMALISATION}` mean and standard deviation,
`{LOG}` training log. Skill: see the report of the experiment. Outside the grid, levels and climate it
was trained on, nothing is known of its skill. Licence: Apache-2.0; ERA5 contains modified Copernicus
Climate Change Service information.
"""
