"""Targets, static fields and tasks are refused where they do not go together, naming key and remedy."""

import pytest
from test_config import changed, refusal, values  # noqa: F401  (fixture)

from atmorep.config import parse
from atmorep.paths import Paths

FILES = {"kind": "files", "folder": "/data", "pattern": "t2m-{year}{month}.nc"}
SIMULATED = {"kind": "simulated", "seed": 0}
ROLLED = {"kind": "forecast", "hours": 3, "rollout_hours": 6}
COUPLED = {"coupled": ["vo"]}


@pytest.fixture
def downstream(values):  # noqa: F811
    return {
        **values,
        "targets": {"fine": {"source": FILES, "variable": "t2m", "units": "K", "field": "2t", "refine": 4}},
        "statics": {"relief": {"source": FILES, "variable": "z", "units": "m"}},
        "finetune": {
            "downscaling": {
                "kind": "target",
                "target": "fine",
                "fields": ["t"],
                "guess": {"field": "t", "level": 850},
                "statics": ["relief"],
            }
        },
    }


def test_a_task_is_accepted(downstream):
    config = parse(downstream)
    assert config.tokens_read(config.finetune["downscaling"]) == ("t",)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"finetune__downscaling__target": "coarse"}, "finetune.downscaling.target: coarse is not declared"),
        ({"finetune__downscaling__statics": ["soil"]}, "soil is not declared; there is relief"),
        ({"finetune__downscaling__guess": {"field": "t", "level": 700}}, "use one of [850, 500, 250]"),
        ({"finetune__downscaling__fields": ["t", "vo"]}, "couple them, or name one field"),
        ({"finetune__downscaling__hed": {}}, "finetune.downscaling.hed = {}: there is no such key; did you"),
        ({"targets__fine__source__pattern": "../{year}.nc"}, "targets.fine.source.pattern = '../{year}.nc'"),
        ({"targets__fine__field": "tp"}, "targets.fine.time.kind: tp is accumulated"),
        (
            {"targets__fine__time": {"kind": "mean", "interval_minutes": 25}},
            "targets.fine.time.interval_minutes = 25 does not divide the 1 h",
        ),
        (
            {
                "targets__fine__source": {"kind": "dwd", "product": "radklim_rw"},
                "targets__fine__time": {"kind": "sum"},
            },
            "end at minute 50; accept that by offset_minutes: 10",
        ),
        ({"targets__fine__vector": "u"}, "vector and partner go together"),
        (
            {"targets__fine__source": {"kind": "dwd", "product": "cosmo_rea6"}},
            "parameter goes with product = cosmo_rea6",
        ),
        (
            {
                "source": {"kind": "simulated"},
                "targets__fine__source": {**SIMULATED, "product": "temperature"},
            },
            "temperature is made from t, u, v; add u, v to fields",
        ),
        (
            {"source": {"kind": "simulated"}, "targets__fine__source": {**SIMULATED, "product": "relief"}},
            "relief is for statics",
        ),
        (
            {
                "source": {"kind": "simulated"},
                "fields": {"tp": {}, "u": {}, "v": {}, "t": {}},
                "data__time_step": 3,
                "targets__fine__source": {**SIMULATED, "product": "radar"},
            },
            "radar is made hour by hour; set data.time_step to 1",
        ),
        (
            {"data__time_step": 3, "finetune__downscaling__scores": {"every_hours": 4}},
            "finetune.downscaling.scores.every_hours = 4 must be a multiple of data.time_step = 3 h",
        ),
        ({"finetune__t": {"kind": "forecast", "hours": 3}}, "finetune.t: is the name of a field"),
        ({"finetune__ahead": {"kind": "forecast", "hours": 4}}, "must be a multiple of 3 h"),
        ({"finetune__ahead": {"kind": "forecast", "hours": 36}}, "at most 33 h"),
        ({"finetune__ahead": {"kind": "forecast", "hours": 3}}, "couple them, or have one"),
        (
            {"finetune__forecast": {"kind": "forecast", "hours": 3}},
            "is what the pretrained model is scored on",
        ),
        (
            {"finetune__ahead": ROLLED | {"rollout_hours": 7}, "fields__t": COUPLED},
            "finetune.ahead.rollout_hours = 7 must be a multiple of hours = 3",
        ),
        (
            {"finetune__ahead": ROLLED, "fields__t": COUPLED, "fields__vo": {"predicted": False}},
            "vo is not predicted, so that it cannot be fed back; set fields.vo.predicted to true",
        ),
        (
            {"finetune__ahead": ROLLED | {"rollout_hours": 9999}, "fields__t": COUPLED},
            "no period of data.periods.test holds the 10032 h",
        ),
        (
            {"finetune__downscaling__holdout": {"north": 1, "south": 0.9, "west": 1, "east": 1.1}},
            "finetune.downscaling.holdout: ",
        ),
        ({"finetune__downscaling__head": {"embed_dim": 24, "heads": 8}}, "embed_dim = 24 must give each of"),
    ],
)
def test_what_does_not_go_together(downstream, keys, words):
    assert words in refusal(changed(downstream, **keys))


@pytest.mark.parametrize("name", ["../x", "a b", "$(id)", "a/b", ""])
def test_names_cannot_leave_their_folder_or_reach_a_shell(downstream, name):
    target = downstream["targets"]["fine"]
    assert "targets" in refusal({**downstream, "targets": {"fine": target, name: target}})


def test_scores_and_machines_train_nothing_anew(downstream):
    before = Paths(parse(downstream))
    scored = parse(changed(downstream, finetune__downscaling__scores={"thresholds": [273.15]}))
    assert Paths(scored).finetuned("downscaling") == before.finetuned("downscaling")
    assert Paths(scored).task_evaluation("downscaling") != before.task_evaluation("downscaling")
    dwd = {"kind": "dwd", "product": "cosmo_rea6", "parameter": "T_2M"}
    here, there = (
        Paths(parse(changed(downstream, targets__fine__source={**dwd, "url": url})))
        for url in ("https://one.example", "https://two.example")
    )
    assert here.target_folder("fine") == there.target_folder("fine")
    assert here.target_folder("fine") != before.target_folder("fine")
