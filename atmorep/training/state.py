"""The complete state of a training as one file: weights, average, optimisers, progress; whole on any ranks.

Nothing in it depends on how many ranks, workers or parts of a batch there were, so that a training goes on
with others. Random numbers need no state: each is drawn by seed and step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from atmorep import integrity
from atmorep.errors import IntegrityError
from atmorep.training.progress import Progress

STATE = "state.safetensors"
FORMAT = 2
"""Version of the state's form; raised when a state of before cannot be read as it is."""

_MOMENT = "optimizer."

Modules = Mapping[str, nn.Module]
"""The modules of a training by name; the parameters of ``model`` are those of the optimisers."""


# -- writing ---------------------------------------------------------------------------------------


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of ``tensors`` in memory, whole where they are sharded; all ranks take part.

    Ranks but the first get none, since one copy is enough.
    """
    kept = {}
    for name, tensor in tensors.items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if first_rank():
            kept[name] = full.detach().to("cpu", copy=True).contiguous()
    return kept


def first_rank() -> bool:
    """Whether this process is the one that writes."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def save(
    path: Path, modules: Modules, optimizers: Sequence[Optimizer], progress: Progress, keys: Mapping[str, Any]
) -> None:
    """Write the complete state to ``path`` at once; all ranks take part, the first one writes.

    Args:
        path: file to be.
        modules: the network and, where there is one, its average.
        optimizers: of the network's parameters.
        progress: where the training stands.
        keys: of the configuration that determine the training.
    """
    tensors = gathered(_live(modules, optimizers))
    names = sorted(tensors)
    metadata = {"format": FORMAT, "keys": dict(keys), "progress": progress.plain(), "tensors": names}
    if first_rank():
        with integrity.recorded(path, f"delete {path.parent} to begin anew") as aside:
            save_file(tensors, aside, {"training": json.dumps(metadata)})


def _live(modules: Modules, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    """Return all tensors of a training, in an order that is the same on all ranks."""
    found = {f"{part}.{n}": t for part, module in modules.items() for n, t in module.state_dict().items()}
    states = {p: state for optimizer in optimizers for p, state in optimizer.state.items()}
    for name, parameter in modules["model"].named_parameters():
        found |= {f"{_MOMENT}{name}.{key}": t for key, t in states.get(parameter, {}).items()}
    return found


# -- reading ---------------------------------------------------------------------------------------


def read_progress(path: Path, keys: Mapping[str, Any]) -> Progress:
    """Return where the training whose state is ``path`` stands.

    Args:
        path: the state.
        keys: of the configuration that determine the training that is to go on.

    Raises:
        IntegrityError: if it cannot be read or is of another configuration.
    """
    integrity.checked(path)
    metadata = _metadata(path)
    other = {name for name in {**keys, **metadata["keys"]} if keys.get(name) != metadata["keys"].get(name)}
    if other:
        name = min(other)
        raise IntegrityError(
            f"{path}: is the state of another configuration, with {name} = {metadata['keys'].get(name)} in "
            f"place of {keys.get(name)}; delete its folder to begin anew"
        )
    return Progress.parse(metadata["progress"])


def _metadata(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            metadata: dict[str, Any] = json.loads(file.metadata()["training"])
        if metadata["format"] != FORMAT:
            raise ValueError(f"format {metadata['format']} is not {FORMAT}")
        return {name: metadata[name] for name in ("keys", "progress", "tensors")}
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path}: cannot be read as the state of a training ({error}); delete it to begin anew"
        ) from None


@torch.no_grad()
def restore(path: Path, modules: Modules, optimizers: Sequence[Optimizer]) -> None:
    """Set all tensors of a training to what the state ``path`` says.

    Raises:
        IntegrityError: if it does not hold just the tensors of ``modules`` and ``optimizers``.
    """
    live, parameters = _live(modules, ()), dict(modules["model"].named_parameters())
    states = {p: o.state for o in optimizers for group in o.param_groups for p in group["params"]}
    with safe_open(path, "pt") as file:
        names = set(file.keys())
        _check_same(path, set(_metadata(path)["tensors"]), names)
        moments = {n: n.removeprefix(_MOMENT).rpartition(".") for n in names if n.startswith(_MOMENT)}
        strange = {full for full, (name, _, _) in moments.items() if parameters.get(name) not in states}
        _check_same(path, set(live), names - moments.keys() | strange)
        for name, tensor in live.items():
            tensor.copy_(_placed(path, name, file.get_tensor(name), tensor))
        for full, (name, _, key) in moments.items():
            parameter, value = parameters[name], file.get_tensor(full)
            # counts of steps stay where the optimisers keep them
            placed = _placed(path, full, value, parameter) if value.ndim else value
            states[parameter][parameter][key] = placed


def _check_same(path: Path, wanted: set[str], found: set[str]) -> None:
    if odd := sorted(wanted ^ found):
        what = "lacks" if odd[0] in wanted else "knows, besides,"
        raise IntegrityError(f"{path}: is not of this network: it {what} {odd[0]}; delete it to begin anew")


def _placed(path: Path, name: str, value: Tensor, like: Tensor) -> Tensor:
    """Return ``value`` where ``like`` is, sharded as it is."""
    if value.shape != like.shape:
        raise IntegrityError(
            f"{path}: is not of this network: {name} is {tuple(value.shape)}, not {tuple(like.shape)}; "
            "delete it to begin anew"
        )
    if isinstance(like, DTensor):
        return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return value.to(like.device)
