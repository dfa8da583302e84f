"""The steps of finishing in their order: clean, simplify, make solid, texture."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypedDict

from typing_extensions import Unpack

from instantmesh.errors import InputError
from instantmesh.mesh.clean import CleanReport, check_share, clean
from instantmesh.mesh.simplify import SimplifyReport, check_target, simplify
from instantmesh.mesh.watertight import WatertightReport, make_watertight
from instantmesh.structures import ColorField, Mesh, Views
from instantmesh.texture.bake import SMALLEST_PX, TextureReport, bake, check_texture_size
from instantmesh.texture.photo_colors import PhotoReport, PosedPhoto, project_photo

_log = logging.getLogger(__name__)

Step = CleanReport | SimplifyReport | WatertightReport | TextureReport | PhotoReport

LARGEST_DERIVED_PX = 2048  # of a texture whose size nobody gave
_A_PART = 0.01  # a dropped component with this share of the main one's area may have been meant


class FinishingOptions(TypedDict, total=False):
    """How a mesh is to be finished.

    Attributes:
        min_component_area: loose parts stay if they have at least this share of the largest one's area: 1 keeps the
            largest alone, 0, the default, all.
        largest_hole: holes up to this share of the bounding box's diagonal are closed.
        target_faces: how many faces are wanted, 4 or more; None keeps all.
        allow_quality_loss: go on simplifying where the shape would suffer, see `simplify`.
        watertight: make it a solid, see `make_watertight`. It may take a few faces more. None does so where the mesh
            encloses one, and says where it doesn't.
        texture_size: side in texels of the texture that the mesh gets, see `bake`; None gives none.
    """

    min_component_area: float
    largest_hole: float
    target_faces: int | None
    allow_quality_loss: bool
    watertight: bool | None
    texture_size: int | None


@dataclass(frozen=True)
class Finishing:
    """Checked `FinishingOptions`, with their defaults.

    Raises:
        InputError: what can't be done, found before a mesh is made.
    """

    min_component_area: float = 0.0
    largest_hole: float = 0.1
    target_faces: int | None = None
    allow_quality_loss: bool = False
    watertight: bool | None = False
    texture_size: int | None = None

    def __post_init__(self) -> None:
        check_share("min_component_area", self.min_component_area)
        check_share("largest_hole", self.largest_hole)
        if self.target_faces is not None:
            check_target(self.target_faces)
        if self.texture_size is not None:
            check_texture_size(self.texture_size)


ASSET = Finishing(min_component_area=0.03, target_faces=10_000, watertight=None, texture_size=1024)
"""How a pipeline's results are finished by default: without crumbs, to be used as they are."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A finished mesh.

    Attributes:
        mesh: the result.
        steps: what each step did, in order; as text with `str`.
    """

    mesh: Mesh
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join(str(step) for step in self.steps)


def finish(
    mesh: Mesh,
    *,
    color_field: ColorField | None = None,
    views: Views | None = None,
    photo: PosedPhoto | None = None,
    callback: Callable[[int, int], None] | None = None,
    **options: Unpack[FinishingOptions],
) -> Finished:
    """Clean a mesh, then simplify it, make it watertight and texture it, as far as asked to.

    Args:
        mesh: as it came out of the surface extraction, or any other. Its own texture is read for the new one, which is
            as large, from 64 to 2048 texels, unless another `texture_size` is given.
        color_field: sRGB colours (p, 3) at points (p, 3), for new vertices and texels; without it they are the mesh's.
        views: images of the object whose detail goes into the texture where they see it well.
        photo: of the object, whose pixels are laid over the colours where it sees it, see `project_photo`.
        callback: called while the texture is filled, with (texels done, texels in all).
        options: see `FinishingOptions`.

    Raises:
        InputError: an option that can't be; or as in `clean`, `simplify`, `make_watertight` and `bake`.

    Example:
        >>> done = instantmesh.finish(instantmesh.read_mesh("any.glb"), target_faces=4000, texture_size=1024)
        >>> done.mesh.save("small.glb")
    """
    finishing = Finishing(**options)
    if finishing.texture_size is None and mesh.texture is not None:
        own_size = max(mesh.texture.image.shape[1:])
        texture_size = min(max(own_size, SMALLEST_PX), LARGEST_DERIVED_PX)
        if own_size > texture_size:
            _log.warning("the texture's %d texels become %d; pass texture_size to keep more", own_size, texture_size)
        finishing = replace(finishing, texture_size=texture_size)
    return finish_as(finishing, mesh, color_field, views, photo, callback)


def finish_as(
    finishing: Finishing,
    mesh: Mesh,
    color_field: ColorField | None = None,
    views: Views | None = None,
    photo: PosedPhoto | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Finished:
    """`finish` with checked options."""
    original = mesh
    mesh, cleaned = clean(mesh, min_component_area=finishing.min_component_area, largest_hole=finishing.largest_hole)
    steps: list[Step] = [cleaned]
    if cleaned.dropped_share >= _A_PART:
        _log.warning(
            "dropped a loose part with %.1f%% of the main part's area; pass min_component_area=%.2g to keep it",
            100 * cleaned.dropped_share,
            0.9 * cleaned.dropped_share,
        )
    if finishing.target_faces is not None:
        mesh, simplified = simplify(
            mesh, finishing.target_faces, color_field=color_field, allow_quality_loss=finishing.allow_quality_loss
        )
        steps.append(simplified)
    if finishing.watertight is not False:
        mesh, made = _solid(mesh, finishing)
        steps += made
    if finishing.texture_size is not None:
        mesh, textured = bake(
            mesh,
            original,
            finishing.texture_size,
            color_field=color_field,
            views=views,
            callback=callback,
        )
        steps.append(textured)
    if photo is not None:
        mesh, coloured = project_photo(mesh, photo)
        steps.append(coloured)
    for step in steps:
        told = isinstance(step, SimplifyReport) and (step.floor_reached or step.stuck)  # not what was asked for
        _log.log(logging.WARNING if told else logging.INFO, "%s", step)
    return Finished(mesh, tuple(steps))


def _solid(mesh: Mesh, finishing: Finishing) -> tuple[Mesh, list[Step]]:
    """The mesh made watertight, and without the crumbs that it consists of since; it itself where that can't be."""
    try:
        solid, made = make_watertight(mesh)
    except InputError as error:
        if finishing.watertight:
            raise
        _log.warning("not watertight: %s", error)
        return mesh, []
    whole, cleaned = clean(solid, min_component_area=finishing.min_component_area, largest_hole=0.0)
    return (whole, [made, cleaned]) if cleaned.dropped_components else (solid, [made])
