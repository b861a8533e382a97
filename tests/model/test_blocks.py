"""Blocks: residual, and the last step of the perceptron as configured."""

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from atmorep.config import Network
from atmorep.model.blocks import DecoderBlock, EncoderBlock, Perceptron
from atmorep.model.inputs import Tokens

NETWORK = {"embed_dim": 16, "info_dim": 4, "heads": 2, "dropout": 0.0}


def test_the_gelu_of_the_released_code_hardly_lowers_its_input():
    torch.manual_seed(0)
    x = torch.randn(4, 50, 16)
    departures = {
        kind: Perceptron(16, Network(**NETWORK, mlp_output=kind), 2)(x) - x for kind in ("linear", "gelu")
    }
    assert departures["gelu"].min() > -0.18  # the minimum of GELU is -0.17
    assert departures["linear"].min() < -0.3


@pytest.mark.parametrize("norm", ["all", "decoder"])
@pytest.mark.parametrize("layers", [2, 4])
def test_a_perceptron_is_its_layers_with_gelu_between(layers, norm):
    torch.manual_seed(0)
    perceptron = Perceptron(16, Network(**NETWORK, layer_norm=norm, mlp_output="linear"), layers).eval()
    x = torch.randn(4, 5, 16)
    linear = [part for part in perceptron.layers if isinstance(part, torch.nn.Linear)]
    assert [part.weight.shape for part in linear] == [(32, 16), *[(32, 32)] * (layers - 2), (16, 32)]
    y = linear[0](layer_norm(x, (16,)) if norm == "all" else x)
    for part in linear[1:]:
        y = part(gelu(y))
    assert torch.allclose(perceptron(x), x + y, atol=1e-6)


def test_encoder_and_decoder_may_have_perceptrons_of_different_depth():
    network = Network(**NETWORK, mlp_layers=3, decoder_mlp_layers=2)
    depths = [
        sum(isinstance(part, torch.nn.Linear) for part in block.mlp.layers)
        for block in (EncoderBlock(16, network, {}), DecoderBlock(16, network))
    ]
    assert depths == [3, 2]


def test_blocks_without_output_weights_pass_their_input_on():
    x, encoded = (Tokens(y, torch.zeros(5, 4), y) for y in torch.randn(2, 2, 5, 16))
    network = Network(**NETWORK)
    blocks = (
        (EncoderBlock(16, network, {}), (x, {})),
        (DecoderBlock(16, network), (x, encoded)),
    )
    for block, arguments in blocks:
        for last in (block.attention.out, block.mlp.layers[-2]):
            for parameter in last.parameters():
                torch.nn.init.zeros_(parameter)
        assert torch.equal(block(*arguments).values, x.values)
