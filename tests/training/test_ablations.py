"""The table of ablations: what is compared is trained alike, and differences are those of the same seed."""

import importlib
import sys

import pandas as pd
import pytest
import yaml

from atmorep.config import load, parse
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


@pytest.mark.parametrize(
    ("plan", "base"), [("ablations", "demo"), ("western-europe", "examples/western-europe")]
)
def test_every_variant_of_the_shipped_plans_is_possible(ablations, repository, plan, base):
    text = (repository / "benchmarks" / f"{plan}.yaml").read_text()
    shipped = ablations.Plan.model_validate(yaml.safe_load(text))
    experiment = load(repository / "config" / f"{base}.yaml").model_dump(mode="json")
    for group in shipped.groups:
        assert group.reference in group.variants
        for name, changes in group.variants.items():
            assert parse(ablations.merged(ablations.merged(experiment, shipped.common), changes), name)


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
    assert rows["| published"][3] == "reference"
    assert rows["| rotary"][4] == rows["| published"][4]  # operations
    trained = [load(path) for path in (tmp_path / "models").glob("*/config.yaml")]
    assert {(c.network.position, c.training.seed) for c in trained} == {
        (position, seed) for position in ("published", "rotary") for seed in (0, 1)
    }
    bundles = {Paths(c).model("2t") for c in trained}
    assert len(bundles) == 4


@pytest.fixture
def found():
    """Two variants whose seeds differ by far more than they do; the other takes half the operations."""
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "loss": scale * loss, "rmse": scale * loss, "parameters": 10}
            | {"flops": flops, "seconds": 0.1, "samples": 1000}
            | {"epochs": [scale * loss * late for late in (2.0, 1.05, 1.0)]}
            for name, scale, flops in (("one", 1.0, 2e9), ("other", 0.9, 1e9))
            for seed, loss in enumerate([1.0, 2.0, 4.0])
        ]
    )


def test_differences_are_taken_seed_by_seed(ablations, found):
    rows = [row.split(" | ") for row in ablations.table(found, "one", "loss")]
    assert rows[2][:4] == ["| one", "2.3333", "2.3333", "reference"]
    assert rows[3][:4] == ["| other", "2.1000", "2.1000", "-10.0 % ± 0.0 %"]


def test_operations_are_those_until_the_error_is_the_least_of_the_reference(ablations, found):
    """One reaches its own least after three epochs, the other after two: 0.9 x 1.05 < 1."""
    spent = ablations.reached(found, "one")
    assert spent["one"].tolist() == [3 * 1000 * 2e9] * 3
    assert spent["other"].tolist() == [2 * 1000 * 1e9] * 3
    assert list(ablations.table(found, "one", "rmse"))[3].split(" | ")[5] == "2.000 (3.0 x less)"
    worse = found.assign(epochs=[[9.0] if name == "other" else [1.0] for name in found["variant"]])
    assert list(ablations.table(worse, "one", "rmse"))[3].split(" | ")[5] == "never"


def test_visible_tokens_only_take_fewer_operations(ablations, configure):
    all_tokens, visible = (
        ablations.cost(configure(network={"encoder_tokens": kind}, masking={"ratio_min": 0.8}), "t")
        for kind in ("all", "visible")
    )
    assert visible["parameters"] == all_tokens["parameters"]
    assert 0.4 < visible["flops"] / all_tokens["flops"] < 0.8


def test_sections_are_changed_key_by_key(ablations):
    base = {"a": {"x": 1, "y": {"z": 2}}, "b": None}
    assert ablations.merged(base, {"a": {"y": {"z": 3}}, "b": {"c": 4}}) == {
        "a": {"x": 1, "y": {"z": 3}},
        "b": {"c": 4},
    }
