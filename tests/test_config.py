"""The configuration refuses what cannot work, naming key, value and remedy; what is generated is in step."""

import copy

import pytest

from atmorep.config import load, parse
from atmorep.config.stage import GENERATED, write
from atmorep.errors import ConfigError


@pytest.fixture
def values():
    """A valid configuration, whatever the shipped ones are tuned to."""
    return {
        "experiment": "demo",
        "source": {"kind": "simulated"},
        "data": {
            "grid": {"north": 90, "south": -90, "west": 0, "east": 357, "resolution": 3},
            "levels": {"type": "pressure", "values": [850, 500, 250]},
            "periods": {
                "train": [{"start": "2001-01-01", "end": "2001-02-28"}],
                "validation": [{"start": "2001-03-01", "end": "2001-03-15"}],
                "test": [{"start": "2001-03-16", "end": "2001-03-31"}],
            },
        },
        "fields": {"t": {}, "vo": {}},
        "network": {
            "neighbourhood": {"time": 36, "latitude": 15, "longitude": 30},
            "token_size": {"time": 3, "latitude": 5, "longitude": 5},
            "embed_dim": 96,
            "heads": 8,
        },
        "training": {"samples_per_epoch": 512, "batch_size": 8},
        "evaluation": {"lead_hours": [3, 6]},
    }


def changed(values, **keys):
    """Copy of ``values`` with dotted keys (``__`` for the dot) replaced."""
    values = copy.deepcopy(values)
    for key, value in keys.items():
        *parents, last = key.split("__")
        section = values
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return values


def refusal(values):
    with pytest.raises(ConfigError) as caught:
        parse(values)
    return str(caught.value)


@pytest.mark.parametrize(
    "name", ["demo", "config", *(f"examples/{n}" for n in ("uk-2t", "north-atlantic", "western-europe"))]
)
def test_what_is_shipped_is_valid(repository, name):
    config = load(repository / f"config/{name}.yaml")
    assert parse(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("name", ["single-fields", "six-fields", "large", "whole-record"])
def test_what_is_published_is_valid_over_the_full_reproduction(repository, name):
    config = load(repository / "config/config.yaml", repository / f"config/published/{name}.yaml")
    assert config.coupled == (name != "single-fields")
    fields = {"single-fields": 8, "six-fields": 6, "large": 5, "whole-record": 7}
    assert len(config.fields) == fields[name]


def test_published_tokens(repository):
    config = load(repository / "config/config.yaml", repository / "config/published/six-fields.yaml")
    assert config.tokens("u").shape == (12, 3, 6)
    assert config.tokens("t").shape == (12, 2, 4)
    assert config.tokens("tp").shape == (12, 6, 12)


def test_a_mistyped_key(values):
    message = refusal(changed(values, training__epoch=3))
    assert "training.epoch = 3: there is no such key; did you mean 'epochs'?" in message


def test_a_mistyped_key_of_the_source(values):
    assert "source.sed = 1: there is no such key; did you mean 'seed'?" in refusal(
        changed(values, source__sed=1)
    )


def test_an_impossible_token_size(values):
    message = refusal(changed(values, network__token_size__latitude=4))
    assert "network.token_size.latitude = 4 does not divide network.neighbourhood.latitude = 15" in message
    assert "use one of [1, 3, 5, 15]" in message


def test_an_impossible_token_size_of_one_field(values):
    size = {"time": 3, "latitude": 5, "longitude": 7}
    message = refusal(changed(values, fields__t={"token_size": size}))
    assert "fields.t.token_size.longitude = 7 does not divide" in message


def test_a_level_that_is_not_taken(values):
    message = refusal(changed(values, fields__t={"levels": [850, 300]}))
    assert "fields.t.levels: 300 is not one of data.levels.values = [850, 500, 250]; add it" in message


def test_a_level_that_does_not_exist(values):
    assert "there is no model level 138; use 1 to 137" in refusal(
        changed(values, data__levels={"type": "model", "values": [138]})
    )


def test_overlapping_periods(values):
    message = refusal(changed(values, data__periods__test=[{"start": "2001-03-10", "end": "2001-03-31"}]))
    assert "validation (2001-03-01 to 2001-03-15) and test (2001-03-10 to 2001-03-31) overlap" in message
    assert "periods must be disjoint" in message


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"fields__x": {}}, "'x' is not a field AtmoRep knows; use one of"),
        ({"data__time_step": 5}, "data.time_step = 5: 5 hours do not divide a day; use 1, 2, 3"),
        ({"evaluation__lead_hours": [36]}, "36 h must be a positive multiple of data.time_step = 1 h"),
        (
            {"evaluation": {"tasks": ["hindcast"], "lead_hours": []}},
            "evaluation.tasks = ['hindcast']: none can be asked of t",
        ),
        ({"evaluation__thresholds": {"zz": [1]}}, "evaluation.thresholds.zz: is not declared"),
        (
            {"evaluation__regions": {"tropics": {"north": 20, "south": -20, "west": 0, "east": 9}}},
            "evaluation.regions.tropics: is a region of every",
        ),
        ({"network__heads": 10}, "embed_dim = 96 must be even and a multiple of network.heads = 10"),
        ({"network__decoder_heads": 10}, "must be even and a multiple of network.decoder_heads = 10"),
        (
            {"network__heads": 16},
            "embed_dim = 96: network.position = rotary needs an even number of features a head, 8 or more, "
            "which are 6 with network.heads = 16",
        ),
        ({"network__information_parts": []}, "at least 1 item"),
        ({"network__information_parts": ["day", "day"]}, "names a part twice"),
        ({"network__heads": 1}, "leaves 0 of 1 heads of the decoder to the encoder and 1 to its own tokens"),
        ({"network__decoder_cross_ratio": 0.1}, "leaves 0 of 8 heads of the decoder to the encoder"),
        ({"network__decoder_cross_rate": 1.3}, "decoder_blocks = 6 exceeds encoder_blocks = 6 at"),
        ({"network__decoder_blocks": 7}, "decoder_blocks = 7 exceeds encoder_blocks = 6"),
        ({"fields__t__embed_dim": 50}, "fields.t.embed_dim = 50 must be even and a multiple of network"),
        ({"network__info_dim": 96}, "network.info_dim = 96 must be below embed_dim = 96"),
        ({"fields__t__embed_dim": 32}, "fields.t.embed_dim = 32: network.position = rotary needs an even"),
        ({"fields": {"t": {"predicted": False}}}, "fields: none is predicted; set fields.<name>.predicted"),
        (
            {"network__token_size__time": 18, "masking": {"temporal_interpolation": 0.1}},
            "masking.temporal_interpolation = 0.1: needs 3 token steps or more, field t has 2",
        ),
        (
            {"network__token_size__time": 36, "masking": {"forecast": 0.1}, "evaluation__lead_hours": []},
            "masking.forecast = 0.1: needs 2 token steps or more, field t has 1",
        ),
        (
            {"masking": {"forecast": 0.1, "forecast_hours": 34}},
            "masking.forecast_hours: 34 h must be at most 33 h, so that a token step of 3 h stays visible",
        ),
        (
            {
                "masking": {"temporal_interpolation": 0.1},
                "fields__t": {"coupled": ["vo"], "token_size": {"time": 4, "latitude": 5, "longitude": 5}},
                "network__token_size__time": 9,
            },
            "needs 3 token steps or more, fields t, vo have 1 in common",
        ),
        ({"masking": {"forecast": 0.5, "spatial": 0.6}}, "forecast + temporal_interpolation + spatial must"),
        (
            {"fields__t": {"masking": {"ratio_min": 0.95}}},
            "fields.t.masking: with masking, ratio_min = 0.95 exceeds ratio_max = 0.9",
        ),
        ({"fields__t": {"masking": {"masked": 2}}}, "fields.t.masking.masked = 2"),
        ({"network__neighbourhood__latitude": 65}, "exceeds the 61 points of data.grid"),
        ({"data__grid__resolution": 7}, "must be a positive multiple of resolution = 7"),
        ({"data__periods__test": [{"start": "2001-03-31", "end": "2001-03-31"}]}, "holds a neighbourhood of"),
        ({"training__batch_size": 7}, "samples_per_epoch = 512 must be a multiple of batch_size = 7"),
        ({"source": {"kind": "file"}}, "source"),
        ({"experiment": "../up"}, "experiment = '../up'"),
    ],
)  # fmt: skip
def test_refused(values, keys, expected):
    assert expected in refusal(changed(values, **keys))


def test_every_fault_is_named_at_once(values):
    message = refusal(changed(values, training__epoch=3, training__seed=-1))
    assert "training.epoch" in message
    assert "training.seed = -1" in message


def test_a_missing_key(values):
    del values["data"]["periods"]["test"]
    assert "data.periods.test: is missing; add it" in refusal(values)


def test_a_file_that_is_no_yaml(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("fields: [")
    with pytest.raises(ConfigError, match=r"broken\.yaml: cannot be read as YAML"):
        load(path)


def test_generated_files_are_in_step(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()
    for path in GENERATED:
        assert (repository / path).read_text() == path.read_text(), "run 'atmorep schema' and commit"
