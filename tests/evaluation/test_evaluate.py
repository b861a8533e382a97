"""The stage on a real model bundle, as the command line calls it."""

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from safetensors.torch import save_file

from atmorep import bundle
from atmorep.cli import main
from atmorep.evaluation.stage import evaluate
from atmorep.paths import Paths

from .known import weather


def untrained(config, field, tmp_path):
    """Save a bundle with random weights and the normalisation of :func:`weather`."""
    torch.manual_seed(0)
    save_file(bundle.build(config, [field]).state_dict(), tmp_path / "w.safetensors")
    levels = list(config.store_levels(field))
    constant = {"mean": 283.0, "std": 4.0}
    shape = (12, len(levels))
    dataset = xr.Dataset(
        {k: (("month", "level"), np.full(shape, v, np.float32)) for k, v in constant.items()}
    )
    dataset.assign_coords(level=levels).to_netcdf(tmp_path / "n.nc")
    (tmp_path / "log.csv").write_text("epoch\n0\n")
    bundle.save(
        Paths(config).model(field),
        config,
        weights=tmp_path / "w.safetensors",
        log=tmp_path / "log.csv",
        normalisation={field: tmp_path / "n.nc"},
    )


@pytest.mark.parametrize("field", ["2t", "t"])
def test_command_line_scores_a_bundle(make_store, tmp_path, capsys, field):
    config = make_store(weather, field)
    untrained(config, field, tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["evaluate", "--config", "c.yaml", "--model", field]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == [
        f"{field}, {task}" for task in ("reconstruction", "forecast", "temporal_interpolation")
    ]
    metrics = pd.read_csv(Paths(config).evaluation(field) / "metrics.csv")
    ours = metrics[metrics.model == "atmorep"].pivot_table(
        index=["task", "lead_hours", "level"], columns="metric", values="value"
    )
    assert len(ours) == 5 * len(config.model_levels(field))
    for task in ("reconstruction", "forecast", "temporal_interpolation"):
        scored = ours.loc[task].filter(regex="^[^@]*$").dropna(axis=1, how="all")
        assert scored.notna().all(axis=None)
        assert ("rmse_minus_linear" in scored) == (task != "forecast")
    assert (ours.mae <= ours.rmse).all()
    assert (ours.bias.abs() <= ours.mae).all()


@pytest.mark.parametrize("first_guess", ["none", "temporal"])
def test_what_is_hidden_does_not_enter_the_forecast(make_store, tmp_path, first_guess):
    """Neighbourhoods of 36 h follow each other; their last 12 h are other weather in the second store."""
    origin = np.datetime64("2001-01-01", "h")
    starts = [int((np.datetime64(day, "h") - origin).astype(int)) for day in ("2001-02-15", "2001-04-01")]

    def altered(hours, level, latitude, longitude):
        since = np.where(hours >= starts[1], hours - starts[1], hours - starts[0])
        return weather(hours, level, latitude, longitude) + 20.0 * ((since >= 0) & (since % 36 >= 24))

    predictions, bias = [], []
    for state in (weather, altered):
        config = make_store(state, "t", network={"first_guess": first_guess})
        untrained(config, "t", tmp_path)
        evaluate(config, "t")
        folder = Paths(config).evaluation("t")
        predictions.append(xr.load_dataset(folder / "predictions/forecast.zarr", engine="zarr")["t"])
        metrics = pd.read_csv(folder / "metrics.csv").query("task == 'forecast' and model == 'atmorep'")
        bias.append(metrics[metrics.metric == "bias"].value.to_numpy())
    np.testing.assert_array_equal(*predictions)
    np.testing.assert_allclose(bias[0] - bias[1], 20, rtol=1e-4)


def test_a_missing_bundle_is_named(make_store, tmp_path, capsys):
    config = make_store(weather)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    assert main(["evaluate", "--config", "c.yaml", "--model", "2t"]) == 2
    assert str(Paths(config).model("2t")) in capsys.readouterr().err
    assert not Paths(config).evaluation("2t").exists()
