"""What the loop trains: a stage computes losses of batches, a source makes the batches."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from instantmesh.training.config import StageConfig

Moved = TypeVar("Moved", bound="Batch")
Some = TypeVar("Some", bound="Batch")
Made = TypeVar("Made", bound="Batch", covariant=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Base of all batches: frozen dataclasses whose fields are tensors or batches."""

    def to(self: Moved, device: torch.device | str, *, non_blocking: bool = True) -> Moved:
        """The same batch on `device`."""
        moved = {name: value.to(device, non_blocking=non_blocking) for name, value in vars(self).items()}
        return dataclasses.replace(self, **moved)


@runtime_checkable
class BatchSource(Protocol[Made]):
    """Where batches come from. Called in loader processes: it holds no parameters and stays on the CPU."""

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> Made:
        """The batch of these samples of the run.

        Args:
            samples: their numbers, 0, 1, ... over the whole run, never repeated; a finite data set goes through a
                fresh permutation of its objects in every epoch (`object_numbers`).
            rng: for everything else that is random. It depends on nothing but the run's seed and the samples.
        """
        ...


class Stage(nn.Module, ABC, Generic[Some]):
    """The networks of a stage and their losses; its parameters that require gradients are what is trained.

    The loop may wrap it for several processes, so everything that touches parameters in training happens in `forward`.
    Random numbers there come from torch's global generators, which the loop seeds at every step.
    """

    @abstractmethod
    def forward(self, batch: Some) -> dict[str, Tensor]:
        """Named losses, weighted: their sum is minimised. The same names at every step, on every process."""

    def preview(self, batch: Some) -> dict[str, Tensor]:
        """Images (3, h, w) in [0, 1] of the first objects of a batch, for the log. Called without gradients."""
        return {}

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Write the trained networks into `folder`, in the form in which the library loads them."""


@dataclasses.dataclass(frozen=True)
class StageKind:
    """A kind of stage, which a configuration chooses by `stage: NAME`.

    Attributes:
        config: class of its configuration.
        build: makes the stage and the source of its batches.
    """

    config: type[StageConfig]
    build: Callable[[Any], tuple[Stage, BatchSource]]


def object_numbers(samples: NDArray[np.int64], objects: int, seed: int) -> NDArray[np.int64]:
    """Which of `objects` objects each sample shows: every epoch goes through all of them in an order of its own."""
    epoch, place = np.divmod(samples, objects)
    orders = {int(e): np.random.default_rng([seed, int(e)]).permutation(objects) for e in np.unique(epoch)}
    return np.array([orders[int(e)][p] for e, p in zip(epoch, place, strict=True)], np.int64)
