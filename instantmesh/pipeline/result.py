"""What a photograph became: the mesh and everything on the way to it."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from instantmesh.finishing import Step
from instantmesh.fitting.camera_search import PhotoCamera
from instantmesh.render.turntable import RayRenderer
from instantmesh.structures import Mesh, Views
from instantmesh.systems import Field


@dataclass(frozen=True, eq=False)
class Result:
    """What a photograph became. `instantmesh.report`, `show`, `turntable` and `save_preview` look at it.

    Attributes:
        mesh: coloured, finished, in the world frame; `mesh.save("x.glb")`.
        views: what it was reconstructed from, generated views, or the photo alone; `views.save("x.png")`.
        photo: (3, s, s) RGB in [0, 1], the prepared photo: cut out, on white (TripoSR: grey).
        posed: those views with the cameras that the reconstruction was told; single-view systems may have none.
        field: the shape and its colours as functions of position, which the mesh was extracted from.
        ray_renderer: renders rays of the field by volume rendering; None for a field of signed distances.
        photo_mask: (1, s, s) of its object, in [0, 1]; None where nothing was cut out and the background isn't plain.
        photo_camera: where the photo was taken from, in the mesh's frame, and how well the mesh looks like it from
            there; None where it wasn't asked for (`fit_photo=False`), or wasn't found.
        side_cameras: the same for every photo, where several sides were given (`Pipeline.from_photos`).
        steps: what each step of finishing did to the mesh; `str(step)` says it in words.

    Example:
        >>> result = pipe("photo.png", seed=42)
        >>> result.mesh.save("photo.glb")
    """

    mesh: Mesh
    views: Views
    photo: Float[Tensor, "3 s s"]
    posed: Views
    field: Field
    ray_renderer: RayRenderer | None
    steps: tuple[Step, ...]
    photo_mask: Float[Tensor, "1 s s"] | None = None
    photo_camera: PhotoCamera | None = None
    side_cameras: tuple[PhotoCamera, ...] = ()

    def __repr__(self) -> str:
        return f"Result({self.mesh!r}, {self.views!r})"
