"""Optimisers and the learning rate over time."""

import math
from typing import Literal

import torch
from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor, nn

from instantmesh.config import StrictModel
from instantmesh.training.muon import Muon

_SMALLEST_MATRIX = 16


class OptimiserConfig(StrictModel):
    """An optimiser, its length, and a learning rate that follows from the step alone.

    Attributes:
        algorithm: adamw for everything, as the papers have it; or muon for the matrices and adamw for the rest.
        schedule: linear is constant and falls in the last `decay_steps` only, so that a run can be prolonged; cosine
            falls over the whole run, or over every `restart_steps` anew.
        final_learning_rate: where it falls to.
        betas: AdamW's.
        gradient_norm: gradients are scaled down to it.
    """

    learning_rate: PositiveFloat
    steps: PositiveInt
    algorithm: Literal["adamw", "muon"] = "adamw"
    schedule: Literal["linear", "cosine"] = "linear"
    final_learning_rate: NonNegativeFloat = 0.0
    warmup_steps: NonNegativeInt = 100
    decay_steps: NonNegativeInt = 0
    restart_steps: PositiveInt | None = None
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_norm: PositiveFloat = 1.0


def learning_rate(config: OptimiserConfig, step: int) -> float:
    """The learning rate of step 0, 1, ..., `config.steps` - 1."""
    up = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    if config.schedule == "linear":
        high = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    else:
        period = config.restart_steps or config.steps
        high = (1 + math.cos(math.pi * (step % period) / period)) / 2
    return up * (config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * high)


def optimisers(config: OptimiserConfig, module: nn.Module) -> list[torch.optim.Optimizer]:
    """The optimisers of what is trained in `module`.

    Muon takes the weights of linear layers and convolutions. Layers of fewer than `_SMALLEST_MATRIX` rows or columns
    (colours in, distances out) stay with AdamW, as Muon's authors advise for first and last layers; vectors (biases,
    norms) aren't decayed.
    """
    matrices = _matrices(module) if config.algorithm == "muon" else []
    known = {id(weight) for weight in matrices}
    others = [p for p in module.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    adamw = torch.optim.AdamW([g for g in groups if g["params"]], lr=config.learning_rate, betas=config.betas)
    if not matrices:
        return [adamw]
    return [Muon([{"params": matrices}], config.learning_rate, weight_decay=config.weight_decay), adamw]


def _matrices(module: nn.Module) -> list[Tensor]:
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    return [m.weight for m in layers if m.weight.requires_grad and min(m.weight.flatten(1).shape) >= _SMALLEST_MATRIX]
