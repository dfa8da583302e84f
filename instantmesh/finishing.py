"""The steps of finishing in their order: clean, simplify, make solid, texture."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from instantmesh.mesh.clean import CleanReport, check_share, clean
from instantmesh.mesh.simplify import ColorField, SimplifyReport, check_target, simplify
from instantmesh.mesh.watertight import WatertightReport, make_watertight
from instantmesh.structures import Mesh, Views
from instantmesh.texture.bake import TextureReport, bake, check_texture_size

_log = logging.getLogger(__name__)

Step = CleanReport | SimplifyReport | WatertightReport | TextureReport

_A_PART = 0.01  # a dropped component with this share of the main one's area may have been meant


@dataclass(frozen=True)
class Finishing:
    """How a mesh is to be finished: arguments of `finish` of the same names, and whether views are to be used.

    Raises:
        InputError: what can't be done, found before a mesh is made.
    """

    min_component_area: float = 1.0
    largest_hole: float = 0.1
    target_faces: int | None = None
    allow_quality_loss: bool = False
    watertight: bool = False
    texture_size: int | None = None
    blend_views: bool = True

    def __post_init__(self) -> None:
        check_share("min_component_area", self.min_component_area)
        check_share("largest_hole", self.largest_hole)
        if self.target_faces is not None:
            check_target(self.target_faces)
        if self.texture_size is not None:
            check_texture_size(self.texture_size)


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
    min_component_area: float = 1.0,
    largest_hole: float = 0.1,
    target_faces: int | None = None,
    allow_quality_loss: bool = False,
    watertight: bool = False,
    texture_size: int | None = None,
    color_field: ColorField | None = None,
    views: Views | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Finished:
    """Clean a mesh, then simplify it, make it watertight and texture it, as far as asked to.

    Args:
        mesh: as it came out of the surface extraction, or any other. Its own texture is read for the new one.
        min_component_area, largest_hole: as in `clean`.
        target_faces, allow_quality_loss: as in `simplify`; None keeps all faces.
        watertight: make it a solid for printing, see `make_watertight`. It may take a few faces more.
        texture_size: side in texels of the texture that the mesh gets, see `texture.bake`; None gives none, unless the
            mesh came with one: then the new one is as large.
        color_field: sRGB colours (p, 3) at points (p, 3), for new vertices and texels; without it they are the mesh's.
        views: pictures of the object whose detail goes into the texture where they see it well.
        callback: called while the texture is filled, with (texels done, texels in all).

    Raises:
        InputError: as in `clean`, `simplify`, `make_watertight` and `bake`.
    """
    if texture_size is None and mesh.texture is not None:
        texture_size = max(mesh.texture.image.shape[1:])
    wishes = Finishing(min_component_area, largest_hole, target_faces, allow_quality_loss, watertight, texture_size)
    return finish_as(wishes, mesh, color_field, views, callback)


def finish_as(
    wishes: Finishing,
    mesh: Mesh,
    color_field: ColorField | None = None,
    views: Views | None = None,
    callback: Callable[[int, int], None] | None = None,
) -> Finished:
    """`finish` with wishes that have been checked."""
    original = mesh
    mesh, cleaned = clean(mesh, min_component_area=wishes.min_component_area, largest_hole=wishes.largest_hole)
    steps: list[Step] = [cleaned]
    if cleaned.dropped_share >= _A_PART:
        _log.warning(
            "dropped a loose part with %.1f%% of the main part's area; pass min_component_area=%.2g to keep it",
            100 * cleaned.dropped_share,
            0.9 * cleaned.dropped_share,
        )
    if wishes.target_faces is not None:
        mesh, simplified = simplify(
            mesh, wishes.target_faces, color_field=color_field, allow_quality_loss=wishes.allow_quality_loss
        )
        steps.append(simplified)
    if wishes.watertight:
        mesh, solid = make_watertight(mesh)
        steps.append(solid)
    if wishes.texture_size is not None:
        mesh, textured = bake(
            mesh,
            original,
            wishes.texture_size,
            color_field=color_field,
            views=views if wishes.blend_views else None,
            callback=callback,
        )
        steps.append(textured)
    for step in steps:
        told = isinstance(step, SimplifyReport) and step.floor_reached  # not what was asked for
        _log.log(logging.WARNING if told else logging.INFO, "%s", step)
    return Finished(mesh, tuple(steps))
