"""The model card of a bundle: data, periods, fields, network, use, skill, limits and licence, as Markdown."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from atmorep import __version__, manifest
from atmorep.artefacts import write_text
from atmorep.config import Config, load
from atmorep.config.data import Period
from atmorep.errors import DataError, IntegrityError
from atmorep.fields import field as known_field

CARD, CONFIG = "README.md", "config.yaml"

_SKILL, _LIMITS = "## Skill\n", "## Limits\n"

_UNKNOWN = """Not known when the bundle was written. `atmorep card BUNDLE --metrics FILE --output card.md`
takes it from the `metrics.csv` of its experiment.
"""

_COLUMNS = {"rmse": "RMSE", "crps": "CRPS", "spread_skill": "spread over error"}
"""Metrics that the card shows."""

_MODELS = ("atmorep", "single", "zero_shot", "target")
"""What is no baseline among the models of ``metrics.csv``."""

Row = Mapping[str, str]


def text(config: Config, fields: Sequence[str], licence: str, purpose: str) -> str:
    """Return the card of a model whose skill is not known yet.

    Args:
        config: of the training.
        fields: of the model, ERA5 short names.
        licence: of the weights.
        purpose: what the model of a downstream task is for, else empty.
    """
    names = ", ".join(f"{known_field(name).long_name.replace('_', ' ')} (`{name}`)" for name in fields)
    return f"""# AtmoRep: {names}

{"A transformer of one field" if len(fields) == 1 else "The coupled transformers of several fields"} after \
Lessig et al. 2023 (arXiv 2308.13280), trained to predict hidden space-time tokens by an ensemble
of {config.network.tails} tail networks. Written by AtmoRep {__version__}.
{f"{chr(10)}{purpose}{chr(10)}" if purpose else ""}{_simulated(config)}
## Data

{_table(_data(config))}

{_table({f"`{name}`": _field(config, name, fields) for name in fields})}

## Network and training

{_table(_network(config))}

Files: `model.safetensors` weights, `{CONFIG}` configuration, and where they are known `normalisation/` mean
and standard deviation, `training.csv` training log, `origin.json` where the weights come from.

## Use

```python
{_use(purpose)}
```

{_SKILL}
{_UNKNOWN}
{_LIMITS}
- Trained and scored on the grid, levels, time step and periods above; outside of them, and in another
  climate, nothing is known of its skill.
- Members are calibrated as far as the scores show, no further. What is rolled out beyond the scored lead
  times is not verified.
- It has learnt the errors of its data too. No product to base warnings on, or other decisions that need a
  verified forecast.

## Licence

Weights: {licence}. {_rights(config)}
"""


def card(bundle: str, output: str, metrics: str) -> None:
    """Write the card of a bundle with its skill.

    Args:
        bundle: folder of a trained model.
        output: Markdown file to be.
        metrics: ``metrics.csv`` of the experiment that scored it.

    Raises:
        IntegrityError: if the bundle is none.
        DataError: if ``metrics`` cannot be read, or scores nothing of the bundle.
    """
    folder = Path(bundle)
    fields, task = manifest.fields(folder), manifest.task(folder)
    if not (folder / CARD).is_file():
        raise IntegrityError(f"{folder / CARD}: is missing; train the model again")
    written = (folder / CARD).read_text()
    if _SKILL not in written or _LIMITS not in written:
        raise IntegrityError(
            f"{folder / CARD}: has no section of skill, being of an older version; train again"
        )
    before, after = written.partition(_SKILL)[0], written.partition(_LIMITS)[2]
    rows = _scored(_read(Path(metrics)), load(folder / CONFIG), fields, task)
    if not rows:
        raise DataError(f"{metrics}: scores nothing of {folder}; give that of the bundle's own experiment")
    write_text(Path(output), f"{before}{_SKILL}\n{_skill(rows, metrics)}\n{_LIMITS}{after}")


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); name the metrics.csv of an experiment") from None
    lacking = {"task", "model", "field", "metric", "value"} - set(rows[0] if rows else ())
    if lacking:
        raise DataError(f"{path}: has no column {', '.join(sorted(lacking))}; name the metrics.csv of a run")
    return rows


def _scored(
    rows: Sequence[Row], config: Config, fields: Sequence[str], task: str | None
) -> dict[tuple[str, ...], dict[str, Row]]:
    """Rows of the model by metric, and of the best baseline as ``baseline``, by what is scored."""
    single = len(fields) == 1 and config.coupled and task is None
    own, known = "single" if single else "atmorep", set(config.finetune)
    found: dict[tuple[str, ...], dict[str, Row]] = {}
    for row in rows:
        of_task = row["task"] == task if task else row["task"] not in known and row["field"] in fields
        if not of_task or row["region"] != "domain":
            continue
        place = found.setdefault(tuple(row[key] for key in ("task", "field", "level", "lead_hours")), {})
        if row["model"] == own and row["metric"] in _COLUMNS:
            place[row["metric"]] = row
        elif row["model"] not in _MODELS and row["metric"] == "rmse":
            best = place.get("baseline")
            place["baseline"] = row if best is None else min(best, row, key=lambda r: float(r["value"]))
    return {place: own for place, own in found.items() if "rmse" in own}


def _skill(rows: Mapping[tuple[str, ...], Mapping[str, Row]], metrics: str) -> str:
    heads = ("task", "field", "level", "lead", *_COLUMNS.values(), "RMSE of the best baseline")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for (task, name, level, lead), own in rows.items():
        unit = known_field(name).units
        scores = [_score(own.get(metric), "" if metric == "spread_skill" else unit) for metric in _COLUMNS]
        baseline = own.get("baseline")
        best = f"{_score(baseline, unit)} ({baseline['model']})" if baseline else ""
        lines.append(f"| {' | '.join((task, name, level, f'{lead} h', *scores, best))} |")
    times = max(int(own["rmse"]["n"]) for own in rows.values())
    note = (
        f"Area means over the domain, of up to {times} times; in brackets 95 % intervals. From `{metrics}`."
    )
    return "\n".join([note, "", *lines, ""])


def _score(row: Row | None, unit: str) -> str:
    if row is None or not row["value"]:
        return ""
    bounds = f" [{float(row['lower']):.3g}, {float(row['upper']):.3g}]" if row["lower"] else ""
    return f"{float(row['value']):.3g}{f' {unit}' if unit else ''}{bounds}"


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(["| | |", "|---|---|", *(f"| {key} | {value} |" for key, value in rows.items())])


def _simulated(config: Config) -> str:
    if config.source.kind != "simulated":
        return ""
    return "\nThe training data are **simulated**, not a reanalysis: skill says nothing of the atmosphere.\n"


def _data(config: Config) -> dict[str, Any]:
    data, grid = config.data, config.data.grid
    where = f"{grid.north} to {grid.south} N, {grid.west} to {grid.east} E, {grid.resolution} degrees"
    return {
        "source": config.source.kind,
        "grid": f"{where}, every {data.time_step} h",
        "trained on": _periods(data.periods.train),
        "validated on": _periods(data.periods.validation),
        "kept for tests": _periods(data.periods.test),
    }


def _periods(periods: Sequence[Period]) -> str:
    return ", ".join(f"{period.start} to {period.end}" for period in periods)


def _network(config: Config) -> dict[str, Any]:
    network, whole, training = config.network, config.network.neighbourhood, config.training
    masking = config.masking
    return {
        "neighbourhood": f"{whole.time} steps x {whole.latitude} x {whole.longitude} points",
        "blocks": f"{network.encoder_blocks} + {network.decoder_blocks}",
        "first guess": network.first_guess,
        "training of each field": f"{training.epochs} epochs of {training.samples_per_epoch} samples by "
        f"{training.optimizer}, seed {training.seed}",
        "hidden in training": f"random tokens, {masking.ratio_min:g} to {masking.ratio_max:g} of all; shares "
        f"of forecasts {masking.forecast:g}, interpolation {masking.temporal_interpolation:g}, missing "
        f"places {masking.spatial:g}; {masking.noised:g} noised, {masking.coarsened:g} coarsened",
    }


def _field(config: Config, name: str, fields: Sequence[str]) -> str:
    spec, size = known_field(name), config.token_size(name)
    vertical = "surface" if spec.surface else f"{config.data.levels.type} levels {config.model_levels(name)}"
    coupled = [other for other in config.fields[name].coupled if other in fields]
    return (
        f"{spec.units}; {vertical}; {config.fields[name].normalisation} normalisation; tokens of {size.time} "
        f"steps x {size.latitude} x {size.longitude} points; width {config.embed_dim(name)}"
        + (f"; attends to {', '.join(coupled)}" if coupled else "")
    )


def _use(purpose: str) -> str:
    call = (
        "downscale(states)  # or precipitation"
        if purpose
        else "forecast(states, hours=6)  # or interpolate, fill …"
    )
    return f"""import atmorep, xarray as xr

states = xr.open_dataset("era5.nc")  # the fields and levels above, on a grid of this spacing
found = atmorep.load("this-folder").{call}"""


def _rights(config: Config) -> str:
    if config.source.kind == "simulated":
        return "The data are computed by AtmoRep and under its licence."
    return (
        "ERA5 is provided by the Copernicus Climate Change Service under the licence of its Climate Data\n"
        "Store; this model contains modified Copernicus Climate Change Service information. Neither the\n"
        "European Commission nor ECMWF is responsible for any use that may be made of it."
    )
