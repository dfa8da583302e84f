"""One photograph to a coloured mesh: the stages wired together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.batches import attempt, finished_behind, generators_of, prepared_batches, worker_beside
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.finishing import Finished, Finishing, finish_as
from instantmesh.images import prepare
from instantmesh.loading import load_multiview, load_reconstruction
from instantmesh.lrm.heads import RadianceField, SurfaceField
from instantmesh.memory import arrange, check_memory_mode
from instantmesh.multiview.generator import EXACT_STEPS, FAST_STEPS, BatchGenerator
from instantmesh.reconstruction import Reconstructor
from instantmesh.result import Result
from instantmesh.settings import Settings
from instantmesh.structures import Cameras, Mesh, Views

if TYPE_CHECKING:
    from instantmesh.images.cutout import Background
    from instantmesh.images.reading import ImageSource
    from instantmesh.memory import MemoryMode
    from instantmesh.multiview.generator import MultiviewGenerator

DEFAULT_MODEL = "instant-mesh-large"

Paint = Callable[[list[Tensor], list[int]], list[Views]]
"""Prepared photos and their numbers among those given, to the views that the reconstruction starts from."""


@dataclass(frozen=True, eq=False)
class _Extracted:
    """What is known of a photo when its mesh is extracted and not yet finished; names as in `Result`."""

    photo: Float[Tensor, "3 s s"]
    views: Views
    posed: Views
    field: SurfaceField | RadianceField
    mesh: Mesh


class Pipeline:
    """Photo -> six views -> mesh; photo -> mesh with a single-view system. Build one with `from_pretrained`, or from
    stages of your own.

    Attributes:
        multiview: paints the six views; None for a single-view system, or where only `reconstruct` is wanted.
        reconstructor: turns views into a mesh.
    """

    def __init__(self, multiview: "MultiviewGenerator | None", reconstructor: Reconstructor) -> None:
        self.multiview = multiview
        self.reconstructor = reconstructor

    @classmethod
    def from_pretrained(
        cls,
        name: str | PathLike[str] = DEFAULT_MODEL,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        cache_dir: str | PathLike[str] | None = None,
        local_files_only: bool = False,
        *,
        multiview: bool = True,
        memory: "MemoryMode" = "auto",
    ) -> "Pipeline":
        """Load a model by name ("tiny" comes with the package; `instantmesh models` lists all) or from a folder.

        Args:
            name: a model's name, or a folder in the layout of `instantmesh.loading`.
            device: "auto" takes CUDA where there is one.
            dtype: of the multiview stage, and of the matrix products in the reconstruction's encoder and transformer;
                its fields and surfaces are computed in float32 in any case. "auto" is float32 on CPUs; on CUDA float16
                for the first and bfloat16 (on older GPUs float32) for the second, see docs/performance.md.
            cache_dir: where downloads are kept; None is Hugging Face's own cache (files put by hand: docs/models.md).
            local_files_only: never use the network.
            multiview: False leaves out the first stage, for `reconstruct` alone.
            memory: of a GPU. "high" keeps both stages there, "low" one at a time, "minimal" one network at a time;
                "auto" is the first of these that free memory is enough for. The results are the same.

        Raises:
            UnknownModelError: no such name; the nearest is suggested.
            MissingFileError: files are neither here nor to be downloaded; the message says what to put where.
            CheckpointError: a file is damaged, unsafe, or another variant's.
            InputError: no such device, dtype or memory mode.
        """
        check_memory_mode(memory)
        place, cpu = _device(device), torch.device("cpu")
        precision, products = _dtypes(dtype, place)
        reconstruction = load_reconstruction(str(name), cpu, torch.float32, cache_dir, local_files_only)
        generator = None
        if multiview and not reconstruction.single_view:
            generator = load_multiview(str(name), cpu, precision, cache_dir, local_files_only)
        reconstructor = Reconstructor(reconstruction, products)
        reconstructor.place_small_parts(place)
        stages = [reconstructor.networks] if generator is None else [generator.networks, reconstructor.networks]
        arrange(stages, place, memory)
        return cls(generator, reconstructor)

    def compile(self, **options: Any) -> None:
        """Compile the networks of both stages, as far as they can be: the first result takes longer, those after it
        less time, and the numbers are the same within rounding.

        Args:
            options: of `torch.compile`; `mode="reduce-overhead"` records CUDA graphs.
        """
        self.reconstructor.compile(**options)
        compile_stage = getattr(self.multiview, "compile", None)  # a stage of your own may have none
        if compile_stage is not None:
            compile_stage(**options)

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of the bars that count denoising steps, as diffusers has it: `disable=True` shows none."""
        set_stage = getattr(self.multiview, "set_progress_bar_config", None)
        if set_stage is not None:
            set_stage(**options)

    @overload
    def __call__(self, photo: "ImageSource", **settings: Any) -> Result: ...

    @overload
    def __call__(self, photo: "list[ImageSource] | tuple[ImageSource, ...]", **settings: Any) -> list[Result]: ...

    def __call__(  # pyright: ignore[reportInconsistentOverload]
        self,
        photo: "ImageSource | list[ImageSource] | tuple[ImageSource, ...]",
        *,
        seed: int | list[int] | None = None,
        generator: torch.Generator | None = None,
        batch_size: int = 1,
        steps: int | None = None,
        fast: bool = False,
        guidance_scale: float = 4.0,
        background: "Background" = "auto",
        scale: float = 1.0,
        resolution: int | None = None,
        min_component_area: float = 1.0,
        target_faces: int | None = None,
        watertight: bool = False,
        texture_size: int | None = None,
        blend_views: bool = False,
        callback: Callable[[int, int], None] | None = None,
    ) -> Result | list[Result]:
        """Make a mesh from one photograph, or one from each of several, `batch_size` at a time; `stream` gives the
        results of many photos one by one.

        Single-view systems draw nothing at random and denoise nothing: `seed`, `generator`, `steps`, `fast`,
        `guidance_scale` and `callback` are for the others.

        Args:
            photo: path, PIL image, array (h, w, 3 or 4) or tensor (3 or 4, h, w); 8-bit, or float in [0, 1]. A list of
                them gives a list of results, those of calls one by one but for rounding.
            seed: fixes every random draw; or pass a `generator`. It is the same for each photo of a list; or give a
                list of seeds.
            generator: source of all random draws, instead of `seed`, for one photo.
            batch_size: how many photos are worked on together. It takes memory, and is faster on GPUs only.
            steps: denoising steps; None is 75, or 20 in the fast mode.
            fast: other views, by a better solver in fewer steps; see `Zero123PlusGenerator.generate_batch`.
            guidance_scale: how closely the views follow the photo.
            background: how the object is told from its background, see `instantmesh.images.cut_out`.
            scale: of the cameras' distance (4.0) as the reconstruction stage is told; above 1 the mesh grows. Only
                for systems that are told one.
            resolution: of the extraction grid; the model's own by default.
            min_component_area, target_faces, watertight, texture_size, blend_views: how the mesh is finished, see
                `reconstruct`. Painted views are blended in on request only: `tiny`'s don't agree well enough for their
                detail to gain anything (benchmarks/texture_views.py).
            callback: called after each denoising step with (steps done, steps in all).

        Raises:
            ImageError: unreadable, too small, or without foreground. EmptySurfaceError: no surface came out. Of a list
                the first such error ends the call.
            InputError: an argument that can't be, found before any work is done.
        """
        settings = Settings.of(
            seed=seed,
            generator=generator,
            batch_size=batch_size,
            steps=steps,
            fast=fast,
            guidance_scale=guidance_scale,
            background=background,
            scale=scale,
            resolution=resolution,
            min_component_area=min_component_area,
            target_faces=target_faces,
            watertight=watertight,
            texture_size=texture_size,
            blend_views=blend_views,
            callback=callback,
        )
        results = []
        for outcome in self._outcomes(photo if isinstance(photo, list | tuple) else [photo], settings):
            if isinstance(outcome, InstantMeshError):
                raise outcome
            results.append(outcome)
        return results if isinstance(photo, list | tuple) else results[0]

    def stream(self, photos: "Sequence[ImageSource]", **settings: Any) -> Iterator[Result | InstantMeshError]:
        """The results of many photos one by one; a photo that fails gives its error in its place, and the others go on.

        While a GPU works on a batch, the photos of the next one are prepared and the meshes of the last one are
        finished in other threads; the results of a batch then come when the GPU is through with the next one.

        Args:
            photos: as in `__call__`.
            settings: arguments of `__call__` with the same names and defaults.

        Raises:
            InputError: an argument that can't be, found before any work is done.
        """
        return self._outcomes(photos, Settings.of(**settings))

    def _outcomes(self, photos: "Sequence[ImageSource]", settings: Settings) -> Iterator[Result | InstantMeshError]:
        if isinstance(photos, str) or not isinstance(photos, Sequence) or not photos:
            raise InputError("photos must be a list of one or more")
        model = self.reconstructor.model
        if model.single_view and settings.scale != 1:
            raise InputError(f"scale must be 1 for single-view systems, got {settings.scale}")
        paint, level = _as_it_is, model.background
        if not model.single_view:
            paint, level = self._painter(len(photos), settings), 1.0
        device = self.reconstructor.device
        ready = partial(prepare, background=settings.background, background_level=level)
        extracted = (
            self._extracted(prepared, numbers, paint, settings)
            for numbers, prepared in prepared_batches(ready, photos, settings.batch_size, worker_beside(device))
        )
        return finished_behind(extracted, partial(self._result, wishes=settings.finishing), worker_beside(device))

    @torch.no_grad()
    def _extracted(
        self, prepared: Sequence[Tensor | InstantMeshError], numbers: Sequence[int], paint: Paint, settings: Settings
    ) -> list[_Extracted | InstantMeshError]:
        """A batch through the networks, to meshes; errors stay in their places."""
        kept = [(x, number) for x, number in zip(prepared, numbers, strict=True) if not isinstance(x, InstantMeshError)]
        if not kept:
            return [x for x in prepared if isinstance(x, InstantMeshError)]
        batch = paint([x for x, _ in kept], [number for _, number in kept])
        posed = batch if settings.scale == 1 else [_at_scale(views, settings.scale) for views in batch]
        fields = self.reconstructor.encode_batch(posed)

        def extract(number: int) -> _Extracted:
            mesh = self.reconstructor.extract(fields[number], settings.resolution)
            return _Extracted(kept[number][0], batch[number], posed[number], fields[number], mesh)

        made = (attempt(extract, number) for number in range(len(kept)))
        return [x if isinstance(x, InstantMeshError) else next(made) for x in prepared]

    @torch.no_grad()
    def _result(self, of: _Extracted, wishes: Finishing) -> Result:
        finished = self._finished(of.mesh, of.field, of.posed, wishes)
        ray_renderer = self.reconstructor.ray_renderer(of.field)
        return Result(finished.mesh, of.views, of.photo, of.posed, of.field, ray_renderer, finished.steps)

    def generate_views(
        self,
        photo: "ImageSource",
        *,
        seed: int | None = None,
        generator: torch.Generator | None = None,
        steps: int | None = None,
        fast: bool = False,
        guidance_scale: float = 4.0,
        background: "Background" = "auto",
        callback: Callable[[int, int], None] | None = None,
    ) -> Views:
        """The six views of the object in a photograph; arguments and errors as in `__call__`."""
        settings = Settings.of(
            seed=seed, generator=generator, steps=steps, fast=fast, guidance_scale=guidance_scale, callback=callback
        )
        return self._painter(1, settings)([prepare(photo, background=background)], [0])[0]

    def reconstruct(
        self,
        views: Views,
        *,
        resolution: int | None = None,
        min_component_area: float = 1.0,
        target_faces: int | None = None,
        watertight: bool = False,
        texture_size: int | None = None,
        blend_views: bool = True,
    ) -> Mesh:
        """A mesh from views: any number with any poses, or, with a single-view system, one.

        It is finished as `instantmesh.finish` does it; `pipeline.reconstructor(views)` gives it as it was extracted.

        Args:
            views: pictures with their cameras; the object at the origin, inside [-1, 1]^3. On white; TripoSR's on
                grey (0.5), without a camera. OpenLRM's camera may be left out.
            resolution: of the extraction grid; the model's own by default.
            min_component_area: loose parts stay if they have at least this share of the largest one's area: 1 keeps the
                largest alone, 0 all.
            target_faces: how many faces are wanted, 4 or more; None keeps all. Never so few that the shape suffers, see
                `instantmesh.simplify`.
            watertight: make it a solid that can be printed.
            texture_size: side in texels of the texture that the mesh gets, filled with the field's colours; None gives
                none, the vertices carry colours in any case.
            blend_views: where the views see the surface well, their finer detail goes into the texture.

        Raises:
            EmptySurfaceError: no surface came out. InputError, CameraError: an argument that can't be, more views than
                the system takes, cameras missing, or given where none is used.
        """
        if not isinstance(views, Views):
            raise InputError(f"reconstruct takes Views(images, cameras), got {type(views).__name__}")
        settings = Settings.of(
            resolution=resolution,
            min_component_area=min_component_area,
            target_faces=target_faces,
            watertight=watertight,
            texture_size=texture_size,
            blend_views=blend_views,
        )
        with torch.no_grad():
            field = self.reconstructor.encode(views)
            return self._finished(self.reconstructor.extract(field, resolution), field, views, settings.finishing).mesh

    def _finished(self, mesh: Mesh, field: SurfaceField | RadianceField, views: Views, wishes: Finishing) -> Finished:
        """The finished mesh of a field, with its colours and those of the views that it comes from."""
        detail = None if views.cameras is None else views  # single-view systems don't know where theirs was taken
        return finish_as(wishes, mesh, field.colors, detail)

    def _painter(self, count: int, settings: Settings) -> Paint:
        """What paints the views of `count` photos; refused before any work is done if it can't be."""
        stage = self.multiview
        if self.reconstructor.model.single_view:
            raise InputError(f"{self.reconstructor.model.system} has no multiview stage: it goes from photo to mesh")
        if stage is None:
            raise InputError("this pipeline was loaded without its multiview stage; it can only reconstruct views")
        generators = generators_of(count, settings.seed, settings.generator)
        steps = (FAST_STEPS if settings.fast else EXACT_STEPS) if settings.steps is None else settings.steps
        how: Any = {"steps": steps, "guidance_scale": settings.guidance_scale, "callback": settings.callback}
        if isinstance(stage, BatchGenerator):
            together = partial(stage.generate_batch, fast=settings.fast, **how)
            return lambda photos, numbers: together(photos, generators=generators and [generators[k] for k in numbers])
        if settings.fast:
            raise InputError(f"{type(stage).__name__} has no fast mode")
        return lambda photos, numbers: [
            stage.generate(photo, generator=None if generators is None else generators[k], **how)
            for photo, k in zip(photos, numbers, strict=True)
        ]


def _as_it_is(photos: list[Tensor], _: list[int]) -> list[Views]:
    """For single-view systems, which reconstruct from the photo itself."""
    return [Views(photo[None]) for photo in photos]


def _at_scale(views: Views, scale: float) -> Views:
    pose = views.known_cameras.camera_to_world.clone()
    pose[:, :3, 3] *= scale
    return Views(views.images, Cameras(pose, views.known_cameras.intrinsics))


def _device(device: str | torch.device) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device {device!r} can't be used: {str(error).splitlines()[0]}") from error
    return chosen


def _dtypes(dtype: str | torch.dtype, device: torch.device) -> tuple[torch.dtype, torch.dtype]:
    """Of the multiview stage, and of the reconstruction's matrix products."""
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32, torch.float32
        has_bf16 = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.float16, torch.bfloat16 if has_bf16 else torch.float32
    chosen = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if chosen not in (torch.float16, torch.bfloat16, torch.float32):
        raise InputError(f"dtype {dtype!r} isn't one of auto, float32, float16, bfloat16")
    return chosen, chosen
