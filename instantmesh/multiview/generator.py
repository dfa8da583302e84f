"""What a multiview generator is to the rest of the package: photos go in, views with cameras come out.

Generators of other packages subclass `MultiviewGenerator`; `pipeline.loading` says how a folder names its generator.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.errors import InputError
from instantmesh.multiview.reference_attention import Attention
from instantmesh.multiview.rig import Rig
from instantmesh.structures import Views

Callback = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all)."""


class MultiviewGenerator(ABC):
    """Turns photos into views of their objects. A subclass states its rig and implements `generate`.

    Attributes:
        rig: where the views are taken from.
        default_steps: denoising steps where the caller asks for none; 1 for a generator without steps.
        fast_steps: of the fast mode; None for a generator that has none.
        networks: the large networks, which are called one after the other, for placing and offloading them.

    Example:
        >>> class Repeat(MultiviewGenerator):
        ...     rig = SIX_VIEW_RIG
        ...     def generate(self, images, **options):
        ...         return [Views(image.expand(6, -1, -1, -1), self.rig.cameras()) for image in images]
        >>> pipe = Pipeline(Repeat(), reconstructor)
    """

    rig: ClassVar[Rig]
    default_steps: int = 1
    fast_steps: int | None = None

    @abstractmethod
    def generate(
        self,
        images: Sequence[Float[Tensor, "3 _ _"]],
        *,
        steps: int,
        guidance_scale: float = 4.0,
        generators: Sequence[torch.Generator] | None = None,
        callback: Callback | None = None,
        fast: bool = False,
    ) -> list[Views]:
        """The views of each photo, those that it would get alone but for rounding.

        Args:
            images: RGB in [0, 1], cut out, on the rig's background; of any sizes.
            steps: denoising steps.
            guidance_scale: how closely the views follow the photo.
            generators: one for each photo, which fixes its random draws; None is another result at every call.
            callback: see `Callback`.
            fast: the fast mode: other views in less time. Only asked for where `fast_steps` isn't None.
        """

    @property
    def networks(self) -> list[nn.Module]:
        return []

    def compile(self, **options: Any) -> None:  # noqa: B027
        """Compile the networks, where the generator can; options are those of `torch.compile`."""

    def set_attention(self, attention: Attention) -> None:
        """Who computes attention.

        Raises:
            InputError: the generator has no such choice.
            MissingBackendError: xformers isn't installed.
        """
        if attention != "sdpa":
            raise InputError(f"{type(self).__name__} has no choice of attention")

    def set_progress_bar_config(self, **options: Any) -> None:  # noqa: B027
        """Options of the progress bar, where the generator has one: `disable=True` hides it."""


def check_photo(image: Tensor) -> None:
    """Refuse what is no photo.

    Raises:
        InputError: not a float image (3, h, w) in [0, 1].
    """
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape or not image.is_floating_point():
        raise InputError(f"the photo must be a float image (3, h, w), got {tuple(image.shape)} {image.dtype}")
    if not bool(((image >= -1e-4) & (image <= 1 + 1e-4)).all()):
        raise InputError("the photo must lie in [0, 1] (divide 8-bit images by 255)")
