"""Networks offloaded in groups: the group that is called is on the device, the others are in the computer's memory."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn


class OffloadedGroups:
    """Groups of networks of which one is on the device at a time: the one that was called last.

    Args:
        groups: networks that are on the device together, with parameters on the CPU.
        device: where they compute.
    """

    def __init__(self, groups: Sequence[Sequence[nn.Module]], device: torch.device) -> None:
        self.device = device
        self._loaded: Sequence[nn.Module] = ()
        for group in groups:
            for network in group:
                add_hook_to_module(network, _LoadHook(self, group))

    def load(self, group: Sequence[nn.Module]) -> None:
        """Bring a group to the device; the one that was there is offloaded first."""
        if group is self._loaded:
            return
        for network in self._loaded:
            nn.Module.to(
                network, "cpu"
            )  # diffusers' own `to` warns of low precision on CPUs; nothing is computed there
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        for network in group:
            nn.Module.to(network, self.device)
        self._loaded = group


class _LoadHook(ModelHook):
    """Of one network, under accelerate's protocol, which diffusers' VAE and pipelines know too."""

    def __init__(self, groups: OffloadedGroups, group: Sequence[nn.Module]) -> None:
        self.groups, self.group = groups, group
        self.execution_device = groups.device

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple, dict]:
        self.groups.load(self.group)
        return args, kwargs
