"""Baselines that need no learning: what a trained model has to beat from the same images."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import project
from instantmesh.errors import EmptySurfaceError, ImageError, InputError
from instantmesh.structures import Cameras, Mesh, Views
from instantmesh.surface.marching_cubes import marching_cubes

HULL_RESOLUTION = 128
_POINTS_AT_ONCE = 1 << 18


def visual_hull(views: Views, masks: Float[Tensor, "n 1 h w"], resolution: int = HULL_RESOLUTION) -> Mesh:
    """The largest shape in [-1, 1]^3 that all masks allow (Laurentini, 1994), coloured by its views.

    A grid of `resolution`^3 points over the cube is carved: a point's value is the smallest of all masks where it is
    seen, read bilinearly; what lies outside an image is background. The surface is the level 0.5.

    Args:
        views: n images, for the colours, and their cameras.
        masks: foreground shares in [0, 1], in the order of the views.
        resolution: grid points along each side.

    Raises:
        InputError: the masks don't match the views, or the grid is smaller than 2.
        EmptySurfaceError: no point of the grid is seen as foreground by all cameras.
    """
    if len(masks) != len(views):
        raise InputError(f"{len(masks)} masks but {len(views)} views")
    if resolution < 2:
        raise InputError(f"the grid needs at least 2 points a side, got {resolution}")
    axis = torch.linspace(-1, 1, resolution)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    inside = torch.cat(
        [look_up(masks, views.known_cameras, chunk).amin(0).squeeze(-1) for chunk in points.split(_POINTS_AT_ONCE)]
    )
    # A layer of background around the cube closes shapes that reach its sides.
    values = torch.nn.functional.pad(inside.view((resolution,) * 3), (1,) * 6)
    bound = 1 + 2 / (resolution - 1)
    if float(values.max()) <= 0.5:
        raise EmptySurfaceError("the masks leave nothing: no point of the cube is foreground in all views")
    vertices, faces = marching_cubes(values, 0.5, (-bound, bound))
    uncoloured = Mesh(vertices, faces)
    return Mesh(vertices, faces, _colors_from_views(uncoloured, views))


def silhouette_ball(image: Float[Tensor, "3 h w"], mask: Float[Tensor, "1 h w"], camera: Cameras) -> Mesh:
    """A ball at the origin whose silhouette is as large as the one in the image, in the image's mean colour.

    A ball of radius r at distance d is seen as a disc of radius f * r / sqrt(d^2 - r^2), with f the focal length.

    Args:
        image: RGB in [0, 1].
        mask: foreground shares in [0, 1].
        camera: the one camera that took the image; the ball lies at its distance from the origin.

    Raises:
        ImageError: the mask is empty.
        InputError: not exactly one camera.
    """
    from trimesh.creation import icosphere  # here, so that importing the package stays fast

    if len(camera) != 1:
        raise InputError(f"the ball is made from one image and one camera, got {len(camera)} cameras")
    share = float(mask.mean())
    if share <= 0:
        raise ImageError("the mask is empty: there is no silhouette to make a ball of")
    distance = float(camera.camera_to_world[0, :3, 3].norm())
    focal = float(camera.intrinsics[0, 0, 0])
    slope = math.sqrt(share / math.pi) / focal
    radius = distance * slope / math.sqrt(1 + slope**2)
    color = (image * mask).sum((1, 2)) / mask.sum()
    ball = icosphere(subdivisions=4, radius=radius)
    vertices = torch.tensor(ball.vertices, dtype=torch.float32)
    return Mesh(
        vertices, torch.tensor(ball.faces, dtype=torch.int64), color.clamp(0, 1).expand_as(vertices).contiguous()
    )


def look_up(images: Float[Tensor, "n c h w"], cameras: Cameras, points: Float[Tensor, "p 3"]) -> Float[Tensor, "n p c"]:
    """Bilinear values of the images where each camera sees `points`; zero outside an image and behind a camera."""
    uv, depth = project(points, cameras)
    grid = torch.where(depth[..., None] > 0, 2 * uv - 1, torch.full_like(uv, 2.0))
    values = torch.nn.functional.grid_sample(images, grid[:, :, None], align_corners=False)
    return values.squeeze(-1).transpose(1, 2)


def _colors_from_views(mesh: Mesh, views: Views) -> Float[Tensor, "v 3"]:
    """Mean of the images' colours, weighted by how squarely each camera faces the surface; occlusion is ignored."""
    colors = look_up(views.images, views.known_cameras, mesh.vertices)
    towards = torch.nn.functional.normalize(views.known_cameras.camera_to_world[:, None, :3, 3] - mesh.vertices, dim=-1)
    facing = (towards * mesh.vertex_normals()).sum(-1, keepdim=True).clamp(min=1e-3) ** 4
    return ((colors * facing).sum(0) / facing.sum(0)).clamp(0, 1)
