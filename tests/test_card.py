"""The model card: what it says of the configuration, and the skill it takes from an experiment's scores."""

from pathlib import Path

import pytest
from safetensors.torch import save_file

from atmorep import bundle, card
from atmorep.cli import main
from atmorep.config import load
from atmorep.paths import Paths

METRICS = """task,model,field,level,lead_hours,region,metric,value,lower,upper,n
forecast,atmorep,t,137,6,domain,rmse,1.25,1.0,1.5,40
forecast,atmorep,t,137,6,domain,crps,0.7,0.6,0.8,40
forecast,atmorep,t,137,6,domain,spread_skill,0.9,0.8,1.0,40
forecast,single,t,137,6,domain,rmse,1.5,1.2,1.8,40
forecast,persistence,t,137,6,domain,rmse,3.25,3,3.5,40
forecast,climatology,t,137,6,domain,rmse,2.25,2,2.5,40
forecast,atmorep,t,137,6,holdout,rmse,9,8,10,40
forecast,atmorep,2t,0,6,domain,rmse,8,7,9,40
fine,atmorep,t,0,0,domain,rmse,7,6,8,40
"""


@pytest.fixture
def saved(configure):
    """Return a function that writes a bundle and its metrics."""

    def save(**changes):
        config, fields = configure(**changes), ("t",)
        save_file(bundle.build(config, fields).state_dict(), "weights")
        norms = {name: Paths(config).normalisation(name) for name in fields}
        bundle.save(Path("mine"), config, weights=Path("weights"), log=None, normalisation=norms)
        Path("metrics.csv").write_text(METRICS)
        return Path("mine")

    return save


def test_it_says_data_periods_fields_limits_and_licences(saved):
    text = (saved() / bundle.CARD).read_text()
    for fact in (
        "# AtmoRep: temperature (`t`)",
        "| trained on | 2001-01-25 to 2001-02-15 |",
        "| kept for tests | 2001-02-22 to 2001-02-25 |",
        "model levels (105, 137)",
        "90.0 to -90.0 N, 0.0 to 350.0 E, 10.0 degrees, every 6 h",
        "tokens of 2 steps x 3 x 3 points",
        "## Limits",
        "Weights: Apache-2.0.",
        "contains modified Copernicus Climate Change Service information",
        "Not known when the bundle was written",
    ):
        assert fact in text
    assert "simulated" not in text


def test_what_is_simulated_is_said_and_of_no_copernicus_licence(repository):
    text = card.text(load(repository / "config/demo.yaml"), ("t",), "Apache-2.0", "")
    assert "**simulated**" in text
    assert "Copernicus" not in text


def test_the_skill_is_that_of_the_bundle_and_the_best_baseline(saved):
    folder = saved()
    assert main(["card", str(folder), "--metrics", "metrics.csv", "--output", "card.md"]) == 0
    text = Path("card.md").read_text()
    (row,) = (line for line in text.splitlines() if line.startswith("| forecast |"))
    scores = ["1.25 K [1, 1.5]", "0.7 K [0.6, 0.8]", "0.9 [0.8, 1]", "2.25 K [2, 2.5] (climatology)"]
    assert row == f"| forecast | t | 137 | 6 h | {' | '.join(scores)} |"
    assert "Not known" not in text
    assert text.startswith((folder / bundle.CARD).read_text().partition("## Skill")[0])


def test_a_field_alone_of_a_coupled_experiment_has_its_own_skill(saved):
    folder = saved(fields={"t": {"coupled": ["2t"]}, "2t": {}, "tp": {}})
    assert main(["card", str(folder), "--metrics", "metrics.csv", "--output", "card.md"]) == 0
    assert "| 1.5 K [1.2, 1.8] |" in Path("card.md").read_text()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (None, "cannot be read"),
        ("a,b\n1,2\n", "has no column field, metric, model, task, value"),
        (METRICS.replace(",t,", ",u,"), "scores nothing of mine; give that of the bundle's own experiment"),
    ],
)
def test_scores_that_are_not_the_bundle_s_are_refused(saved, capsys, metrics, message):
    folder = saved()
    Path("metrics.csv").unlink()
    if metrics is not None:
        Path("metrics.csv").write_text(metrics)
    assert main(["card", str(folder), "--metrics", "metrics.csv", "--output", "card.md"]) == 2
    assert message in capsys.readouterr().err
    assert not Path("card.md").exists()
