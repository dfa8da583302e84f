"""What became of a mesh that was fitted to its photo."""

from dataclasses import dataclass

from instantmesh.fitting.camera_search import PhotoCamera
from instantmesh.structures import Mesh
from instantmesh.texture.photo_colors import PosedPhoto

EXPECTED_ELEVATION_DEG = 15.0  # that photos are mostly taken from
LEAST_IOU = 0.75  # of the mesh's silhouette and the photo's, below which a camera isn't trusted that was looked for


@dataclass(frozen=True, eq=False)
class Fit:
    """A mesh, fitted to its photo if that was asked for and could be done.

    Attributes:
        mesh: unfinished.
        camera: of the photo; None where it wasn't looked for.
        photo: the photo from there, whose colours the mesh is to get; None where they don't fit.
    """

    mesh: Mesh
    camera: PhotoCamera | None = None
    photo: PosedPhoto | None = None
