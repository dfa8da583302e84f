"""What a call of the pipeline can be asked for: stated here once, with one default each, checked before any work.

The `TypedDict`s are the keyword arguments as type checkers and editors see them; the class of the same name without
`Options` holds the checked values and the defaults. A test holds the two together.
"""

import operator
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypedDict, TypeVar

import torch
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from instantmesh.config import explained
from instantmesh.errors import InputError
from instantmesh.finishing import ASSET, Finishing, FinishingOptions
from instantmesh.images.cutout import Background


def _plain(number: Any) -> Any:
    """numpy's whole numbers as Python's."""
    return operator.index(number) if hasattr(number, "__index__") and not isinstance(number, bool) else number


Whole = Annotated[int, BeforeValidator(_plain)]
Seed = Annotated[Whole, Field(ge=0, lt=2**63)]
Real = Annotated[float, Field(allow_inf_nan=False)]


Settings = TypeVar("Settings", bound="_Checked")


class _Checked(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, frozen=True, extra="forbid", arbitrary_types_allowed=True
    )

    @classmethod
    def of(cls: type[Settings], **given: Any) -> Settings:
        """The options given, checked, and the defaults of the others.

        Raises:
            InputError: a value that can't be, or an option that there isn't; the nearest one is named.
        """
        try:
            return cls(**given)
        except ValidationError as error:
            raise InputError(explained(error, cls)) from None


class SamplingOptions(TypedDict, total=False):
    """How a multiview generator samples views.

    Attributes:
        seed: fixes every random draw; or pass a `generator`.
        generator: source of all random draws, instead of `seed`.
        steps: denoising steps; None is the generator's own number, 75 for Zero123++ and 20 in its fast mode.
        fast: other views by a better solver in fewer steps, see `Zero123PlusGenerator`.
        guidance_scale: how closely the views follow the photo.
        callback: called after each denoising step with (steps done, steps in all).
    """

    seed: int | None
    generator: torch.Generator | None
    steps: int | None
    fast: bool
    guidance_scale: float
    callback: Callable[[int, int], None] | None


class Sampling(_Checked):
    """Checked `SamplingOptions`."""

    seed: Seed | None = None
    generator: torch.Generator | None = None
    steps: Annotated[Whole, Field(ge=1)] | None = None
    fast: bool = False
    guidance_scale: Real = 4.0
    callback: Callable[[int, int], None] | None = None

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        if self.seed is not None and self.generator is not None:
            raise InputError("pass a seed or a generator, not both")

    def random_generator(self) -> torch.Generator | None:
        """What the sample's random numbers come from; None where nothing is fixed."""
        return self.generator if self.seed is None else torch.Generator("cpu").manual_seed(self.seed)


class ReconstructionOptions(FinishingOptions, total=False):
    """How views become a finished mesh.

    Of `FinishingOptions` three have other defaults here, so that what comes out can be used as it is:
    `target_faces` is 10,000, `watertight` None (where that can be), `texture_size` 1,024.

    Attributes:
        resolution: of the extraction grid along each axis, 2 to 2048; None is the model's own.
        blend_views: whether the views' finer detail goes into the texture where they see the surface well. None: that
            of given views and of the photo itself does; that of generated views doesn't, since those of a small model
            agree too little with each other to gain anything (benchmarks/quality/texture_views.py).
    """

    resolution: int | None
    blend_views: bool | None


class Reconstruction(_Checked):
    """Checked `ReconstructionOptions`."""

    min_component_area: Real = ASSET.min_component_area
    largest_hole: Real = ASSET.largest_hole
    target_faces: Whole | None = ASSET.target_faces
    allow_quality_loss: bool = ASSET.allow_quality_loss
    watertight: bool | None = ASSET.watertight
    texture_size: Whole | None = ASSET.texture_size
    resolution: Annotated[Whole, Field(ge=2, le=2048)] | None = None
    blend_views: bool | None = None

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        _ = self.finishing  # which has checks of its own

    @property
    def finishing(self) -> Finishing:
        """How the mesh is to be finished."""
        return Finishing(
            min_component_area=self.min_component_area,
            largest_hole=self.largest_hole,
            target_faces=self.target_faces,
            allow_quality_loss=self.allow_quality_loss,
            watertight=self.watertight,
            texture_size=self.texture_size,
        )


class PhotoOptions(SamplingOptions, ReconstructionOptions, total=False):
    """How a photo becomes a mesh.

    Attributes:
        background: how the object is told from its background, see `instantmesh.images.cut_out`.
        camera_distance_scale: of the views' cameras, as the reconstruction is told; above 1 the mesh grows. Only for
            systems that are told a distance.
        elevation_deg: from how high above the object's horizon the photo was taken, if that is known, -90 to 90. None:
            a system that is told takes it for 10; for others it is looked for with the mesh (`fit_photo`).
        fit_photo: make the mesh true to the photo: give it the photo's outline, and where the photo sees it the photo's
            pixels. For a system that doesn't know the photo's camera, that is looked for first.
    """

    background: Background
    camera_distance_scale: float
    elevation_deg: float | None
    fit_photo: bool


class PhotoSettings(Sampling, Reconstruction):
    """Checked `PhotoOptions`."""

    background: Background = "auto"
    camera_distance_scale: Annotated[Real, Field(gt=0)] = 1.0
    elevation_deg: Annotated[Real, Field(ge=-90, le=90)] | None = None
    fit_photo: bool = True


class SidesOptions(ReconstructionOptions, total=False):
    """How photos of several sides become one mesh.

    Attributes:
        background: how the object is told from its background, see `instantmesh.images.cut_out`.
        elevation_deg: from how high all photos were taken, if that is known, -90 to 90; None takes 10. In any case it
            is refined for each.
    """

    background: Background
    elevation_deg: float | None


class SidesSettings(Reconstruction):
    """Checked `SidesOptions`."""

    background: Background = "auto"
    elevation_deg: Annotated[Real, Field(ge=-90, le=90)] | None = None


class StreamOptions(PhotoOptions, total=False):
    """How several photos become meshes.

    Attributes:
        seed: the same for each photo, or a list of one for each.
        batch_size: photos worked on together. It takes memory, and is faster on GPUs only.
    """

    seed: int | list[int] | None  # pyright: ignore[reportIncompatibleVariableOverride]
    batch_size: int


class StreamSettings(PhotoSettings):
    """Checked `StreamOptions`."""

    seed: Seed | list[Seed] | None = None  # pyright: ignore[reportIncompatibleVariableOverride]
    batch_size: Annotated[Whole, Field(ge=1)] = 1

    def of_photos(self, count: int) -> list[PhotoSettings]:
        """The settings of each of `count` photos.

        Raises:
            InputError: a generator for several photos, or another number of seeds.
        """
        if self.generator is not None and count != 1:
            raise InputError("a generator is for one photo; give several photos a seed, or a list of seeds")
        seeds = self.seed if isinstance(self.seed, list) else [self.seed] * count
        if len(seeds) != count:
            raise InputError(f"got {len(seeds)} seeds for {count} photos; one is enough for all")
        shared = {name: getattr(self, name) for name in PhotoSettings.model_fields if name != "seed"}
        return [PhotoSettings(seed=seed, **shared) for seed in seeds]
