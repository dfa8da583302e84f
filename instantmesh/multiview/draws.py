"""All randomness of a multiview sample in one place."""

from collections.abc import Sequence

import torch
from diffusers import EulerAncestralDiscreteScheduler
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor


class Draws:
    """Every random draw of a sample, in order, from one generator; torch's global random state is never touched.

    Args:
        generator: on the CPU, for the same draws on every device, or on the device that paints. None is a new one with
            a seed from the system.
    """

    def __init__(self, generator: torch.Generator | None) -> None:
        if generator is None:
            generator = torch.Generator()
            generator.seed()
        self.generator = generator

    def from_posterior(self, posterior: DiagonalGaussianDistribution) -> Tensor:
        """A sample of the VAE's latents."""
        return posterior.sample(self.generator)

    def initial(self, shape: Sequence[int], device: torch.device) -> Tensor:
        """Unit noise that the painting starts from."""
        return randn_tensor(tuple(shape), generator=self.generator, device=device)

    def reference(self, condition: Tensor) -> Tensor:
        """Unit noise for the reference pass of one step, of the condition's shape."""
        return randn_tensor(tuple(condition.shape), generator=self.generator, device=condition.device)

    def ancestral_step(
        self, scheduler: EulerAncestralDiscreteScheduler, prediction: Tensor, timestep: Tensor, latents: Tensor
    ) -> Tensor:
        """The scheduler's step, with its own noise."""
        # the scheduler's annotations know float steps only
        return scheduler.step(prediction, timestep, latents, generator=self.generator, return_dict=False)[0]  # pyright: ignore
