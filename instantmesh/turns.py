"""Networks that are on a device by turns, each group when one of it is called."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn


class Turns:
    """Groups of networks of which one is on the device at a time: the one that was called last.

    Args:
        groups: networks that are on the device together, with parameters on the CPU.
        device: where they compute.
    """

    def __init__(self, groups: Sequence[Sequence[nn.Module]], device: torch.device) -> None:
        self.device = device
        self._current: Sequence[nn.Module] = ()
        for group in groups:
            for network in group:
                add_hook_to_module(network, _Turn(self, group))

    def give(self, group: Sequence[nn.Module]) -> None:
        """Bring a group to the device; the one that was there leaves first."""
        if group is self._current:
            return
        for network in self._current:
            nn.Module.to(
                network, "cpu"
            )  # diffusers' own `to` warns of low precision on CPUs, where nothing is computed
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for network in group:
            nn.Module.to(network, self.device)
        self._current = group


class _Turn(ModelHook):
    """Of one network, under accelerate's protocol, which diffusers' VAE and pipelines know too."""

    def __init__(self, turns: Turns, group: Sequence[nn.Module]) -> None:
        self.turns, self.group = turns, group
        self.execution_device = turns.device

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        self.turns.give(self.group)
        return args, kwargs
