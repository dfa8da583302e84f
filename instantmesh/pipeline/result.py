"""What a photograph became: the mesh and everything on the way to it."""

from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.finishing import Step
from instantmesh.mesh.report import MeshReport, report
from instantmesh.render.agreement import view_agreement
from instantmesh.render.preview import save_preview
from instantmesh.render.turntable import RayRenderer, turntable
from instantmesh.structures import Mesh, Views
from instantmesh.systems import Field


@dataclass(frozen=True, eq=False)
class Result:
    """What a photograph became.

    Attributes:
        mesh: coloured, finished, in the world frame; `mesh.save("x.glb")`.
        views: what it was reconstructed from, generated views, or the photo alone; `views.save("x.png")`.
        photo: (3, s, s) RGB in [0, 1], the prepared photo: cut out, on white (TripoSR: grey).
        posed: those views with the cameras that the reconstruction was told; single-view systems may have none.
        field: the shape and its colours as functions of position, which the mesh was extracted from.
        ray_renderer: renders rays of the field by volume rendering; None for a field of signed distances.
        steps: what each step of finishing did to the mesh; `str(step)` says it in words.
    """

    mesh: Mesh
    views: Views
    photo: Float[Tensor, "3 s s"]
    posed: Views
    field: Field
    ray_renderer: RayRenderer | None
    steps: tuple[Step, ...]

    def __repr__(self) -> str:
        return f"Result({self.mesh!r}, {self.views!r})"

    def save_preview(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write an image of the mesh from four sides. Errors as in `Mesh.save`."""
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
        if self.ray_renderer is None:
            raise InputError("this system has signed distances, no radiance field that could be filmed: of='mesh'")
        return turntable(self.ray_renderer, path, device=self.mesh.vertices.device, **options)
