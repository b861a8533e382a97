"""The table of ablations: what is compared is trained alike, and differences are those of the same seed."""

import importlib
import sys

import pandas as pd
import pytest
import yaml

from atmorep.config import load
from atmorep.paths import Paths

PLAN = {
    "field": "2t",
    "common": {"training": {"epochs": 1}},
    "groups": [
        {
            "title": "Positional encoding",
            "reference": "published",
            "seeds": [0, 1],
            "variants": {
                "published": {"network": {"position": "published"}},
                "rotary": {"network": {"position": "rotary"}},
            },
        }
    ],
}


@pytest.fixture
def ablations(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository / "benchmarks")
    return importlib.import_module("ablations")


def test_every_variant_is_trained_with_every_seed_and_compared(
    ablations, configure, monkeypatch, tmp_path, capsys
):
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(configure().model_dump(mode="json")))
    monkeypatch.setattr(sys, "argv", ["ablations", "config.yaml", "plan.yaml"])
    ablations.main()
    printed = capsys.readouterr().out
    rows = {line.split(" | ")[0]: line.split(" | ") for line in printed.splitlines() if line.count("|") > 3}
    assert printed.startswith("## Positional encoding\n\nMean of 2 seeds.\n")
    assert {"| published", "| rotary"} < set(rows)
    assert rows["| published"][2] == "reference"
    assert float(rows["| rotary"][4]) == pytest.approx(float(rows["| published"][4]), rel=0.01)
    trained = [load(path) for path in (tmp_path / "models").glob("*/config.yaml")]
    assert {(c.network.position, c.training.seed) for c in trained} == {
        (position, seed) for position in ("published", "rotary") for seed in (0, 1)
    }
    bundles = {Paths(c).model("2t") for c in trained}
    assert len(bundles) == 4


def test_differences_are_taken_seed_by_seed(ablations):
    """Seeds differ by far more than the variants here."""
    losses = {"one": [1.0, 2.0, 4.0], "other": [0.9, 1.8, 3.6]}
    found = pd.DataFrame(
        [
            {"variant": name, "seed": seed, "loss": loss, "rmse": 1.0, **COST}
            for name, values in losses.items()
            for seed, loss in enumerate(values)
        ]
    )
    rows = list(ablations.table(found, "one"))
    assert rows[2].startswith("| one | 2.3333 | reference |")
    assert rows[3].startswith("| other | 2.1000 | -10.0 % ± 0.0 % |")


COST = {"flops": 1e6, "parameters": 10, "seconds": 0.1}


def test_sections_are_changed_key_by_key(ablations):
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": None}
    assert ablations.merged(base, {"a": {"y": {"z": 3}}, "b": {"c": 4}}) == {
        "a": {"x": 1, "y": {"z": 3}},
        "b": {"c": 4},
    }
