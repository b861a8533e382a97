"""A fine-tuned forecast task, rolled out and scored by the command line on a real store."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
import xarray as xr
import yaml
from safetensors.torch import save_file

from atmorep import bundle
from atmorep.cli import main
from atmorep.evaluation.climatology import compute
from atmorep.evaluation.tasks import rolled_out
from atmorep.evaluation.tiles import tiles
from atmorep.inference.rollout import Rollout
from atmorep.paths import Paths
from atmorep.sampling.windows import Window
from atmorep.store.reader import FieldReader

CHANGES = {
    "fields": {"t": {"coupled": ["2t"]}, "2t": {"coupled": ["t"]}, "tp": {"coupled": ["t"]}},
    "finetune": {"ahead": {"kind": "forecast", "hours": 12, "rollout_hours": 36}},
    "evaluation": {"batch_size": 24},
}
LEADS = [6, 12, 24, 36]
FIRST = np.datetime64("2001-02-22T18", "h")
"""Initial time of the first window of the test period: four steps of six are seen."""


def save_untrained(config, folder, seed):
    torch.manual_seed(seed)
    save_file(bundle.build(config, list(config.fields)).state_dict(), "weights")
    open("log", "w").close()
    normalisation = {name: Paths(config).normalisation(name) for name in config.fields}
    folder.parent.mkdir(parents=True, exist_ok=True)
    bundle.save(folder, config, weights=Path("weights"), log=Path("log"), normalisation=normalisation)


def scored(configure, tmp_path, capsys):
    """The configuration and the folder of scores."""
    config = configure(**CHANGES)
    save_untrained(config, Paths(config).finetuned("ahead"), 0)
    save_untrained(config, Paths(config).core("ahead"), 1)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["evaluate-task", "--config", "c.yaml", "--task", "ahead"]) == 0
    assert capsys.readouterr().out.startswith("ahead: 2 initial times, ")
    return config, Paths(config).task_evaluation("ahead")


def rmse(config, states, field, lead):
    """RMSE (level,) of states (init_time, level, row, column) by hand."""
    reader = FieldReader(config, field)
    rows, columns = reader.grid.shape
    start = int(reader.axis.index(FIRST))
    truth = [reader.read(start + 4 * n + lead // 6, 1, 0, rows, 0, columns)[0] for n in range(2)]
    squared = (np.stack(truth).astype(float) - states) ** 2
    return np.sqrt((squared * reader.grid.weights).mean(axis=(0, 2, 3)))


def test_scores_are_those_of_the_rolled_out_members(configure, tmp_path, capsys):
    config, folder = scored(configure, tmp_path, capsys)
    metrics = pd.read_csv(folder / "metrics.csv")
    assert set(metrics.task) == {"ahead"}
    assert set(metrics.field) == set(config.fields)
    assert sorted(set(metrics.lead_hours)) == LEADS
    known = {"persistence", "climatology", "damped_persistence"}
    assert set(metrics.model) == {"atmorep", "zero_shot", "target", *known}
    assert set(metrics.region) == {"domain", "northern", "tropics", "southern"}
    table = metrics[metrics.region == "domain"]
    table = table.set_index(["model", "metric", "field", "lead_hours", "level"]).value.sort_index()
    for field in config.fields:
        with xr.open_zarr(folder / field / "predictions.zarr", decode_timedelta=True) as stored:
            members = stored[field].load()
        assert members.init_time.values[0] == FIRST.astype("datetime64[ns]")
        reader = FieldReader(config, field)
        rows, columns = reader.grid.shape
        last = [
            reader.read(int(reader.axis.index(FIRST)) + 4 * n, 1, 0, rows, 0, columns)[0] for n in range(2)
        ]
        for number, lead in enumerate(LEADS):
            mean = members[:, number].mean("number").to_numpy().reshape(2, -1, rows, columns)
            for model, states in (("atmorep", mean), ("persistence", np.stack(last))):
                found = table[model, "rmse", field, lead].to_numpy()
                np.testing.assert_allclose(found, rmse(config, states, field, lead), rtol=1e-4)
            differences = table["atmorep", "rmse"] - table["zero_shot", "rmse"]
            np.testing.assert_allclose(
                table["atmorep", "rmse_minus_zero_shot", field, lead], differences[field, lead], rtol=1e-4
            )
    assert (table["atmorep", "rmse_minus_zero_shot"].abs() > 0).all()
    check_members(config, folder)
    check_climatology(config, table, tmp_path)
    check_files(config, folder)


def check_members(config, folder):
    """What is stored of a tile is what the roll-out of the fine-tuned model gives there."""
    reader = FieldReader(config, "t")
    tile = tiles(reader.grid, 6, 9)[-1]
    window = Window(int(reader.axis.index(FIRST)) - 3 + 4, tile.row, tile.column)
    model = Rollout.load(config, Paths(config).finetuned("ahead"), 12)
    states = np.concatenate([found["t"][0] for found in model.forecasts([window], 3)], axis=1)
    with xr.open_zarr(folder / "t" / "predictions.zarr") as stored:
        kept = stored["t"][1, :, :, :, tile.rows, tile.columns].to_numpy()
    expected = states[:, [0, 1, 3, 5], ..., tile.inner[0], tile.inner[1]].swapaxes(0, 1)
    np.testing.assert_allclose(kept, expected, rtol=1e-5)


def check_climatology(config, table, tmp_path):
    reader = FieldReader(config, "t")
    means = compute(config, "t", reader, tmp_path / "climatology.npy")
    rows, columns = reader.grid.shape
    times = [FIRST + np.timedelta64(24 * n + 36, "h") for n in range(2)]
    states = means.at(np.array(times), slice(0, rows), slice(0, columns))
    found = table["climatology", "rmse", "t", 36].to_numpy()
    np.testing.assert_allclose(found, rmse(config, states, "t", 36), rtol=1e-4)


def check_files(config, folder):
    """Files say what they are of."""
    assert {path.name for path in folder.iterdir()} == {"manifest.json", "metrics.csv", *config.fields}
    with xr.open_dataset(folder / "tp" / "maps.nc", decode_timedelta=True) as maps:
        assert maps.task.values.tolist() == ["ahead"]
        assert maps.source.endswith(str(Paths(config).finetuned("ahead")))
        assert maps.target.dims == ("task", "lead_time", "level", "latitude", "longitude")
        assert np.isfinite(maps.prediction).all()
    with xr.open_dataset(folder / "t" / "statistics.nc", decode_timedelta=True) as statistics:
        assert statistics.sizes["init_time"] == 2
        hours = statistics.lead_time / np.timedelta64(1, "h")
        assert hours.values.tolist() == LEADS


def test_leads_are_those_within_a_step_and_the_ends_of_steps(configure):
    config = configure(**CHANGES)
    task = rolled_out(config, "ahead")
    assert task.lead_hours == tuple(LEADS)
    assert task.initial_step == 3
    assert task.steps == (4, 5, 7, 9)
    once = config.finetune["ahead"].model_copy(update={"rollout_hours": None})
    alone = config.model_copy(update={"finetune": {"ahead": once}})
    assert rolled_out(alone, "ahead").lead_hours == (6, 12)


def test_a_longer_roll_out_trains_nothing_anew(configure):
    before = Paths(configure(**CHANGES))
    further = {**CHANGES, "finetune": {"ahead": {"kind": "forecast", "hours": 12, "rollout_hours": 48}}}
    after = Paths(configure(**further))
    assert before.finetuned("ahead") == after.finetuned("ahead")
    assert before.task_evaluation("ahead") != after.task_evaluation("ahead")
