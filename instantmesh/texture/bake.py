"""A texture for a mesh: its surface unwrapped, and the image filled with the original surface's colours."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from instantmesh.errors import InputError
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.nearest import Nearest
from instantmesh.geometry.triangles import Triangles, unit
from instantmesh.render.texture_lookup import sample_texture
from instantmesh.structures import ColorField, Mesh, Texture, Views
from instantmesh.texture.correspondence import SurfaceCorrespondence
from instantmesh.texture.padding import padded
from instantmesh.texture.parameterization import Array
from instantmesh.texture.texels import Texels, locate_texels
from instantmesh.texture.unwrap import TIME_LIMIT_S, unwrap
from instantmesh.texture.view_colors import blend

SMALLEST_PX, LARGEST_PX = 64, 8192
_TEXELS_PER_CHUNK = 65_536


@dataclass(frozen=True)
class TextureReport:
    """What texturing did.

    Attributes:
        size_px: side of the texture.
        charts: pieces that the surface was cut into.
        projected_faces: how many faces were laid flat by plain projection, because xatlas's time was up.
        coverage: share of the texture's texels that show the surface.
        mean_distance, max_distance: from the points that texels show to where their colours were read, world units.
        unwrap_seconds, color_seconds: time that cutting and packing took, and all the rest.
    """

    size_px: int
    charts: int
    projected_faces: int
    coverage: float
    mean_distance: float
    max_distance: float
    unwrap_seconds: float
    color_seconds: float

    def __str__(self) -> str:
        plain = f", {self.projected_faces:,} faces projected plainly" if self.projected_faces else ""
        return (
            f"textured: {self.size_px} x {self.size_px}, {self.coverage:.0%} used by {self.charts:,} charts{plain},"
            f" in {self.unwrap_seconds + self.color_seconds:.1f} s"
        )


def check_texture_size(size_px: int) -> None:
    """Raises InputError where a texture can't have this side."""
    if not isinstance(size_px, int) or not SMALLEST_PX <= size_px <= LARGEST_PX:
        raise InputError(f"texture_size must be a number of texels from {SMALLEST_PX} to {LARGEST_PX}, got {size_px!r}")


def bake(
    mesh: Mesh,
    original: Mesh,
    size_px: int,
    *,
    color_field: ColorField | None = None,
    views: Views | None = None,
    time_limit_s: float = TIME_LIMIT_S,
    callback: Callable[[int, int], None] | None = None,
) -> tuple[Mesh, TextureReport]:
    """The mesh with a texture that shows the original's colours.

    Every texel stands for a point of the mesh, that for a point of the original surface, and there the colour is read.

    Args:
        mesh: what is textured; vertex colours stay.
        original: the surface that `mesh` was made from by simplification and the like, or `mesh` itself.
        size_px: side of the square texture in texels, 64 to 8192.
        color_field: sRGB colours (p, 3) at points (p, 3) on the original's device; without it they are those of the
            original's texture, else of its vertices.
        views: images of the object, with their cameras, whose finer detail goes in where they see the surface well.
        time_limit_s: see `unwrap`.
        callback: called with (texels coloured, texels in all).

    Raises:
        InputError: a size that can't be, a mesh without area, or nothing that gives colours.

    Example:
        >>> textured, report = instantmesh.bake(small, mesh, size_px=1024)
    """
    check_texture_size(size_px)
    if color_field is None and original.texture is None and original.vertex_colors is None:
        raise InputError("the mesh has no colours to make a texture of: give it vertex colours, or a color_field")
    start = time.monotonic()
    triangles = Triangles.of(mesh)
    if not triangles.areas().sum() > 0:
        raise InputError("the mesh has no face with an area")
    unwrapped = unwrap(triangles, size_px, time_limit_s)
    middle = time.monotonic()
    texels = locate_texels(unwrapped.uv, size_px)
    points, normals = _on_surface(mesh, triangles, texels)
    colors, distances = _read_colors(points, normals, original, color_field, callback)
    if views is not None:
        at, along, read = (torch.from_numpy(each).to(mesh.vertices) for each in (points, normals, colors))
        colors = blend(at, along, read, mesh, views).double().cpu().numpy()
    image = torch.from_numpy(padded(colors.clip(0, 1), texels.texel, size_px)).permute(2, 0, 1)
    place, dtype = mesh.vertices.device, mesh.vertices.dtype
    texture_format = "png" if color_field is not None or original.texture is None else original.texture.format
    uv = torch.from_numpy(unwrapped.uv).to(place, dtype)
    texture = Texture(image.contiguous().to(place, dtype), uv, texture_format)
    return replace(mesh, texture=texture), TextureReport(
        size_px=size_px,
        charts=unwrapped.charts,
        projected_faces=unwrapped.projected_faces,
        coverage=texels.covered / size_px**2,
        mean_distance=float(distances.mean()),
        max_distance=float(distances.max()),
        unwrap_seconds=middle - start,
        color_seconds=time.monotonic() - middle,
    )


def _on_surface(mesh: Mesh, triangles: Triangles, texels: Texels) -> tuple[Array, Array]:
    """(t, 3) the points that the texels show, and (t, 3) the smooth unit normals there."""
    corners = triangles.faces[texels.face]
    smooth = mesh.vertex_normals().detach().double().cpu().numpy()
    points = interpolate(triangles.vertices, corners, texels.weights)
    return points, unit(interpolate(smooth, corners, texels.weights))


def _read_colors(
    points: Array,
    normals: Array,
    original: Mesh,
    color_field: ColorField | None,
    callback: Callable[[int, int], None] | None,
) -> tuple[Array, Array]:
    """(t, 3) the original surface's colours for the points, and (t,) how far away from them they are."""
    surface = SurfaceCorrespondence(Triangles.of(original))
    colors, distances = np.empty_like(points), np.empty(len(points))
    for start in range(0, len(points), _TEXELS_PER_CHUNK):
        part = slice(start, start + _TEXELS_PER_CHUNK)
        nearest = surface(points[part], normals[part])
        distances[part] = nearest.distances
        colors[part] = _colors_there(original, nearest, color_field)
        if callback is not None:
            callback(min(part.stop, len(points)), len(points))
    return colors, distances


@torch.no_grad()
def _colors_there(original: Mesh, nearest: Nearest, color_field: ColorField | None) -> Array:
    device = original.vertices.device
    faces = torch.from_numpy(nearest.faces).to(device)
    weights = torch.from_numpy(nearest.weights).to(original.vertices)[..., None]
    if color_field is not None:
        found = color_field(torch.from_numpy(nearest.points).to(original.vertices))
    elif original.texture is not None:
        uv = (original.texture.uv[faces] * weights).sum(1)
        found = sample_texture(original.texture.image, uv)
    else:
        assert original.vertex_colors is not None
        found = (original.vertex_colors[original.faces[faces]] * weights).sum(1)
    return found.double().cpu().numpy()
