"""The multiview stage as the rest of the package sees it: a photo goes in, six views with cameras come out."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.cameras import six_view_cameras
from instantmesh.errors import InputError
from instantmesh.files.pictures import to_pil, untile
from instantmesh.structures import Views

if TYPE_CHECKING:
    from instantmesh.multiview.zero123plus import Zero123PlusPipeline

EXACT_STEPS = 75
FAST_STEPS = 20
_FAST: dict[str, Any] = {"solver": "dpm++", "reference_every": 2}

Callback = Callable[[int, int], None]
"""Called after each step with (steps done, steps in all)."""


class MultiviewGenerator(Protocol):
    """Anything that turns a photo into views; plug in your own by giving it this method."""

    def generate(
        self,
        photo: Float[Tensor, "3 h w"],
        *,
        steps: int = EXACT_STEPS,
        guidance_scale: float = 4.0,
        generator: torch.Generator | None = None,
        callback: Callback | None = None,
    ) -> Views:
        """Views of the object in `photo`, which is cut out, on white, in [0, 1].

        Args:
            photo: RGB picture of the object.
            steps: denoising steps.
            guidance_scale: how closely the views follow the photo.
            generator: fixes every random draw; None is another result at every call.
            callback: see `Callback`.
        """
        ...


@runtime_checkable
class BatchGenerator(MultiviewGenerator, Protocol):
    """A `MultiviewGenerator` that can do several photos at once, and has a fast mode."""

    def generate_batch(
        self,
        photos: Sequence[Float[Tensor, "3 _ _"]],
        *,
        steps: int = EXACT_STEPS,
        guidance_scale: float = 4.0,
        generators: Sequence[torch.Generator] | None = None,
        callback: Callback | None = None,
        fast: bool = False,
    ) -> list[Views]:
        """The views that `generate` gives of each photo with its generator, but for rounding.

        Args:
            photos: as `generate` takes them, of any sizes.
            generators: one for each photo.
            fast: other views in less time, good with `FAST_STEPS` steps.
        """
        ...


class Zero123PlusGenerator:
    """`Zero123PlusPipeline` as a `MultiviewGenerator`: the six fixed views of `cameras.six_view_cameras`."""

    def __init__(self, pipeline: "Zero123PlusPipeline") -> None:
        self.pipeline = pipeline
        self._painting = Lock()  # a pipeline's scheduler counts its steps: threads wait for each other

    def generate(
        self,
        photo: Float[Tensor, "3 h w"],
        *,
        steps: int = EXACT_STEPS,
        guidance_scale: float = 4.0,
        generator: torch.Generator | None = None,
        callback: Callback | None = None,
        fast: bool = False,
    ) -> Views:
        """See `MultiviewGenerator.generate`, and `fast` below.

        Raises:
            InputError: the photo is no (3, h, w) picture in [0, 1], or see `Zero123PlusPipeline.__call__`.
        """
        generators = None if generator is None else [generator]
        settings: Any = {"steps": steps, "guidance_scale": guidance_scale, "callback": callback, "fast": fast}
        return self.generate_batch([photo], generators=generators, **settings)[0]

    def generate_batch(
        self,
        photos: Sequence[Float[Tensor, "3 _ _"]],
        *,
        steps: int = EXACT_STEPS,
        guidance_scale: float = 4.0,
        generators: Sequence[torch.Generator] | None = None,
        callback: Callback | None = None,
        fast: bool = False,
    ) -> list[Views]:
        """Views of several photos, painted together: those that `generate` gives of each, but for rounding.

        Args:
            photos: as `generate` takes them, of any sizes.
            steps: denoising steps; `FAST_STEPS` are enough for the fast mode.
            guidance_scale: how closely the views follow the photo.
            generators: one for each photo; None is another result at every call.
            callback: see `Callback`.
            fast: a solver of second order, and one reference pass for two steps. The views aren't those of the same
                generator otherwise; `benchmarks/solvers.py` says how good they are.

        Raises:
            InputError: as in `generate`, or there isn't a generator for each photo.
        """
        for photo in photos:
            _check_photo(photo)

        def on_step_end(_pipeline: Any, step: int, _timestep: Tensor, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            if callback is not None:
                callback(step + 1, steps)
            return tensors

        with self._painting:
            painted: Any = self.pipeline(
                [to_pil(photo) for photo in photos],
                num_inference_steps=steps,
                guidance_scale=guidance_scale,
                generator=generators,
                output_type="pt",
                callback_on_step_end=on_step_end,
                **(_FAST if fast else {}),
            ).images
        return [Views(untile(sheet, rows=3, columns=2), six_view_cameras().to(sheet.device)) for sheet in painted]

    @property
    def networks(self) -> list[nn.Module]:
        """The pipeline's, which are called one after the other."""
        return [part for part in self.pipeline.components.values() if isinstance(part, nn.Module)]

    def set_progress_bar_config(self, **options: Any) -> None:
        """As in diffusers."""
        self.pipeline.set_progress_bar_config(**options)

    def compile(self, **options: Any) -> None:
        """See `Zero123PlusPipeline.compile`."""
        self.pipeline.compile(**options)


def _check_photo(photo: Tensor) -> None:
    if photo.ndim != 3 or photo.shape[0] != 3 or 0 in photo.shape or not photo.is_floating_point():
        raise InputError(f"photo must be a float picture (3, h, w), got {tuple(photo.shape)} {photo.dtype}")
    if not bool(((photo >= -1e-4) & (photo <= 1 + 1e-4)).all()):
        raise InputError("photo must lie in [0, 1] (divide 8-bit pictures by 255)")
