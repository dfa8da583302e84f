"""How a reconstruction is scored against a true mesh: geometry in the cube, images from views that were not given.

Geometry is compared after each mesh has been moved and scaled into [-1, 1]^3 (`geometry_metrics`); images are
compared where the meshes stand in the world. Everything follows from a seed.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import SIX_VIEW_FOV_DEG, SIX_VIEW_RADIUS, spherical_cameras
from instantmesh.evaluation.geometry_metrics import GeometryScores, geometry_scores
from instantmesh.evaluation.image_metrics import psnr, ssim
from instantmesh.geometry.bounds import bounding_cube
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh, Views

HELD_OUT_SIZE_PX = 128
QUERY_ELEVATION_DEG = 10.0


@dataclass(frozen=True)
class ReconstructionScores:
    """Scores of one reconstruction.

    Attributes:
        geometry: distances between the surfaces.
        psnr_db: mean over the held-out views, whole images on white.
        ssim: mean over the held-out views.
        photo_psnr_db: of the photo's own view, which says how true the mesh is to the photo.
    """

    geometry: GeometryScores
    psnr_db: float
    ssim: float
    photo_psnr_db: float


def held_out_cameras() -> Cameras:
    """Four views from where neither the six views nor the query view look, at their radius and field of view."""
    return spherical_cameras((0.0, 120.0, 180.0, 300.0), (30.0, 0.0, -30.0, 30.0), SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)


def query_camera() -> Cameras:
    """The one camera of the photograph: in front (azimuth 0), a little above."""
    return spherical_cameras((0.0,), (QUERY_ELEVATION_DEG,), SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)


def true_views(mesh: Mesh, cameras: Cameras, size_px: int) -> tuple[Views, Float[Tensor, "n 1 h w"]]:
    """Square images of a mesh on white, and their masks, by 2 x 2 rays a pixel.

    Rays rather than the renderer's antialiasing: it smooths silhouettes only, and textures need it too.
    """
    with torch.no_grad():
        rendered = render_mesh(mesh, cameras, 2 * size_px, antialias=False)
    color, mask = (torch.nn.functional.avg_pool2d(image, 2) for image in (rendered.color, rendered.mask))
    return Views(color.clamp(0, 1), cameras), mask


def match_box(mesh: Mesh, true: Mesh) -> Mesh:
    """Move and scale `mesh` so that its bounding box has the centre and the longest side of `true`'s.

    For reconstructions from one image, which tells neither the object's size nor its distance.

    Raises:
        InputError: one of the meshes has no surface.
    """
    centre, half_side = bounding_cube(mesh)
    true_centre, true_half_side = bounding_cube(true)
    vertices = (mesh.vertices - centre) * (true_half_side / half_side) + true_centre
    return replace(mesh, vertices=vertices)


def evaluate_reconstruction(
    predicted: Mesh, true: Mesh, cameras: Cameras | None = None, seed: int = 0
) -> ReconstructionScores:
    """Score `predicted` against `true`, both in the world frame.

    Args:
        predicted: the reconstruction.
        true: the true mesh.
        cameras: the held-out views; `held_out_cameras()` by default.
        seed: of the surface points.

    Raises:
        InputError: one of the meshes has no surface.
    """
    cameras = held_out_cameras() if cameras is None else cameras
    geometry = geometry_scores(predicted, true, seed)
    views = [true_views(mesh, cameras, HELD_OUT_SIZE_PX)[0].images for mesh in (predicted, true)]
    photos = [true_views(mesh, query_camera(), HELD_OUT_SIZE_PX)[0].images for mesh in (predicted, true)]
    return ReconstructionScores(
        geometry,
        psnr_db=float(psnr(*views).mean()),
        ssim=float(ssim(*views).mean()),
        photo_psnr_db=float(psnr(*photos).mean()),
    )
