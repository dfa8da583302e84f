"""One photograph to a coloured mesh: the stages wired together."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.batches import generators_of, prepared_batches
from instantmesh.errors import InputError
from instantmesh.finishing import Finished, Finishing, Step, finish_as
from instantmesh.images import prepare
from instantmesh.loading import load_multiview, load_reconstruction
from instantmesh.lrm.heads import RadianceField, SurfaceField
from instantmesh.memory import arrange, check_memory_mode
from instantmesh.mesh.report import MeshReport, report
from instantmesh.multiview.generator import EXACT_STEPS, FAST_STEPS, BatchGenerator
from instantmesh.reconstruction import Reconstructor
from instantmesh.render.agreement import view_agreement
from instantmesh.render.preview import save_preview
from instantmesh.render.turntable import RaySight, turntable
from instantmesh.structures import Cameras, Mesh, Views

if TYPE_CHECKING:
    from instantmesh.images.cutout import Background
    from instantmesh.images.reading import ImageSource
    from instantmesh.memory import MemoryMode
    from instantmesh.multiview.generator import MultiviewGenerator

DEFAULT_MODEL = "instant-mesh-large"


@dataclass(frozen=True, eq=False)
class Result:
    """What a photograph became.

    Attributes:
        mesh: coloured, finished, in the world frame; `mesh.save("x.glb")`.
        views: what it was reconstructed from, six views or (single-view systems) one; `views.save("x.png")`.
        photo: (3, s, s) RGB in [0, 1], the cut-out photo as the first stage saw it: on white (TripoSR: grey).
        posed: those views with the cameras that the reconstruction was told; single-view systems may have none.
        field: the shape and its colours as functions of position, which the mesh was extracted from.
        sight: what rays see of the field by volume rendering; None for a field of signed distances.
        steps: what each step of finishing did to the mesh; `str(step)` says it in words.
    """

    mesh: Mesh
    views: Views
    photo: Float[Tensor, "3 s s"]
    posed: Views
    field: SurfaceField | RadianceField
    sight: RaySight | None
    steps: tuple[Step, ...]

    def save_preview(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write a picture of the mesh from four sides. Errors as in `Mesh.save`."""
        return save_preview(self.mesh, path, overwrite=overwrite)

    def report(self) -> MeshReport:
        """What the mesh is, in numbers and words; also whether the views that it was made of disagree."""
        found = report(self.mesh)
        if self.posed.cameras is None:
            return found
        return replace(found, warnings=found.warnings + view_agreement(self.mesh, self.posed).warnings)

    def turntable(self, path: str | PathLike[str], *, of: Literal["mesh", "field"] = "mesh", **options: Any) -> Path:
        """Write a film of the object turning once, as .mp4, .webm or .gif.

        Args:
            path: where to; the ending chooses the format.
            of: the mesh, or the radiance field that it was extracted from, by volume rendering (slow without a GPU).
            options: as in `instantmesh.render.turntable.turntable`.

        Raises:
            InputError: a system with a surface instead of a radiance field; or as in `turntable`.
        """
        if of == "mesh":
            return turntable(self.mesh, path, **options)
        if self.sight is None:
            raise InputError("this system has signed distances, no radiance field that could be filmed: of='mesh'")
        return turntable(self.sight, path, device=self.mesh.vertices.device, **options)


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
            cache_dir: where downloads are kept; None is Hugging Face's own cache.
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

    @overload
    def __call__(self, photo: "ImageSource", **settings: Any) -> Result: ...

    @overload
    def __call__(self, photo: "list[ImageSource]", **settings: Any) -> list[Result]: ...

    def __call__(  # pyright: ignore[reportInconsistentOverload]
        self,
        photo: "ImageSource | list[ImageSource]",
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
        keep_components: float = 1.0,
        target_faces: int | None = None,
        watertight: bool = False,
        texture_size: int | None = None,
        blend_views: bool = False,
        callback: Callable[[int, int], None] | None = None,
    ) -> Result | list[Result]:
        """Make a mesh from one photograph, or one from each of several, `batch_size` at a time.

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
            keep_components, target_faces, watertight, texture_size, blend_views: how the mesh is finished, see
                `reconstruct`. Painted views are blended in on request only: `tiny`'s don't agree well enough for their
                detail to gain anything (benchmarks/texture_views.py).
            callback: called after each denoising step with (steps done, steps in all).

        Raises:
            ImageError: unreadable, too small, or without foreground. EmptySurfaceError: no surface came out.
            InputError: an argument that can't be, found before any work is done.
        """
        model = self.reconstructor.model
        if not scale > 0 or (model.single_view and scale != 1):
            raise InputError(f"scale must be positive, and 1 for single-view systems, got {scale}")
        wishes = Finishing(
            keep_components,
            target_faces=target_faces,
            watertight=watertight,
            texture_size=texture_size,
            blend_views=blend_views,
        )
        photos = photo if isinstance(photo, list) else [photo]
        if batch_size < 1 or not photos:
            raise InputError(f"batch_size and the number of photos must be 1 or more, got {batch_size}, {len(photos)}")
        if model.single_view:
            paint, level = None, model.background
        else:
            paint, level = self._painter(len(photos), seed, generator, steps, fast, guidance_scale, callback), 1.0
        ready = partial(prepare, background=background, background_level=level)
        results = []
        for numbers, pictures in prepared_batches(ready, photos, batch_size):
            batch = [Views(x[None]) for x in pictures] if paint is None else paint(pictures, numbers)
            posed = batch if paint is None else [_at_scale(views, scale) for views in batch]
            results += self._results(pictures, batch, posed, resolution, wishes)
        return results if isinstance(photo, list) else results[0]

    @torch.no_grad()
    def _results(
        self,
        pictures: list[Tensor],
        batch: list[Views],
        posed: list[Views],
        resolution: int | None,
        wishes: Finishing,
    ) -> list[Result]:
        """What a batch becomes; its fields are computed together."""
        results = []
        for picture, views, told, field in zip(
            pictures, batch, posed, self.reconstructor.encode_batch(posed), strict=True
        ):
            finished = self._finished(told, field, resolution, wishes)
            sight = self.reconstructor.sight(field)
            results.append(Result(finished.mesh, views, picture, told, field, sight, finished.steps))
        return results

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
        paint = self._painter(1, seed, generator, steps, fast, guidance_scale, callback)
        return paint([prepare(photo, background=background)], range(1))[0]

    def reconstruct(
        self,
        views: Views,
        *,
        resolution: int | None = None,
        keep_components: float = 1.0,
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
            keep_components: loose parts stay if they have at least this share of the largest one's area: 1 keeps the
                largest alone, 0 all.
            target_faces: how many faces are wanted, 4 or more; None keeps all. Never so few that the shape suffers, see
                `instantmesh.simplify`.
            watertight: make it a solid that can be printed.
            texture_size: side in texels of the texture that the mesh gets, filled with the field's colours; None gives
                none, the vertices carry colours in any case.
            blend_views: where the views see the surface well, their finer detail goes into the texture.

        Raises:
            EmptySurfaceError: no surface came out. InputError, CameraError: more views than the system takes, cameras
                missing, or given where none is used.
        """
        if not isinstance(views, Views):
            raise InputError(f"reconstruct takes Views(images, cameras), got {type(views).__name__}")
        wishes = Finishing(
            keep_components,
            target_faces=target_faces,
            watertight=watertight,
            texture_size=texture_size,
            blend_views=blend_views,
        )
        with torch.no_grad():
            return self._finished(views, self.reconstructor.encode(views), resolution, wishes).mesh

    def _finished(
        self, views: Views, field: SurfaceField | RadianceField, resolution: int | None, wishes: Finishing
    ) -> Finished:
        """The finished mesh of a field, with its colours and those of the views that it comes from."""
        mesh = self.reconstructor.extract(field, resolution)
        detail = None if views.cameras is None else views  # single-view systems don't know where theirs was taken
        return finish_as(wishes, mesh, field.colors, detail)

    def _painter(
        self,
        count: int,
        seed: int | list[int] | None,
        generator: torch.Generator | None,
        steps: int | None,
        fast: bool,
        guidance_scale: float,
        callback: Callable[[int, int], None] | None,
    ) -> Callable[[list[Tensor], range], list[Views]]:
        """What paints the views of prepared photos, given with their numbers among the `count` that there are; refused
        before any work is done if it can't be."""
        stage = self.multiview
        if self.reconstructor.model.single_view:
            raise InputError(f"{self.reconstructor.model.system} has no multiview stage: it goes from photo to mesh")
        if stage is None:
            raise InputError("this pipeline was loaded without its multiview stage; it can only reconstruct views")
        generators = generators_of(count, seed, generator)
        settings: Any = {"guidance_scale": guidance_scale, "callback": callback}
        settings["steps"] = (FAST_STEPS if fast else EXACT_STEPS) if steps is None else steps
        if isinstance(stage, BatchGenerator):
            together = partial(stage.generate_batch, fast=fast, **settings)
            return lambda photos, numbers: together(photos, generators=generators and [generators[k] for k in numbers])
        if fast:
            raise InputError(f"{type(stage).__name__} has no fast mode")
        return lambda photos, numbers: [
            stage.generate(photo, generator=None if generators is None else generators[k], **settings)
            for photo, k in zip(photos, numbers, strict=True)
        ]


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
