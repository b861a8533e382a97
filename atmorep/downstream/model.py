"""The network of a downstream task: a pretrained model and its head, and what of them is trained."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MethodType

import torch
from torch import Tensor, nn

from atmorep import bundle
from atmorep.config import Config
from atmorep.config.finetune import Core
from atmorep.downstream.head import Cells, Head, HeadShape
from atmorep.downstream.patches import Patches, Steps
from atmorep.model.field_transformer import Embedded, FieldTransformer
from atmorep.model.inputs import Inputs
from atmorep.model.multiformer import Multiformer
from atmorep.paths import Paths
from atmorep.sampling.tokens import detokenise


class TaskModel(nn.Module):
    """A Multiformer whose decoder's tokens a head takes to a target.

    Args:
        core: the Multiformer.
        head: of the task.
        read: fields whose decoder tokens the head reads.
        steps: which time steps are predicted.
    """

    def __init__(self, core: Multiformer, head: Head, read: Sequence[str], steps: Steps) -> None:
        super().__init__()
        self.core, self.head, self.read, self.steps = core, head, tuple(read), steps

    def forward(self, inputs: Mapping[str, Inputs], cells: Cells) -> Tensor:
        """Predict the target.

        Args:
            inputs: of each field of the core, nothing of them blank.
            cells: what is known of the target's cells.

        Returns:
            Members (B, M, S, R, C), normalised as the target.
        """
        return self.process(self.core.embed(inputs), inputs, cells)

    @property
    def tails(self) -> int:
        """Members."""
        return self.head.tails

    def process(self, embedded: Mapping[str, Embedded], inputs: Mapping[str, Inputs], cells: Cells) -> Tensor:
        """Run the blocks of the core and the head; all shapes are known from those of the arguments."""
        decoded = self.core.decode(embedded, self.read)
        features = [decoded[name][:, :, self.steps.tokens].movedim(1, -2).flatten(-2) for name in self.read]
        values = [
            detokenise(inputs[name].source, shape.token_size)[:, :, self.steps.steps].transpose(1, 2)
            for name, shape in self.core.shapes.items()
        ]
        members: Tensor = self.head(torch.cat(features, dim=-1), torch.cat(values, dim=2), cells)
        return members


def build(config: Config, name: str) -> TaskModel:
    """Return the untrained network of the task ``name``."""
    task, fields = config.target_task(name), Paths(config).task_fields(name)
    read = config.tokens_read(task)
    tokens, patches, levels = config.tokens(read[0]), Patches.of(config, task), config.model_levels
    shape = HeadShape(
        features=sum(len(levels(name)) * config.embed_dim(name) for name in read),
        tokens=(tokens.latitude, tokens.longitude),
        token_size=config.token_size(read[0]).shape,
        values=sum(len(levels(name)) for name in fields),
        statics=len(task.statics) * (2 if patches.refine > 1 else 1),
        patch=patches.shape,
        refine=patches.refine,
    )
    head = Head(shape, task.head, config.network.dropout)
    return TaskModel(bundle.build(config, fields), head, read, Steps.of(config, task))


# -- what is trained -------------------------------------------------------------------------------


def freeze(core: Multiformer, trained: Core, fields: Iterable[str], tails: bool) -> None:
    """Keep what is not trained as it is: it needs no gradient, and stays in evaluation mode.

    Args:
        core: the pretrained model.
        trained: what of it is trained.
        fields: whose decoders are read; those of others have no gradient anyway.
        tails: whether the tails are trained with the decoders.
    """
    if trained == "frozen":
        _keep(core)
    transformers: dict[str, FieldTransformer] = dict(core.fields.items())  # type: ignore[arg-type]
    for name, field in transformers.items():
        behind = {"decoder": name in fields, "tail": name in fields and tails}
        for part, module in field.named_children():
            if not behind.get(part, trained != "decoder"):
                _keep(module)


def _keep(module: nn.Module) -> None:
    """Let ``module`` stay as it is."""
    module.requires_grad_(False)
    module.train = MethodType(_evaluating, module)  # type: ignore[method-assign]
    module.train()


def _evaluating(module: nn.Module, mode: bool = True) -> nn.Module:
    return nn.Module.train(module, False)
