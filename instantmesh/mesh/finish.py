"""The steps of finishing in their order."""

import logging
from dataclasses import dataclass

from instantmesh.mesh.clean import CleanReport, check_share, clean
from instantmesh.mesh.simplify import ColorField, SimplifyReport, check_target, simplify
from instantmesh.mesh.watertight import WatertightReport, make_watertight
from instantmesh.structures import Mesh

_log = logging.getLogger(__name__)

Step = CleanReport | SimplifyReport | WatertightReport

_A_PART = 0.01  # a dropped component with this share of the main one's area may have been meant


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


def check_wishes(keep_components: float, target_faces: int | None) -> None:
    """Refuse what can't be done before a mesh is made.

    Raises:
        InputError: a share outside [0, 1], or fewer than 4 faces.
    """
    check_share("keep_components", keep_components)
    if target_faces is not None:
        check_target(target_faces)


def finish(
    mesh: Mesh,
    *,
    keep_components: float = 1.0,
    largest_hole: float = 0.1,
    target_faces: int | None = None,
    below_floor: bool = False,
    watertight: bool = False,
    color_field: ColorField | None = None,
) -> Finished:
    """Clean a mesh, simplify it and make it watertight, the last two if asked to.

    Args:
        mesh: as it came out of the surface extraction, or any other.
        keep_components, largest_hole: as in `clean`.
        target_faces, below_floor, color_field: as in `simplify`; None keeps all faces.
        watertight: end with a solid for printing, see `make_watertight`. It may take a few faces more.

    Raises:
        InputError: as in `clean`, `simplify` and `make_watertight`.
    """
    mesh, cleaned = clean(mesh, keep_components=keep_components, largest_hole=largest_hole)
    steps: list[Step] = [cleaned]
    if cleaned.dropped_share >= _A_PART:
        _log.warning(
            "dropped a loose part with %.1f%% of the main part's area; pass keep_components=%.2g to keep it",
            100 * cleaned.dropped_share,
            0.9 * cleaned.dropped_share,
        )
    if target_faces is not None:
        mesh, simplified = simplify(mesh, target_faces, color_field=color_field, below_floor=below_floor)
        steps.append(simplified)
    if watertight:
        mesh, solid = make_watertight(mesh)
        steps.append(solid)
    for step in steps:
        told = isinstance(step, SimplifyReport) and step.floor_reached  # not what was asked for
        _log.log(logging.WARNING if told else logging.INFO, "%s", step)
    return Finished(mesh, tuple(steps))
