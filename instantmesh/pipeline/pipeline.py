"""One photo to a coloured mesh: the steps, and the line that calls them."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import Unpack

from instantmesh import images
from instantmesh.cameras import elevations_deg
from instantmesh.errors import InputError
from instantmesh.finishing import Finished, FinishingOptions, finish
from instantmesh.fitting.camera_search import compare_from, find_camera
from instantmesh.fitting.photo_set import SidePhoto, azimuth_of, pose_photos
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.reference_attention import Attention
from instantmesh.pipeline.devices import choose_device, choose_dtypes
from instantmesh.pipeline.fit import EXPECTED_ELEVATION_DEG, LEAST_IOU, Fit
from instantmesh.pipeline.loading import load_multiview, load_reconstruction
from instantmesh.pipeline.offloading import check_memory_mode, place_networks
from instantmesh.pipeline.options import (
    PhotoOptions,
    PhotoSettings,
    Reconstruction,
    ReconstructionOptions,
    Sampling,
    SamplingOptions,
    SidesOptions,
    SidesSettings,
    StreamOptions,
    StreamSettings,
)
from instantmesh.pipeline.outcome import Outcome
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.pipeline.result import Result
from instantmesh.pipeline.streaming import stream
from instantmesh.structures import Mesh, Views
from instantmesh.systems import Field, Shape
from instantmesh.texture.photo_colors import PosedPhoto
from instantmesh.views.checks import check_views

if TYPE_CHECKING:
    from instantmesh.images.cutout import Background
    from instantmesh.images.reading import ImageSource
    from instantmesh.pipeline.offloading import MemoryMode

_log = logging.getLogger(__name__)

DEFAULT_MODEL = "instant-mesh-large"


class Pipeline:
    """Photo -> views -> mesh. Build one with `from_pretrained`, or from parts of your own.

    Each step is a method with plain types, so that a line of your own can be put together from them; `__call__` is
    just that line.

    Attributes:
        multiview: generates views of the photo's object; None for a system that reconstructs from the photo itself, or
            where only `reconstruct` is wanted.
        reconstructor: turns views into a mesh.

    Example:
        >>> pipe = Pipeline.from_pretrained("tiny")
        >>> pipe("photo.png", seed=42).mesh.save("photo.glb")
    """

    def __init__(self, multiview: MultiviewGenerator | None, reconstructor: Reconstructor) -> None:
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
        multiview: bool | None = None,
        memory: "MemoryMode" = "auto",
        attention: Attention = "sdpa",
    ) -> "Pipeline":
        """Load a model by name ("tiny" comes with the package; `instantmesh models` lists all) or from a folder.

        A folder in the current folder that is called like a model is meant by `./name`, or by a `Path`.

        Args:
            name: a model's name, or a folder in a layout of `instantmesh.pipeline.loading`.
            device: "auto" takes CUDA where there is one.
            dtype: of the multiview stage, and of the matrix products in the reconstruction's encoder and transformer;
                its fields and surfaces are computed in float32 in any case. "auto" is float32 on CPUs; on CUDA float16
                for the first and bfloat16 (on older GPUs float32) for the second, see docs/performance.md.
            cache_dir: where downloads are kept; None is Hugging Face's own cache (files put by hand: docs/models.md).
            local_files_only: never use the network.
            multiview: whether the multiview generator is loaded; None loads it if the reconstruction starts from
                generated views. False is for `reconstruct` alone.
            memory: of a GPU. "high" keeps both stages there, "low" one at a time, "minimal" one network at a time;
                "auto" is the first of these that free memory is enough for. The results are the same.
            attention: of the multiview stage: torch's own, or "xformers", where that is installed.

        Raises:
            UnknownModelError: no such name; the nearest is suggested.
            MissingFileError: files are neither here nor to be downloaded; the message says what to put where.
            CheckpointError: a file is damaged, unsafe, or another variant's.
            InputError: no such device, dtype, memory mode or attention.
            MissingBackendError: xformers isn't installed.
        """
        check_memory_mode(memory)
        name = name if isinstance(name, str) else str(Path(name).absolute())  # a path is a folder, not a name
        place, cpu = choose_device(device), torch.device("cpu")
        generator_dtype, product_dtype = choose_dtypes(dtype, place)
        model = load_reconstruction(name, cpu, torch.float32, cache_dir, local_files_only)
        generator = None
        if multiview or (multiview is None and model.takes_generated_views):
            generator = load_multiview(name, cpu, generator_dtype, cache_dir, local_files_only)
            generator.set_attention(attention)
        reconstructor = Reconstructor(model, product_dtype)
        reconstructor.move_small_modules(place)
        stages = [reconstructor.networks] if generator is None else [generator.networks, reconstructor.networks]
        place_networks(stages, place, memory)
        return cls(generator, reconstructor)

    def compile(self, **options: Any) -> None:
        """Compile the networks of both stages, as far as they can be.

        The first result takes longer, later ones less time, and the numbers are the same within rounding.

        Args:
            options: of `torch.compile`; `mode="reduce-overhead"` records CUDA graphs.
        """
        self.reconstructor.compile(**options)
        if self.multiview is not None:
            self.multiview.compile(**options)

    def set_progress_bar_config(self, **options: Any) -> None:
        """Options of the progress bar of denoising steps, as in diffusers: `disable=True` hides it."""
        if self.multiview is not None:
            self.multiview.set_progress_bar_config(**options)

    def __call__(self, photo: "ImageSource", **options: Unpack[PhotoOptions]) -> Result:
        """Make a mesh from one photo; `stream` is for many.

        Args:
            photo: path, PIL image, array (h, w, 3 or 4) or tensor (3 or 4, h, w); 8-bit, or float in [0, 1].
            options: see `PhotoOptions`. What a system doesn't use has no effect: one that reconstructs from the photo
                itself draws nothing at random and denoises nothing.

        Raises:
            ImageError: unreadable, too small, or without foreground.
            EmptySurfaceError: no surface came out.
            InputError: an option that can't be, found before any work is done.
        """
        settings = PhotoSettings.of(**options)
        self.check(settings)
        prepared = self.prepare_photo(photo, settings.background)
        views = self.input_views([prepared.image], [settings])[0]
        posed = views.at_camera_distance(settings.camera_distance_scale)
        field = self.encode(posed)
        mesh = self.extract(field, settings.resolution)
        fit = self.fit_photo(mesh, field, prepared, posed, settings)
        return self.result(prepared, views, posed, field, fit, settings)

    def stream(self, photos: "Sequence[ImageSource]", **options: Unpack[StreamOptions]) -> Iterator[Outcome]:
        """The outcomes of many photos one by one, in order; a photo that fails doesn't stop the others.

        While a GPU works on a batch, the photos of the next one are prepared and the meshes of the last one are
        finished in other threads; the outcomes of a batch then come when the GPU is through with the next one.

        Args:
            photos: a list of photos as in `__call__`.
            options: see `StreamOptions`.

        Raises:
            InputError: an option that can't be, found before any work is done.

        Example:
            >>> for outcome in pipe.stream(["a.png", "b.png"], seed=42):
            ...     print(outcome.error or outcome.result.mesh)
        """
        settings = StreamSettings.of(**options)
        self.check(settings)
        return stream(self, photos, settings)

    def from_photos(self, photos: "Mapping[str | float, ImageSource]", **options: Unpack[SidesOptions]) -> Result:
        """Make a mesh from photos of several sides of an object, without knowing their cameras.

        The same object in the same pose and state, nothing cut off, in similar light. Sides are the object's own: its
        left side is where its left hand is, which a viewer in front of it has on the right.

        Args:
            photos: two or more, by side: "front", "left", "back", "right", "front-left" and so on
                (`fitting.photo_set.SIDES_DEG`), or by azimuth in degrees: 0 is the front, 90 the left side. They may be
                off by some 15 degrees.
            options: see `SidesOptions`.

        Raises:
            ImageError: a photo is unreadable, too small, or without foreground.
            EmptySurfaceError: no surface came out.
            InputError: an option that can't be, no such side, fewer than two photos or two of one side, a background
                that can't be told from the object, or a system that reconstructs from one view.

        Example:
            >>> result = pipe.from_photos({"front": "a.png", "left": "b.png", "back": "c.png"})
            >>> [camera.elevation_deg for camera in result.side_cameras]
        """
        settings = SidesSettings.of(**options)
        azimuths_deg = {side: azimuth_of(side) for side in photos}
        model = self.reconstructor.model
        if model.single_view:
            raise InputError(f"{model.system} reconstructs from one photo; for several sides use another model")
        prepared = [self._side(str(side), photos[side], a, settings) for side, a in azimuths_deg.items()]
        found = pose_photos(prepared, self.reconstructor)
        field = self.encode(found.views)
        mesh = self.extract(field, settings.resolution)
        finished = self._finished(mesh, field, found.views, None, settings, blend_views=True)
        return Result(
            finished.mesh,
            found.views,
            prepared[0].image,
            found.views,
            field,
            self.reconstructor.ray_renderer(field),
            finished.steps,
            photo_mask=prepared[0].mask,
            photo_camera=found.cameras[0],
            side_cameras=found.cameras,
        )

    def _side(self, side: str, source: "ImageSource", azimuth_deg: float, settings: SidesSettings) -> SidePhoto:
        """A photo prepared, with what is known of its camera."""
        photo = self.prepare_photo(source, settings.background)
        if photo.mask is None:
            raise InputError(f"the outline of the photo {side!r} isn't known: background='keep' needs a plain one")
        told = self.reconstructor.model.photo_view(photo.image, settings.elevation_deg).known_cameras
        return SidePhoto(side, azimuth_deg, float(elevations_deg(told)), photo.image, photo.mask)

    def prepare(self, photo: "ImageSource", background: "Background" = "auto") -> Float[Tensor, "3 s s"]:
        """The photo's object cut out, centred in a square, on the grey level that the system was trained with.

        Args:
            photo: as in `__call__`.
            background: how the object is told from its background, see `instantmesh.images.cut_out`.

        Raises:
            ImageError, InputError, MissingBackendError, MissingFileError: see `instantmesh.images.prepare_photo`.
        """
        return self.prepare_photo(photo, background).image

    def prepare_photo(self, photo: "ImageSource", background: "Background" = "auto") -> images.Photo:
        """As `prepare`, with the object's mask. Errors as there."""
        return images.prepare_photo(photo, background, background_level=self.reconstructor.model.background)

    def generate_views(self, image: Float[Tensor, "3 s s"], **options: Unpack[SamplingOptions]) -> Views:
        """Views of a prepared photo's object, from the generator's rig.

        Args:
            image: what `prepare` returned.
            options: see `SamplingOptions`.

        Raises:
            InputError: an option that can't be; the pipeline has no multiview generator, or it has no fast mode.

        Example:
            >>> views = pipe.generate_views(pipe.prepare("photo.png"), seed=42)
            >>> mesh = pipe.reconstruct(views)
        """
        return self._generate([image], [Sampling.of(**options)])[0]

    def input_views(self, images: Sequence[Tensor], settings: Sequence[PhotoSettings]) -> list[Views]:
        """The views that the reconstruction starts from, of prepared photos.

        Generated ones, or the photo itself, as the system has it.

        Args:
            images: what `prepare` returned.
            settings: checked options, one for each photo.
        """
        model = self.reconstructor.model
        if not model.takes_generated_views:
            elevations = (one.elevation_deg for one in settings)
            return [model.photo_view(image, elevation) for image, elevation in zip(images, elevations, strict=True)]
        return self._generate(images, settings)

    def encode(self, views: Views) -> Field:
        """The field of the object in the views; see `Reconstructor.encode`."""
        return self.reconstructor.encode(views)

    def extract(self, field: Shape, resolution: int | None = None) -> Mesh:
        """The mesh of a field, unfinished; see `Reconstructor.extract`."""
        return self.reconstructor.extract(field, resolution)

    @torch.no_grad()
    def fit_photo(self, mesh: Mesh, field: Field, photo: images.Photo, views: Views, settings: PhotoSettings) -> Fit:
        """The mesh with the outline of its photo, and the photo's camera, if that is asked for and can be done.

        Args:
            mesh: what `extract` returned.
            field: that it was extracted from.
            photo: what `prepare_photo` returned.
            views: that the field was made of.
            settings: checked options.
        """
        if not settings.fit_photo:
            return Fit(mesh)
        if photo.mask is None:
            _log.warning("the photo's outline isn't known (background='keep', and no plain one): it isn't fitted")
            return Fit(mesh)
        camera = None if self.reconstructor.model.takes_generated_views else views.cameras
        if camera is None:
            elevation = EXPECTED_ELEVATION_DEG if settings.elevation_deg is None else settings.elevation_deg
            found = find_camera(mesh, photo.image, photo.mask, expected=(0.0, elevation))
            if found.iou < LEAST_IOU:
                _log.warning("%s, too little to fit the mesh to the photo", found)
                return Fit(mesh, found)
            camera = found.camera
        fitted = self.extract(self.reconstructor.outlined(field, camera, photo.mask), settings.resolution)
        photo_camera = compare_from(camera, fitted, photo.image, photo.mask)
        _log.info("%s", photo_camera)
        return Fit(fitted, photo_camera, PosedPhoto(photo.image, photo.mask, photo_camera.camera))

    @torch.no_grad()
    def finish(
        self,
        mesh: Mesh,
        field: Field,
        views: Views | None = None,
        photo: PosedPhoto | None = None,
        **options: Unpack[FinishingOptions],
    ) -> Finished:
        """A field's mesh cleaned, and simplified, solid and textured as far as asked to, with the field's colours.

        Args:
            mesh: what `extract` returned.
            field: that it was extracted from.
            views: with cameras, whose finer detail goes into the texture; None for the field's colours alone.
            photo: whose pixels are laid over the colours where it sees the mesh.
            options: see `FinishingOptions`.

        Raises:
            InputError: as in `instantmesh.finish`.
        """
        return finish(mesh, color_field=field.colors, views=views, photo=photo, **options)

    def reconstruct(self, views: Views, **options: Unpack[ReconstructionOptions]) -> Mesh:
        """A finished mesh from views: any number with any poses, or, with a single-view system, one.

        Args:
            views: images with their cameras; the object at the origin, inside [-1, 1]^3. On white; TripoSR's on grey
                (0.5), without a camera. OpenLRM's camera may be left out.
            options: see `ReconstructionOptions`.

        Raises:
            EmptySurfaceError: no surface came out.
            InputError, CameraError: an option that can't be, more views than the system takes, cameras missing,
                given where none is used, or not those of the images (see `instantmesh.views.checks`).
        """
        if not isinstance(views, Views):
            raise InputError(f"reconstruct takes Views(images, cameras), got {type(views).__name__}")
        settings = Reconstruction.of(**options)
        check_views(views)
        field = self.encode(views)
        mesh = self.extract(field, settings.resolution)
        return self._finished(mesh, field, views, None, settings, blend_views=True).mesh

    def result(
        self, photo: images.Photo, views: Views, posed: Views, field: Field, fit: Fit, settings: PhotoSettings
    ) -> Result:
        """Finish a photo's mesh, and put together what became of the photo."""
        is_photo = not self.reconstructor.model.takes_generated_views  # not what was made of it
        blend_views = is_photo and fit.photo is None  # once is enough
        finished = self._finished(fit.mesh, field, posed, fit.photo, settings, blend_views=blend_views)
        renderer = self.reconstructor.ray_renderer(field)
        return Result(
            finished.mesh,
            views,
            photo.image,
            posed,
            field,
            renderer,
            finished.steps,
            photo_mask=photo.mask,
            photo_camera=fit.camera,
        )

    def check(self, settings: PhotoSettings) -> None:
        """Refuse options that this pipeline can't follow, before any work is done.

        Raises:
            InputError: the system is told no distance, or there is no multiview generator, or it has no fast mode.
        """
        model = self.reconstructor.model
        if model.single_view and settings.camera_distance_scale != 1:
            raise InputError(
                f"camera_distance_scale must be 1 for {model.system}, which is told no distance, got"
                f" {settings.camera_distance_scale}"
            )
        if model.takes_generated_views:
            self._generator(settings)

    def _generator(self, sampling: Sampling) -> tuple[MultiviewGenerator, int]:
        """The multiview generator, and how many steps it is to take."""
        generator = self.multiview
        if generator is None:
            system = self.reconstructor.model.system
            reason = "was loaded without one" if not self.reconstructor.model.single_view else f"{system} needs none"
            raise InputError(f"this pipeline has no multiview generator ({reason}): pass multiview=True to load it")
        steps = generator.default_steps
        if sampling.fast:
            if generator.fast_steps is None:
                raise InputError(f"{type(generator).__name__} has no fast mode")
            steps = generator.fast_steps
        return generator, sampling.steps or steps

    @torch.no_grad()
    def _generate(self, images: Sequence[Tensor], settings: Sequence[Sampling]) -> list[Views]:
        first = settings[0]  # they differ in their seeds at most
        generator, steps = self._generator(first)
        return generator.generate(
            images,
            steps=steps,
            guidance_scale=first.guidance_scale,
            generators=random_generators(settings),
            callback=first.callback,
            fast=first.fast,
        )

    @torch.no_grad()
    def _finished(
        self,
        mesh: Mesh,
        field: Field,
        views: Views,
        photo: PosedPhoto | None,
        settings: Reconstruction,
        *,
        blend_views: bool,
    ) -> Finished:
        blended = blend_views if settings.blend_views is None else settings.blend_views
        usable = blended and views.cameras is not None  # single-view systems don't know where theirs was taken
        return self.finish(mesh, field, views if usable else None, photo, **vars(settings.finishing))


def random_generators(settings: Sequence[Sampling]) -> list[torch.Generator] | None:
    """A random generator for each sample; None where nothing is fixed."""
    generators = [sampling.random_generator() for sampling in settings]
    return None if None in generators else [generator for generator in generators if generator is not None]
