"""Optimisers and the learning rate over time."""

import torch
from torch import Tensor, nn

from instantmesh.config import StrictModel
from instantmesh.training.muon import Muon

_SMALLEST_MATRIX = 16


class OptimiserConfig(StrictModel):
    """Muon and AdamW with a warm-up, a constant stretch and a linear decay to zero (so that a run can be prolonged)."""

    learning_rate: float
    steps: int
    warmup_steps: int = 100
    decay_steps: int = 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)  # AdamW's
    gradient_norm: float = 1.0


def learning_rate(config: OptimiserConfig, step: int) -> float:
    """The learning rate of step 0, 1, ..., `config.steps` - 1."""
    up = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    down = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    return config.learning_rate * min(up, down)


def optimisers(config: OptimiserConfig, module: nn.Module) -> list[torch.optim.Optimizer]:
    """Muon for the weights of linear layers and convolutions, AdamW for everything else of `module` that is trained.

    Layers of fewer than `_SMALLEST_MATRIX` rows or columns (colours in, distances out) count as everything else, as
    Muon's authors advise for first and last layers; vectors (biases, norms) aren't decayed.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
    matrices = [m.weight for m in layers if m.weight.requires_grad and _smaller_side(m.weight) >= _SMALLEST_MATRIX]
    known = {id(weight) for weight in matrices}
    others = [p for p in module.parameters() if p.requires_grad and id(p) not in known]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [
        Muon([{"params": matrices}], config.learning_rate, weight_decay=config.weight_decay),
        torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas),
    ]


def _smaller_side(weight: Tensor) -> int:
    return min(weight.flatten(1).shape)
