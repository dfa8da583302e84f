"""Which networks are on a GPU at the same time: `memory` of `Pipeline.from_pretrained`.

    high      all of them
    low       those of one stage; the other's are offloaded to the computer's memory
    minimal   one network at a time
    auto      the first of these that free memory is enough for

The results are the same in every mode. On CPUs there is nothing to choose: weights are mapped from their files, and the
system takes back what it needs.
"""

import logging
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from instantmesh.errors import InputError

MemoryMode = Literal["auto", "high", "low", "minimal"]

WORK_BYTES = 4_000_000_000
"""Wanted beside the weights: 1.9 GB when the VAE decodes 640 x 960 pixels in float32, where the most is alive at once;
the rest is for libraries and for what the allocator can't use."""

_log = logging.getLogger(__name__)


def place_networks(stages: Sequence[Sequence[nn.Module]], device: torch.device, memory: MemoryMode) -> None:
    """Put the networks of each stage on the device, or offload them to the computer's memory between their calls.

    Args:
        stages: the networks of each stage that are called by themselves, on the CPU.
        device: where they compute.
        memory: see above. "auto" says what it chose, as a log message.
    """
    if device.type == "cpu":
        return
    if memory == "auto":
        free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None
        memory = choose(stages, free)
        _log.info("memory=%r: %s free", memory, "unknown" if free is None else f"{free / 1e9:.1f} GB")
    if memory == "high":
        for network in (network for stage in stages for network in stage):
            nn.Module.to(network, device)
    else:
        from instantmesh.pipeline.offload_hooks import OffloadedGroups  # accelerate takes long to import

        OffloadedGroups(grouped(stages, memory), device)


def choose(stages: Sequence[Sequence[nn.Module]], free_bytes: int | None) -> Literal["high", "low", "minimal"]:
    """The fastest mode that so much free memory is enough for; None is unknown, and taken for enough."""
    for memory in ("high", "low"):
        if free_bytes is None or needed_bytes(stages, memory) <= free_bytes:
            return memory
    return "minimal"


def needed_bytes(stages: Sequence[Sequence[nn.Module]], memory: Literal["high", "low", "minimal"]) -> int:
    """The weights that are on the device together at most, and `WORK_BYTES`."""
    groups = grouped(stages, memory)
    return WORK_BYTES + max(sum(p.nbytes for network in group for p in network.parameters()) for group in groups)


def grouped(
    stages: Sequence[Sequence[nn.Module]], memory: Literal["high", "low", "minimal"]
) -> Sequence[Sequence[nn.Module]]:
    """The networks that are on the device together."""
    if memory == "high":
        return [[network for stage in stages for network in stage]]
    return stages if memory == "low" else [[network] for stage in stages for network in stage]


def check_memory_mode(memory: str) -> None:
    """Refuse an unknown memory mode.

    Raises:
        InputError: no mode goes by that name.
    """
    if memory not in get_args(MemoryMode):
        raise InputError(f"memory must be one of {', '.join(get_args(MemoryMode))}, got {memory!r}")
