"""A U-Net on the target's cells, trained like a downstream task and with as many operations: a baseline.

It is given what the task's head is given but for the tokens: fields and first guess between the points of the
grid, and static fields.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate
from torch.utils.flop_counter import FlopCounterMode

from atmorep.config import Config
from atmorep.downstream.head import DEPARTURE_GAIN, Cells, HeadShape, cut
from atmorep.downstream.inputs import State, Values
from atmorep.downstream.model import TaskModel, build, freeze
from atmorep.downstream.patches import Steps
from atmorep.downstream.predictor import DownstreamPredictor
from atmorep.downstream.problem import TargetCells
from atmorep.errors import IntegrityError
from atmorep.model.field_transformer import FieldShape
from atmorep.model.inputs import Inputs
from atmorep.paths import Paths
from atmorep.sampling.batches import Batch
from atmorep.sampling.tokens import detokenise
from atmorep.training.engine import fit

WEIGHTS, LOG = "unet.safetensors", "unet.csv"

DEEPEST = 3
"""Most resolutions; fewer where a patch is too small to be halved so often."""


class UNet(nn.Module):
    """Convolutions on ever coarser cells and back (Ronneberger et al. 2015, arXiv 1505.04597).

    Args:
        shape: of the task's head.
        shapes: of the fields, in the order of their values.
        steps: which time steps are predicted.
        channels: features of the finest cells; twice as many with each halving.
        tails: members, all of one last convolution.
    """

    def __init__(
        self, shape: HeadShape, shapes: Mapping[str, FieldShape], steps: Steps, channels: int, tails: int
    ) -> None:
        super().__init__()
        self.shape, self.steps, self.tails = shape, steps, tails
        self._tokens = {name: field.token_size for name, field in shapes.items()}
        cells = min(shape.patch) * shape.refine
        widths = [channels * 2**n for n in range(DEEPEST) if cells // 2**n >= 2]
        entered = [shape.values + 1 + shape.statics, *widths]
        self.down = nn.ModuleList(_pair(*both) for both in zip(entered, widths, strict=False))
        back = list(zip(widths[1:], widths[:-1], strict=True))[::-1]
        self.up = nn.ModuleList(_pair(deep + fine, fine) for deep, fine in back)
        self.leave = nn.Conv2d(channels, tails, 1)
        with torch.no_grad():
            for parameter in self.leave.parameters():
                parameter.mul_(DEPARTURE_GAIN)

    def forward(self, inputs: Mapping[str, Inputs], cells: Cells) -> Tensor:
        """Predict the target; arguments and members (B, M, S, R, C) as of a task's model."""
        return self.process(inputs, cells)

    def process(self, inputs: Mapping[str, Inputs], cells: Cells) -> Tensor:
        """Run the network."""
        seen = self._seen(inputs, cells)
        passed = []
        for number, block in enumerate(self.down):
            seen = block(avg_pool2d(seen, 2, ceil_mode=True) if number else seen)
            passed.append(seen)
        for block, finer in zip(self.up, passed[-2::-1], strict=True):
            seen = block(torch.cat([interpolate(seen, size=finer.shape[-2:]), finer], dim=1))
        members = self.leave(seen).unflatten(0, cells.guess.shape[:2])
        return cells.guess.unsqueeze(1) + members.transpose(1, 2)

    def _seen(self, inputs: Mapping[str, Inputs], cells: Cells) -> Tensor:
        """Fields, guess and static fields on the cells of each step (B S, N, R, C)."""
        batch, steps = cells.guess.shape[:2]
        values = torch.cat(
            [
                detokenise(inputs[name].source, size)[:, :, self.steps.steps].transpose(1, 2)
                for name, size in self._tokens.items()
            ],
            dim=2,
        )
        between = interpolate(values.flatten(0, 1), scale_factor=self.shape.refine, mode="bilinear")
        fields = cut(between.unflatten(0, (batch, steps)), cells, self.shape)
        statics = cells.statics.unsqueeze(1).expand(-1, steps, -1, -1, -1)
        return torch.cat([fields, cells.guess.unsqueeze(2), statics], dim=2).flatten(0, 1)


def _pair(entered: int, width: int) -> nn.Sequential:
    """Two convolutions of 3 x 3 cells."""
    return nn.Sequential(
        nn.Conv2d(entered, width, 3, padding=1, padding_mode="replicate"),
        nn.GELU(),
        nn.Conv2d(width, width, 3, padding=1, padding_mode="replicate"),
        nn.GELU(),
    )


def _network(task: TaskModel, problem: TargetCells) -> UNet:
    head = problem.task.head
    return UNet(task.head.shape, task.core.shapes, task.steps, head.channels, head.tails)


def operations(model: nn.Module, problem: TargetCells, batch: Batch) -> int:
    """Floating-point operations of a forward and backward pass of a batch, without computing it."""
    meta = {name: part.to(torch.device("meta")) for name, part in batch.items()}
    with FlopCounterMode(display=False) as counter:
        inputs = {name: meta[name].inputs for name in problem.fields}
        model(inputs, meta[problem.name].cells).sum().backward()
    return int(counter.get_total_flops())


def fit_unet(config: Config, name: str, folder: Path) -> dict[str, float]:
    """Train the U-Net of a task into ``folder``; returns samples seen, and operations a sample.

    It sees as many samples as make the operations of the task's training, in whole batches and the same
    number of epochs, with the same optimisation.
    """
    problem, paths = TargetCells(config, name), Paths(config)
    settings = problem.config.training
    batch = problem.open("train", 0, 1)[0]
    with torch.device("meta"):
        task = build(config, name)
        freeze(task.core, problem.task.core, task.read, tails=False)
        costs = [operations(model, problem, batch) for model in (task, _network(task, problem))]
    batches = max(1, round(settings.steps_per_epoch * costs[0] / costs[1]))
    longer = settings.model_copy(update={"samples_per_epoch": batches * settings.batch_size})
    problem.config = problem.config.model_copy(update={"training": longer})
    torch.manual_seed(settings.seed)
    trained = fit(problem, _network(task, problem), paths.training_state(paths.baseline(name)))
    shutil.copyfile(trained.weights, folder / WEIGHTS)
    shutil.copyfile(trained.log, folder / LOG)
    return {
        "samples": float(longer.samples_per_epoch * longer.epochs),
        "operations_per_sample": costs[1] / settings.batch_size,
        "operations_per_sample_of_task": costs[0] / settings.batch_size,
    }


@dataclass(frozen=True)
class Trained:
    """The U-Net as a baseline; it looks at the neighbourhood that the task's model looks at."""

    predictor: DownstreamPredictor

    @classmethod
    def load(cls, config: Config, name: str, folder: Path) -> Trained:
        """Load what :func:`fit_unet` left in ``folder``.

        Raises:
            IntegrityError: if it is not there, or of another configuration.
        """
        problem = TargetCells(config, name)
        with torch.device("meta"):
            task = build(config, name)
        model = _network(task, problem)
        try:
            model.load_state_dict(load_file(folder / WEIGHTS))
        except (SafetensorError, RuntimeError, OSError) as error:
            raise IntegrityError(
                f"{folder / WEIGHTS}: cannot be read ({error}); delete {folder} and run 'atmorep baselines'"
            ) from None
        reader = problem.open("train", 0, 1).reader
        return cls(DownstreamPredictor(name, model.eval(), problem.scale, reader))

    @property
    def members(self) -> int:
        """Members of the ensemble."""
        return self.predictor.tails

    def predict(self, state: State) -> Values:
        """Predict the middle step of a neighbourhood."""
        steps = self.predictor.steps
        middle = (steps.start + steps.stop) // 2
        return self.predictor.predict([state.time - middle])[0][:, middle - steps.start]
