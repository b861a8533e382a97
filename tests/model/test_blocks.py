"""Blocks: residual, and the last step of the perceptron as configured."""

import torch

from atmorep.config import Network
from atmorep.model.blocks import DecoderBlock, EncoderBlock, Perceptron
from atmorep.model.inputs import Tokens

NETWORK = {"embed_dim": 16, "info_dim": 4, "heads": 2, "dropout": 0.0}


def test_the_gelu_of_the_released_code_hardly_lowers_its_input():
    torch.manual_seed(0)
    x = torch.randn(4, 50, 16)
    departures = {
        kind: Perceptron(16, Network(**NETWORK, mlp_output=kind))(x) - x for kind in ("linear", "gelu")
    }
    assert departures["gelu"].min() > -0.18  # the minimum of GELU is -0.17
    assert departures["linear"].min() < -0.3


def test_blocks_without_output_weights_pass_their_input_on():
    x, encoded = torch.randn(2, 5, 16), torch.randn(2, 5, 16)
    network = Network(**NETWORK)
    blocks = (
        (EncoderBlock(16, network, {}), (Tokens(x), {})),
        (DecoderBlock(16, network), (x, Tokens(encoded))),
    )
    for block, arguments in blocks:
        for last in (block.attention.out, block.mlp.layers[-2]):
            for parameter in last.parameters():
                torch.nn.init.zeros_(parameter)
        out = block(*arguments)
        assert torch.equal(out.values if isinstance(out, Tokens) else out, x)
