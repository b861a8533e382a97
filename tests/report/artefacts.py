"""Artefacts of the stages before the report, in the form their contracts give them."""

import csv

import numpy as np
import pandas as pd
import xarray as xr
from safetensors.numpy import save_file

from atmorep.artefacts import write_json, write_text
from atmorep.config import parse
from atmorep.evaluation.metrics import COLUMNS
from atmorep.fields import field as known_field
from atmorep.grids import Grid
from atmorep.paths import Paths
from atmorep.timeaxis import data_spans

TASKS = {
    "reconstruction": ((0,), ("linear", "persistence", "climatology")),
    "forecast": ((3, 6), ("persistence", "climatology")),
    "temporal_interpolation": ((1, 2, 3), ("linear", "persistence", "climatology")),
}
METRICS = ("rmse", "mae", "bias", "acc", "crps", "spread", "spread_skill")
ERROR = {
    "atmorep": 0.8,
    "persistence": 1.3,
    "climatology": 3.0,
    "linear": 0.7,
    "zero_shot": 0.9,
    "damped_persistence": 1.1,
}


def configuration(**changes):
    values = {
        "experiment": "synthetic",
        "source": {"kind": "files", "folder": "somewhere", "pattern": "<b>{field}</b>_{year}{month}.grib"},
        "data": {
            "grid": {"north": 60, "south": 47, "west": -12, "east": 12, "resolution": 0.5},
            "levels": {"type": "pressure", "values": [500, 850, 1000]},
            "periods": {
                "train": [{"start": "2019-01-01", "end": "2019-02-20"}],
                "validation": [{"start": "2019-03-01", "end": "2019-03-10"}],
                "test": [{"start": "2019-03-11", "end": "2019-03-31"}],
            },
        },
        "fields": {"t": None, "msl": None},
        "network": {
            "neighbourhood": {"time": 12, "latitude": 27, "longitude": 45},
            "token_size": {"time": 3, "latitude": 9, "longitude": 9},
        },
        "evaluation": {"regions": {"sea": {"north": 58, "south": 51, "west": -4, "east": 9}}},
    }
    return parse({**values, **changes})


def make(config, tasks=TASKS):
    for name in config.fields:
        make_field(config, name, tasks)


def make_field(config, name, tasks):
    paths, random = Paths(config), np.random.default_rng(len(name))
    for span in data_spans(config.data):
        write_json(paths.part(name, span), {"span": str(span)})
        outcome = {"max_abs_error": 1e-3, "tolerance": 2e-3, "hours": 24 * span.days - 1}
        outcome["missing"] = [f"{span.start}T00"]
        write_json(paths.compared(name, span), outcome)
    make_normalisation(config, name)
    make_model(Paths(config).model(name), f"fields.{name}.")
    paths.evaluation(name).mkdir(parents=True)
    with (paths.evaluation(name) / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(scores(config, name, tasks))
    maps = representative(config, name, random)
    maps.to_netcdf(paths.evaluation(name) / "maps.nc")
    statistics(config, name, random).to_netcdf(paths.evaluation(name) / "statistics.nc")
    calibration(config, name).to_netcdf(paths.evaluation(name) / "calibration.nc")


def make_forecasts(config, task):
    """A fine-tuned forecast task of all fields."""
    folder, random = Paths(config).task_evaluation(task), np.random.default_rng(7)
    leads, baselines = TASKS["forecast"]
    own = {task: (leads, ("zero_shot", *baselines, "damped_persistence"))}
    rows = [row for name in config.fields for row in scores(config, name, own)]
    for name in config.fields:
        (folder / name).mkdir(parents=True)
        for file, made in (("maps", representative), ("statistics", statistics)):
            of_task = made(config, name, random).sel(task=["forecast"]).assign_coords(task=[task])
            of_task.to_netcdf(folder / name / f"{file}.nc")
        of_task = calibration(config, name).sel(task=["forecast"]).assign_coords(task=[task])
        of_task.to_netcdf(folder / name / "calibration.nc")
        make_model(Paths(config).finetuned(task), f"fields.{name}.")
    pd.DataFrame(rows, columns=COLUMNS).to_csv(folder / "metrics.csv", index=False)


def make_normalisation(config, name):
    paths, levels = Paths(config), list(config.model_levels(name))
    shape = (("month", "level"), np.full((12, len(levels)), 270.0) + np.arange(12)[:, None])
    coordinates = {"month": range(1, 13), "level": levels}
    normalisation = xr.Dataset({"mean": shape, "std": (shape[0], shape[1] / 30)}, coordinates)
    paths.normalisation(name).parent.mkdir(parents=True, exist_ok=True)
    normalisation.to_netcdf(paths.normalisation(name))


def make_model(folder, prefix):
    write_text(folder / "config.yaml", "experiment: synthetic\n")
    weights = {f"{prefix}a": np.zeros((3, 5), np.float32), f"{prefix}b": np.zeros(7, np.float32)}
    save_file(weights, folder / "model.safetensors")
    epochs = np.arange(20)
    loss = 0.2 + np.exp(-epochs / 6)
    training = pd.DataFrame(
        {
            "epoch": epochs,
            "step": 64 * (epochs + 1),
            "samples": 1024 * (epochs + 1),
            "train_loss": loss,
            "val_loss": loss * 1.1 + 0.02 * np.sin(epochs),
            "val_rmse": loss / 2,
            "lr": 1e-4 * np.minimum((epochs + 1) / 3, 0.96**epochs),
            "seconds": 12.5,
            "samples_per_second": 81.9,
        }
    )
    training.to_csv(folder / "training.csv", index=False)


def scores(config, name, tasks):
    unit = 100.0 if known_field(name).units == "Pa" else 1.0
    for task, (leads, baselines) in tasks.items():
        for level in config.model_levels(name):
            for lead in leads:
                error = {m: unit * ERROR[m] * (1 + 0.1 * lead + 1e-4 * level) for m in ERROR}
                for region in ("domain", "sea"):
                    yield from _errors(task, (name, level, lead, region), error, baselines, unit)
                if task != "reconstruction":
                    for model, metric, value in of_whole_states(unit):
                        yield _row(task, model, (name, level, lead, "domain"), metric, value, unit)


def _errors(task, place, error, baselines, unit):
    for model in ("atmorep", *baselines):
        for metric in METRICS:
            value = _value(metric, error[model], model)
            if np.isfinite(value):  # what is not defined has no row
                yield _row(task, model, place, metric, value, unit)
    for baseline in baselines:
        difference = error["atmorep"] - error[baseline]
        yield _row(task, "atmorep", place, f"rmse_minus_{baseline}", difference, unit)
        yield _row(task, "atmorep", place, f"crps_minus_{baseline}", 0.6 * difference, unit)


def of_whole_states(unit):
    """Scores that are of predictions that are kept: model, metric and value."""
    for band, share in ((35.2, 0.2), (49.8, 0.5), (70.4, 0.8), (99.6, 1.0)):
        yield "atmorep", f"power_ratio@{band}km", share
        yield "atmorep", f"mean_power_ratio@{band}km", 0.8 * share
    yield "atmorep", "effective_resolution", 49.8
    yield "atmorep", "mean_effective_resolution", 57.0
    for number in range(5):
        yield "atmorep", f"rank@{number}", 0.3 if number in (0, 4) else 0.4 / 3
        yield "atmorep", f"reliability>{280 * unit:g}@{number}", 0.1 + 0.2 * number
        yield "atmorep", f"issued>{280 * unit:g}@{number}", 0.2
    for model in ("atmorep", "target"):
        for share in (0.01, 0.5, 0.99):
            yield model, f"quantile@{share}", unit * (280 + 10 * share)
    for middle in SPREADS:
        yield "atmorep", f"rmse_at_spread@{unit * middle:.3g}", unit * (0.2 + middle)


SPREADS = 2.0 ** (np.arange(-7, 2) / 2)


def calibration(config, name):
    levels, (_, *kept) = list(config.model_levels(name)), TASKS
    leads = sorted({lead for leads, _ in TASKS.values() for lead in leads})
    joint = np.exp(-((np.log(SPREADS)[:, None] - np.log(SPREADS)) ** 2))
    shape = (len(kept), len(leads), len(levels), *joint.shape)
    unit = 100.0 if known_field(name).units == "Pa" else 1.0
    return xr.Dataset(
        {
            "spread_error": (
                ("task", "lead_time", "level", "spread", "error"),
                np.broadcast_to(joint / joint.sum(), shape),
            ),
            "scale": (("task", "level"), np.full((len(kept), len(levels)), unit)),
        },
        {
            "task": kept,
            "lead_time": np.array(leads).astype("timedelta64[h]").astype("timedelta64[ns]"),
            "level": levels,
            "spread": SPREADS,
            "error": SPREADS,
        },
    )


def _value(metric, error, model):
    if model == "climatology" and metric == "acc":
        return np.nan
    if model != "atmorep" and metric in ("spread", "spread_skill"):
        return np.nan
    shares = {"rmse": 1, "mae": 0.8, "bias": -0.1, "crps": 0.6, "spread": 0.9}
    return shares[metric] * error if metric in shares else {"acc": 0.93, "spread_skill": 0.92}[metric]


def _row(task, model, place, metric, value, unit):
    half = 0.15 * unit if metric.startswith("rmse") else 0.05 * abs(value)
    name, level, lead, region = place
    return (task, model, name, level, lead, region, metric, value, value - half, value + half, 20)


def representative(config, name, random):
    grid, levels = Grid.from_config(config.data.grid), list(config.model_levels(name))
    leads = sorted({lead for leads, _ in TASKS.values() for lead in leads})
    shape = (len(TASKS), len(leads), len(levels), *grid.shape)
    lat, lon = np.radians(grid.latitude[:, None]), np.radians(grid.longitude)
    phase = np.arange(len(leads))[:, None, None, None]
    unit, base = (100.0, 1e5) if known_field(name).units == "Pa" else (1.0, 275.0)
    wave = base + unit * (20 * np.cos(lat) ** 2 + 6 * np.sin(8 * lat) * np.cos(6 * lon + 0.3 * phase))
    target = np.broadcast_to(wave, shape).copy()
    for t, (own, _) in enumerate(TASKS.values()):
        for at, lead in enumerate(leads):
            if lead not in own:
                target[t, at] = np.nan
    rough = unit * np.cumsum(np.cumsum(random.normal(size=shape), axis=-1), axis=-2) / 30
    hidden = np.ones(shape)
    tokens = random.random((-(-grid.shape[0] // 9), -(-grid.shape[1] // 9))) < 0.5
    hidden[0] = np.kron(tokens, np.ones((9, 9)))[: grid.shape[0], : grid.shape[1]]
    dims = ("task", "lead_time", "level", "latitude", "longitude")
    values = {
        "target": target,
        "prediction": target + rough,
        "spread": np.where(np.isnan(target), np.nan, unit * (0.5 + 0.2 * np.abs(np.sin(9 * lon + lat)))),
        "baseline": target + 2 * rough[..., ::-1],
        "hidden": hidden,
    }
    units = {"units": known_field(name).units}
    return xr.Dataset(
        {k: (dims, v.astype(np.float32), units if k != "hidden" else {}) for k, v in values.items()},
        {
            "task": list(TASKS),
            "lead_time": np.array(leads).astype("timedelta64[h]").astype("timedelta64[ns]"),
            "level": levels,
            "latitude": grid.latitude,
            "longitude": grid.longitude,
            "init_time": ("task", np.full(3, np.datetime64("2019-03-12T06", "ns"))),
            "baseline_model": ("task", [baselines[0] for _, baselines in TASKS.values()]),
        },
    )


def statistics(config, name, random):
    unit = 100.0 if known_field(name).units == "Pa" else 1.0
    days = np.arange(np.datetime64("2019-03-11"), np.datetime64("2019-04-01")).astype("datetime64[ns]")
    leads = sorted({lead for leads, _ in TASKS.values() for lead in leads})
    levels = list(config.model_levels(name))
    shape = (len(TASKS), len(ERROR), 1, len(days), len(leads), len(levels))
    error = np.array(list(ERROR.values()))[:, None, None, None, None]
    squared = (unit * error * (1 + 0.3 * random.random(shape))) ** 2
    for t, (_, baselines) in enumerate(TASKS.values()):
        absent = [m not in ("atmorep", *baselines) for m in ERROR]
        squared[t, absent] = np.nan
    return xr.Dataset(
        {"squared_error": (("task", "model", "region", "init_time", "lead_time", "level"), squared)},
        {
            "task": list(TASKS),
            "model": list(ERROR),
            "region": ["domain"],
            "init_time": days,
            "lead_time": np.array(leads).astype("timedelta64[h]").astype("timedelta64[ns]"),
            "level": levels,
        },
    )
