"""All that a run needs to go on, in one file that is the same for one process, many, and sharded weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.tensor import DTensor, distribute_tensor

from instantmesh.errors import InputError
from instantmesh.files.atomic import replacing

CHECKPOINT_NAME = "checkpoint.pt"


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        step: optimiser steps done. The learning rate follows from it.
        samples: used so far. What comes next, and every random number of it, follows from this and the seed.
    """

    step: int = 0
    samples: int = 0


def save_checkpoint(
    folder: Path,
    progress: Progress,
    seed: int,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
    *,
    is_main: bool,
) -> None:
    """Write `checkpoint.pt`, whole or not at all. Every process calls it; the main one writes."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = {
        "step": progress.step,
        "samples": progress.samples,
        "seed": seed,
        "model": get_model_state_dict(model, options=options),
        "optimisers": [get_optimizer_state_dict(model, optimiser, options=options) for optimiser in optimisers],
        "average": {name: whole(tensor) for name, tensor in average.items()},
    }
    if is_main:
        with replacing(folder / CHECKPOINT_NAME) as temporary:
            torch.save(state, temporary)


def load_checkpoint(
    folder: Path,
    seed: int,
    model: nn.Module,
    optimisers: list[torch.optim.Optimizer],
    average: dict[str, Tensor],
) -> Progress:
    """Take over what `save_checkpoint` wrote, in place; a fresh run's progress where there is nothing.

    Raises:
        InputError: the checkpoint is of another model, other optimisers or another seed.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return Progress()
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    if state["seed"] != seed:
        raise InputError(f"{path} is of a run with seed {state['seed']}, not {seed}; choose another folder")
    # not strict about optimisers: weights that never had a gradient have no state yet
    strict, lenient = (StateDictOptions(full_state_dict=True, strict=strict) for strict in (True, False))
    try:
        set_model_state_dict(model, state["model"], options=strict)
        for optimiser, saved in zip(optimisers, state["optimisers"], strict=True):
            set_optimizer_state_dict(model, optimiser, saved, options=lenient)
        for name, tensor in average.items():
            tensor.copy_(_like(state["average"][name], tensor))
    except (KeyError, RuntimeError, ValueError) as error:
        raise InputError(f"{path} is of another model or other optimisers; choose another folder ({error})") from error
    return Progress(state["step"], state["samples"])


def whole(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, gathered from all processes where it is spread over them."""
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu()


def _like(whole: Tensor, tensor: Tensor) -> Tensor:
    """`whole`, spread over the processes as `tensor` is."""
    if isinstance(tensor, DTensor):
        return distribute_tensor(whole.to(tensor.device), tensor.device_mesh, tensor.placements)
    return whole.to(tensor.device)
