"""`Zero123PlusPipeline` as a `MultiviewGenerator`."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.files.image_files import to_pil, untile
from instantmesh.multiview.generator import Callback, MultiviewGenerator, check_photo
from instantmesh.multiview.reference_attention import Attention, install_reference_attention
from instantmesh.multiview.rig import SIX_VIEW_RIG
from instantmesh.structures import Views

if TYPE_CHECKING:  # diffusers takes seconds to import
    from instantmesh.multiview.zero123plus import Zero123PlusPipeline

DEFAULT_STEPS = 75
FAST_STEPS = 20
_FAST: dict[str, Any] = {"solver": "dpm++", "reference_every": 2}


class Zero123PlusGenerator(MultiviewGenerator):
    """The six fixed views, generated together as one 3 x 2 image.

    The fast mode has a solver of second order and one reference pass for two steps. Its views aren't those of the same
    seed otherwise; `benchmarks/quality/solvers.py` says how good they are.
    """

    rig = SIX_VIEW_RIG
    default_steps = DEFAULT_STEPS
    fast_steps: int | None = FAST_STEPS

    def __init__(self, pipeline: "Zero123PlusPipeline") -> None:
        self.pipeline = pipeline
        self._sampling = Lock()  # a pipeline's scheduler counts its steps: threads wait for each other

    def generate(
        self,
        images: Sequence[Float[Tensor, "3 _ _"]],
        *,
        steps: int = DEFAULT_STEPS,
        guidance_scale: float = 4.0,
        generators: Sequence[torch.Generator] | None = None,
        callback: Callback | None = None,
        fast: bool = False,
    ) -> list[Views]:
        """See `MultiviewGenerator.generate`.

        Raises:
            InputError: a photo is no (3, h, w) image in [0, 1]; there isn't a generator for each; or see
                `Zero123PlusPipeline.__call__`.
        """
        for image in images:
            check_photo(image)

        def on_step_end(_pipeline: Any, step: int, _timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if callback is not None:
                callback(step + 1, steps)
            return tensors

        with self._sampling:
            sheets: Any = self.pipeline(
                [to_pil(image) for image in images],
                num_inference_steps=steps,
                guidance_scale=guidance_scale,
                generator=generators,
                output_type="pt",
                callback_on_step_end=on_step_end,
                **(_FAST if fast else {}),
            ).images
        return [Views(untile(sheet, rows=3, columns=2), self.rig.cameras().to(sheet.device)) for sheet in sheets]

    @property
    def networks(self) -> list[nn.Module]:
        return [part for part in self.pipeline.components.values() if isinstance(part, nn.Module)]

    def set_progress_bar_config(self, **options: Any) -> None:
        """As in diffusers."""
        self.pipeline.set_progress_bar_config(**options)

    def set_attention(self, attention: Attention) -> None:
        install_reference_attention(self.pipeline.unet, attention)

    def compile(self, **options: Any) -> None:
        """See `Zero123PlusPipeline.compile`."""
        self.pipeline.compile(**options)
