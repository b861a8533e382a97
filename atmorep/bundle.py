"""The model bundle: a folder that loads anywhere, without the data it was trained on or the store."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file

from atmorep.artefacts import written_aside
from atmorep.config import Config, load
from atmorep.errors import IntegrityError
from atmorep.model.field_transformer import FieldShape, FieldTransformer

WEIGHTS, CONFIG, NORMALISATION, LOG, CARD = (
    "model.safetensors",
    "config.yaml",
    "normalisation.nc",
    "training.csv",
    "README.md",
)


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


def load_model(bundle: Path, field: str) -> tuple[Config, FieldTransformer]:
    """Return the configuration and the trained transformer of a bundle, in evaluation mode.

    Raises:
        IntegrityError: if a file is missing, damaged, or not of the bundle's configuration.
    """
    for name in (WEIGHTS, CONFIG, NORMALISATION):
        if not (bundle / name).is_file():
            raise IntegrityError(f"{bundle}: {name} is missing; train the model again")
    config = load(bundle / CONFIG)
    if field not in config.fields:
        raise IntegrityError(f"{bundle}: is of {', '.join(config.fields)}, not of {field}; train {field}")
    model = build(config, field)
    try:
        model.load_state_dict(load_file(bundle / WEIGHTS))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise IntegrityError(
            f"{bundle / WEIGHTS}: is damaged or not of {CONFIG} beside it; train the model again ({error})"
        ) from None
    return config, model.eval()


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
