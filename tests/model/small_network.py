"""A small transformer of one field or of three that are coupled, and what it is given."""

import math

import torch

from atmorep.config import Network
from atmorep.model.field_transformer import FieldShape
from atmorep.model.inputs import Inputs
from atmorep.model.multiformer import Multiformer
from atmorep.sampling.info import FEATURES as FORMS

TOKENS, SIZE, DIM = (2, 4, 3, 2), (2, 3, 4), 128
VOLUME = 24
FEATURES = FORMS["circle"]
NETWORK = {
    "embed_dim": DIM,
    "info_dim": 4,
    "heads": 4,
    "encoder_blocks": 3,
    "decoder_blocks": 2,
    "tails": 3,
    "dropout": 0.0,
}
GUESSES = ["none", "temporal"]


def network(**changes):
    return Network(**{**NETWORK, **changes})


SHAPES = {
    "u": FieldShape(TOKENS, SIZE, DIM, (0.3, 0.6)),
    "v": FieldShape(TOKENS, SIZE, DIM, (0.3, 0.6)),
    "t": FieldShape((1, 4, 2, 1), (2, 5, 8), 64, (0.9,)),  # other levels, tokens and width
}
COUPLED = {"u": ["v", "t"], "v": ["u"], "t": ["u", "v"]}


class Alone(torch.nn.Module):
    """A field alone, called as a function of its inputs."""

    def __init__(self, **changes):
        super().__init__()
        self.whole = Multiformer({"u": SHAPES["u"]}, {"u": []}, network(**changes))
        self.encoder, self.decoder, self.tail = (
            getattr(self.whole.fields["u"], part) for part in ("encoder", "decoder", "tail")
        )

    def forward(self, source, info, blank):
        return self.whole({"u": Inputs(source, info, blank)})["u"]


def transformer(**changes):
    torch.manual_seed(0)
    return Alone(**changes)


def multiformer(fields=("u", "v", "t"), coupled=COUPLED, **changes):
    torch.manual_seed(0)
    coupled = {f: [o for o in coupled[f] if o in fields] for f in fields}
    return Multiformer({f: SHAPES[f] for f in fields}, coupled, network(**changes))


def trained(model):
    """The model with the couplings at work."""
    for name, parameter in model.named_parameters():
        if ".cross." in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return model


def inputs(batch=2, seed=0):
    random = torch.Generator().manual_seed(seed)
    blank = torch.rand(batch, *TOKENS, generator=random) < 0.5
    source = torch.randn(batch, *TOKENS, VOLUME, generator=random)
    return source * ~blank.unsqueeze(-1), torch.randn(batch, *TOKENS, FEATURES, generator=random), blank


def all_inputs(fields=("u", "v", "t"), batch=2):
    made = {}
    for seed, name in enumerate(("u", "v", "t")):
        random = torch.Generator().manual_seed(seed)
        shape = SHAPES[name]
        blank = torch.rand(batch, *shape.tokens, generator=random) < 0.5
        source = torch.randn(batch, *shape.tokens, math.prod(shape.token_size), generator=random)
        info = torch.randn(batch, *shape.tokens, FEATURES, generator=random)
        made[name] = Inputs(source * ~blank.unsqueeze(-1), info, blank)
    return {name: made[name] for name in fields}
