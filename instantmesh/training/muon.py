"""Muon: momentum whose matrices are made orthogonal (Jordan et al. 2024), in float32 so that it is fast on CPUs.

`torch.optim.Muon` iterates in bfloat16, which costs some hundred times as much as float32 where a CPU emulates it.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of Newton-Schulz's odd polynomial of degree 5: steepest at zero, singular values end within about 0.7 to 1.2."""
_ITERATIONS = 5
_RMS = 0.2
"""Root mean square of an update's entries, AdamW's typical one, so that one learning rate suits both."""


class Muon(torch.optim.Optimizer):
    """For weights that are matrices; a convolution's kernel counts as one row per output channel.

    Args:
        parameters: tensors of two or more dimensions, or groups of them.
        lr: learning rate on AdamW's scale.
        momentum: of Nesterov's momentum.
        weight_decay: decoupled, as AdamW's.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of every parameter that has a gradient."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                update = orthogonalised(parameter.grad.add(momentum, alpha=group["momentum"]).flatten(1))
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                size = _RMS * max(update.shape) ** 0.5
                parameter.add_(update.view_as(parameter), alpha=-group["lr"] * size)


def orthogonalised(matrix: Float[Tensor, "m n"]) -> Float[Tensor, "m n"]:
    """The matrix with its singular values brought near 1 by Newton-Schulz iteration."""
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = wide / (wide.norm() + 1e-7)
    a, b, c = _COEFFICIENTS
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide is matrix else x.T
