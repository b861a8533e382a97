"""The head: where its cells lie, what it starts from, what it can represent."""

import pytest
import torch
from downscaling import FILES, TARGET, TASK
from torch import nn

from atmorep.config.finetune import Head as HeadConfig
from atmorep.downstream.head import Cells, Head, HeadShape, cut
from atmorep.downstream.model import build
from atmorep.model.inputs import Inputs
from atmorep.sampling.tokens import detokenise

CONFIG = HeadConfig(embed_dim=16, heads=2, blocks=1, channels=3, layers=2, tails=4)
SHAPE = HeadShape(
    features=12, tokens=(2, 3), token_size=(2, 3, 2), values=5, statics=2, patch=(4, 3), refine=2
)


@pytest.fixture
def head():
    torch.manual_seed(0)
    return Head(SHAPE, CONFIG, dropout=0.0)


def inputs(batch=2, steps=1):
    torch.manual_seed(1)
    cells = Cells(
        torch.randn(batch, 2 * steps, 8, 6),
        torch.randn(batch, 2, 8, 6),
        torch.tensor([0, 2])[:batch],
        torch.tensor([3, 1])[:batch],
    )
    return torch.randn(batch, steps, 2, 3, 12), torch.randn(batch, 2 * steps, 5, 6, 6), cells


@pytest.mark.parametrize("steps", [1, 3])
def test_shapes(head, steps):
    assert head(*inputs(steps=steps)).shape == (2, 4, 2 * steps, 8, 6)


def test_it_starts_at_the_guess_with_members_a_little_apart(head):
    features, values, cells = inputs()
    departure = head(features, values, cells) - cells.guess.unsqueeze(1)
    assert departure.abs().max() < 0.1
    assert departure.std(1).min() > 0


def test_each_cell_has_the_features_of_its_token(head):
    """Where layers pass on what they are given, tokens are spread as they are joined to fields."""
    for name in ("norm", "enter", "leave_norm", "leave"):
        setattr(head, name, nn.Identity())
    head.blocks = nn.ModuleList()
    tokens = torch.randn(2, 3, 2, 3, 2 * 6 * 4 * 3)
    joined = detokenise(tokens.unflatten(-1, (-1, 3)).movedim(-1, 1), (2, 6, 4))  # B channels S H r W r
    assert torch.equal(head._spread(tokens), joined.transpose(1, 2))


def test_a_patch_is_cut_where_it_lies(head):
    maps, cells = torch.randn(2, 4, 3, 12, 12), inputs()[2]
    found = cut(maps, cells, head.shape)
    assert torch.equal(found[0], maps[0, :, :, 0:8, 6:12])
    assert torch.equal(found[1], maps[1, :, :, 4:12, 2:8])


def test_a_departure_can_be_proportional_to_a_static_field(head):
    features, values, cells = inputs()
    with torch.no_grad():
        head.weights.weight.zero_()
        head.weights.bias.zero_()
        head.weights.bias.view(4, 4)[:, 2] = -0.7  # 1, guess, two static fields
    expected = cells.guess - 0.7 * cells.statics[:, :1]
    torch.testing.assert_close(head(features, values, cells), expected.unsqueeze(1).expand(-1, 4, -1, -1, -1))


def test_what_is_outside_of_the_patch_is_seen_through_the_transformer(head):
    features, values, cells = inputs()
    features.requires_grad_()
    head(features, values, cells).sum().backward()
    assert (features.grad != 0).any(-1).all()  # every token, through attention


def test_core_and_head_compile_to_one_graph(configure):
    """From the embedded tokens on, as the core alone; traced as it would be for any compiler."""
    config = configure(
        targets={"fine": TARGET},
        statics={"relief": {"source": FILES, "variable": "z", "units": "m"}},
        finetune={"downscaling": TASK},
        network={"encoder_tokens": "visible", "first_guess": "temporal"},
    )
    torch.manual_seed(0)
    model = build(config, "downscaling").eval()
    given = Inputs(
        torch.randn(2, 1, 3, 2, 3, 18), torch.randn(2, 1, 3, 2, 3, 10), torch.zeros(2, 1, 3, 2, 3) > 0
    )
    places = torch.tensor([1, 0]), torch.tensor([2, 1])
    cells = Cells(torch.randn(2, 2, 8, 10), torch.randn(2, 2, 8, 10), *places)
    expected = model({"2t": given}, cells)
    model.process = torch.compile(model.process, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(model({"2t": given}, cells), expected)
