"""All randomness of multiview samples in one place."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class NoiseSource:
    """Every random draw of the samples of a batch; torch's global random state is never touched.

    Each sample has a generator of its own, of which it draws in the order of a sample alone, in the same shapes: what
    it draws doesn't depend on its company.

    Args:
        generators: one a sample, on the CPU, for the same draws on every device, or on the device that samples. None is
            a new one with a seed from the system.
    """

    def __init__(self, generators: Sequence[torch.Generator | None]) -> None:
        self.generators = [_new_generator() if generator is None else generator for generator in generators]

    def from_posterior(self, posterior: DiagonalGaussianDistribution) -> Tensor:
        """(n, c, k, l) samples of the VAE's latents, of a posterior of n images."""
        return posterior.sample(self.generators)  # pyright: ignore[reportArgumentType]

    def initial(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """(n, *shape) unit noise that sampling starts from."""
        return randn_tensor((len(self.generators), *shape), generator=self.generators, device=device)

    def reference(self, condition: Tensor) -> Tensor:
        """Unit noise for one reference pass, of the condition's shape: (2 n, c, k, l), n negatives first."""
        pairs = [
            randn_tensor((2, *condition.shape[1:]), generator=generator, device=condition.device)
            for generator in self.generators
        ]
        return torch.stack(pairs, dim=1).flatten(0, 1)

    def step(self, scheduler: Any, prediction: Tensor, timestep: Tensor, latents: Tensor) -> Tensor:
        """The scheduler's step, with its own noise if it draws any."""
        own = {"generator": self.generators} if "generator" in inspect.signature(scheduler.step).parameters else {}
        return scheduler.step(prediction, timestep, latents, return_dict=False, **own)[0]


def _new_generator() -> torch.Generator:
    generator = torch.Generator()
    generator.seed()
    return generator
