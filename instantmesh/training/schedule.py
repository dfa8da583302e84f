"""Optimiser settings and the learning rate over time."""

from collections.abc import Iterable

import torch
from torch import nn

from instantmesh.config import StrictModel


class OptimiserConfig(StrictModel):
    """AdamW with a warm-up, a constant stretch and a linear decay to zero (so that a run can be prolonged)."""

    learning_rate: float
    steps: int
    warmup_steps: int = 100
    decay_steps: int = 0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.95)
    gradient_norm: float = 1.0


def learning_rate(config: OptimiserConfig, step: int) -> float:
    """The learning rate of step 0, 1, ..., `config.steps` - 1."""
    up = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    down = min(1.0, (config.steps - step) / max(config.decay_steps, 1))
    return config.learning_rate * min(up, down)


def adamw(config: OptimiserConfig, parameters: Iterable[nn.Parameter]) -> torch.optim.AdamW:
    """AdamW; vectors (biases, norms) aren't decayed."""
    parameters = list(parameters)
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas)
