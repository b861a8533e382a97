"""Sizes agree with what can be counted by hand, and the shipped models are as large as they say."""

import math
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from atmorep.config import load, parse
from atmorep.sizes import size, sizes

SETTINGS = {
    "experiment": "sizes",
    "source": {"kind": "simulated"},
    "data": {
        "levels": {"values": [105, 137]},
        "periods": {
            "train": [{"start": "2001-01-01", "end": "2001-01-31"}],
            "validation": [{"start": "2001-02-01", "end": "2001-02-10"}],
            "test": [{"start": "2001-02-11", "end": "2001-02-28"}],
        },
    },
    "fields": {"u": {"coupled": ["t"]}, "t": {"embed_dim": 128}},
    "network": {
        "neighbourhood": {"time": 12, "latitude": 18, "longitude": 27},
        "token_size": {"time": 3, "latitude": 9, "longitude": 9},
        "embed_dim": 64,
        "heads": 4,
        "encoder_blocks": 2,
        "decoder_blocks": 2,
        "tails": 3,
    },
    "evaluation": {},
}
TOKENS, WIDTH, VOLUME, INFO = 2 * 4 * 2 * 3, 64, 243, 16


def configuration(**changes):
    return parse({**SETTINGS, "network": {**SETTINGS["network"], **changes}})


def forward_of_u():
    """Operations of the field u alone, from the sizes of its matrices."""
    matrices = VOLUME * (WIDTH - INFO) + 10 * INFO + 4 * 8 * WIDTH**2 + 3 * WIDTH * VOLUME
    attention = 2 * TOKENS**2 * WIDTH * 2 + 2 * 2 * TOKENS**2 * WIDTH
    fold = 3 * WIDTH * VOLUME  # the shift of the tails' norms goes into their bias
    return 2 * (matrices * TOKENS + attention) + 2 * fold


def test_operations_are_those_of_matrices_and_attention():
    found = size(configuration(), ["u"])
    assert found.tokens == TOKENS
    assert found.forward == forward_of_u()
    assert 2.9 < found.step / found.forward <= 3.01


def test_state_is_four_numbers_a_parameter():
    found = size(configuration(), ["u"])
    assert found.state == 16 * found.parameters


def test_a_multiformer_is_its_fields_and_their_couplings():
    u, t, both = sizes(configuration())
    head = WIDTH // 4
    cross = 2 * (WIDTH * head + 2 * 128 * head + head * WIDTH)
    assert both.parameters == u.parameters + t.parameters + cross
    assert both.tokens == u.tokens + t.tokens


def test_what_is_kept_for_the_backward_pass_shrinks_as_it_should():
    plain, deep = size(configuration(), ["u"]), size(configuration(encoder_blocks=4), ["u"])
    assert plain.activations_bf16 == pytest.approx(plain.activations / 2, rel=0.2)
    assert plain.recomputed_bf16 < plain.activations_bf16 / 2
    # a block more keeps what goes in when it is computed again
    token = TOKENS * WIDTH * 2
    assert deep.recomputed_bf16 - plain.recomputed_bf16 == pytest.approx(2 * token, rel=0.5)
    assert deep.activations > plain.activations


def test_the_large_model_has_three_and_a_half_to_four_billion_parameters(repository):
    config = load(*(repository / "config" / name for name in ("config.yaml", "published/large.yaml")))
    each = [size(config, [name]).parameters for name in ("u", "t")]
    width, heads, couplings, blocks = 2048, 16, 13, 10
    cross = couplings * blocks * 4 * width * math.ceil(width / heads)
    assert 3.5e9 < 4 * each[0] + each[1] + cross < 4e9


def test_the_table_in_the_documentation_is_that_of_the_demo_as_it_is(repository):
    """The larger models take too long to be counted at each test."""
    spec = spec_from_file_location("models", repository / "tools/models.py")
    models = module_from_spec(spec)
    spec.loader.exec_module(models)
    page = (repository / "docs/models.md").read_text()
    assert page.startswith(models.HEAD)
    assert models.section("Demo", repository / "config") in page
    for title in (*models.SINGLE, *models.MULTIFORMERS):
        assert f"## {title}" in page
