"""The tail ensemble equals its members one by one."""

import pytest
import torch
from torch.nn.functional import gelu, layer_norm

from atmorep.model.tail import TailEnsemble

DIM, VOLUME, MEMBERS = 16, 6, 5


def ensemble(gain=1.0):
    torch.manual_seed(0)
    tail = TailEnsemble(DIM, VOLUME, MEMBERS, gain)
    torch.nn.init.normal_(tail.scale)
    torch.nn.init.normal_(tail.shift)
    return tail.double()


def test_one_product_is_a_loop_over_members():
    tail = ensemble()
    x = torch.randn(2, 7, DIM, dtype=torch.float64)
    found = tail(x)
    assert found.shape == (2, 7, MEMBERS, VOLUME)
    for m in range(MEMBERS):
        expected = layer_norm(x, (DIM,), tail.scale[m], tail.shift[m]) @ tail.weight[m] + tail.bias[m]
        assert torch.allclose(found[:, :, m], expected, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 3])
def test_hidden_layers_are_those_of_each_member(layers):
    torch.manual_seed(0)
    tail = TailEnsemble(DIM, VOLUME, MEMBERS, layers=layers)
    torch.nn.init.normal_(tail.scale)
    torch.nn.init.normal_(tail.shift)
    tail, x = tail.double(), torch.randn(2, 7, DIM, dtype=torch.float64)
    found = tail(x)
    assert found.shape == (2, 7, MEMBERS, VOLUME)
    for m in range(MEMBERS):
        y = layer_norm(x, (DIM,), tail.scale[m], tail.shift[m])
        for layer in tail.hidden:
            y = gelu(y @ layer.weight[m] + layer.bias[m])
        assert torch.allclose(found[:, :, m], y @ tail.weight[m] + tail.bias[m], atol=1e-12)


def test_members_differ_and_are_independent():
    tail, x = ensemble(), torch.randn(2, 7, DIM, dtype=torch.float64)
    members = tail(x)
    assert members.std(2).min() > 0
    members[:, :, 1].sum().backward()
    for parameter in tail.parameters():
        used = parameter.grad.flatten(1).abs().amax(1) > 0
        assert used.tolist() == [False, True, False, False, False]


def test_the_gain_scales_the_initial_output():
    x = torch.randn(2, 7, DIM)
    torch.manual_seed(0)
    full = TailEnsemble(DIM, VOLUME, MEMBERS)(x)
    torch.manual_seed(0)
    small = TailEnsemble(DIM, VOLUME, MEMBERS, 0.05)(x)
    assert torch.allclose(small, 0.05 * full, atol=1e-6)
