"""Images of meshes: colour, mask, depth and normals, differentiable in vertices, colours and across silhouettes.

Only the question which face a pixel sees is asked of a rasteriser (Embree, or nvdiffrast on CUDA), without gradients.
Everything after it is torch: where the pixel's ray meets the face's plane, interpolation, antialiasing.

Symbols:
    n, v, f     cameras; vertices and faces of the mesh
    p           pixels of one image that see a face
    k           interpolated attributes
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from instantmesh import backends
from instantmesh.errors import InputError
from instantmesh.render import embree, nvdiffrast
from instantmesh.render.antialias import EdgeIncidence, blend_silhouettes, mesh_edges
from instantmesh.render.projection import to_pixels
from instantmesh.render.texture_lookup import sample_texture
from instantmesh.structures import Cameras, ColorField, Mesh

PLAIN_COLOR = 0.8
"""The grey of meshes without colours."""


@dataclass(frozen=True, eq=False)
class MeshRenderings:
    """Images of one mesh, with straight RGB on a plain background.

    Attributes:
        color: (n, 3, h, w) sRGB; the surface on the background.
        mask: (n, 1, h, w) in [0, 1], the share of the pixel that the mesh covers.
        depth: (n, 1, h, w) along the camera's forward axis at the pixel's centre, 0 where nothing is seen.
        normal: (n, 3, h, w) world space, unit length inside, 0 where nothing is seen, shorter on silhouettes.
    """

    color: Float[Tensor, "n 3 h w"]
    mask: Float[Tensor, "n 1 h w"]
    depth: Float[Tensor, "n 1 h w"]
    normal: Float[Tensor, "n 3 h w"]


@dataclass(frozen=True, eq=False)
class Fragments:
    """What the pixels of one image see.

    Attributes:
        pixel: (p,) flat row-major indices of the pixels that see a face.
        face: (p,) that face.
        corners: (p, 3) the vertices of that face.
        barycentric: (p, 3) where the ray meets the face, perspective-correct; differentiable in the vertices.
        depth: (p,) along the camera's forward axis; differentiable.
    """

    pixel: Int[Tensor, " p"]
    face: Int[Tensor, " p"]
    corners: Int[Tensor, "p 3"]
    barycentric: Float[Tensor, "p 3"]
    depth: Float[Tensor, " p"]


def visible_faces(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], cameras: Cameras, height: int, width: int
) -> Int[Tensor, "n height width"]:
    """The face each pixel sees, -1 for none: by nvdiffrast on CUDA where it is installed, by Embree elsewhere."""
    on_gpu = vertices.device.type == "cuda" and backends.available("nvdiffrast.torch")
    return (nvdiffrast if on_gpu else embree).visible_faces(vertices, faces, cameras, height, width)


def render_mesh(
    mesh: Mesh,
    cameras: Cameras,
    height: int,
    width: int | None = None,
    *,
    background: float = 1.0,
    antialias: bool = True,
    color_field: ColorField | None = None,
) -> MeshRenderings:
    """Render a mesh from every camera, on the mesh's device.

    Args:
        mesh: what to show, in the colours of its texture, else of its vertices, else light grey; without faces the
            images are empty.
        cameras: from where; moved to the mesh's device.
        height: of the images in pixels.
        width: of the images in pixels; None is `height`.
        background: grey level behind the mesh.
        antialias: blend colour, mask and normal across silhouettes. Without it, their gradients with respect to the
            vertices know nothing of silhouettes.
        color_field: colours (p, 3) in sRGB at points (p, 3) in the world; asked once an image at the visible surface
            points, in place of the mesh's own colours.

    Raises:
        InputError: the images' sides aren't positive.
    """
    width = height if width is None else width
    if height < 1 or width < 1:
        raise InputError(f"images need positive sides, got {width} x {height}")
    normals, color_of = mesh.vertex_normals(), _color_of(mesh, color_field)
    cameras = cameras.to(mesh.vertices.device)
    seen = _seen(mesh, cameras, height, width)
    pixels = to_pixels(mesh.vertices, cameras, height, width)
    edges = mesh_edges(mesh.faces, len(mesh.vertices)) if antialias else None
    views = [
        _render_view(mesh.faces, normals, color_of, seen[i], pixels[i], edges, background) for i in range(len(cameras))
    ]
    color, mask, normal, depth = torch.stack(views).permute(0, 3, 1, 2).split([3, 1, 3, 1], dim=1)
    return MeshRenderings(color, mask, depth, normal)


def rasterize(faces: Int[Tensor, "f 3"], seen: Int[Tensor, "height width"], pixels: Float[Tensor, "v 3"]) -> Fragments:
    """Where the rays of one image meet the faces that they see.

    Args:
        faces: of the mesh.
        seen: the face at each pixel, -1 for none (`visible_faces`).
        pixels: homogeneous pixel coordinates of the vertices in this image (`to_pixels`).
    """
    pixel = (seen.flatten() >= 0).nonzero().squeeze(1)
    face = seen.flatten()[pixel]
    corners = faces[face].long()
    column, row = pixel % seen.shape[1], pixel // seen.shape[1]
    x, y, depth = pixels.index_select(0, corners.flatten()).unflatten(0, (-1, 3)).unbind(-1)  # each (p, 3)
    # Corners relative to the ray, times their depths: the areas that two of them span with the ray are in the ratio of
    # the perspective-correct barycentric coordinates (Olano and Greer 1997, 2D homogeneous rasterisation).
    x, y = x - column[:, None] * depth, y - row[:, None] * depth
    area = x.roll(-1, 1) * y.roll(-2, 1) - x.roll(-2, 1) * y.roll(-1, 1)
    total = area.sum(1, keepdim=True)
    tiny = torch.finfo(area.dtype).tiny
    barycentric = area / torch.where(total.abs() > tiny, total, tiny)
    barycentric = barycentric.clamp(0, 1)  # rounding on faces seen edge-on would extrapolate
    barycentric = barycentric / barycentric.sum(1, keepdim=True).clamp(min=0.5)
    return Fragments(pixel, face, corners, barycentric, (barycentric * depth).sum(1))


def interpolate(attributes: Float[Tensor, "v k"], fragments: Fragments) -> Float[Tensor, "p k"]:
    """Vertex attributes where the pixels see the surface; differentiable in attributes and vertices."""
    at_corners = attributes.index_select(0, fragments.corners.flatten()).unflatten(0, (-1, 3))
    return (at_corners * fragments.barycentric[..., None]).sum(1)


def _color_of(mesh: Mesh, color_field: ColorField | None) -> Callable[[Fragments], Tensor]:
    """What gives the colours (p, 3) of the surface that p pixels see."""
    texture, colors = mesh.texture, mesh.vertex_colors
    if color_field is not None:
        return lambda seen: color_field(interpolate(mesh.vertices, seen))
    if texture is not None:
        return lambda seen: sample_texture(
            texture.image, (texture.uv[seen.face] * seen.barycentric[..., None]).sum(1).to(texture.image)
        )
    if colors is not None:
        return lambda seen: interpolate(colors, seen)
    return lambda seen: torch.full_like(seen.barycentric, PLAIN_COLOR)


def _seen(mesh: Mesh, cameras: Cameras, height: int, width: int) -> Int[Tensor, "n height width"]:
    if len(mesh.faces) == 0:
        return torch.full((len(cameras), height, width), -1, device=mesh.vertices.device)
    return visible_faces(mesh.vertices, mesh.faces, cameras, height, width)


def _render_view(
    faces: Int[Tensor, "f 3"],
    normals: Float[Tensor, "v 3"],
    color_of: Callable[[Fragments], Tensor],
    seen: Int[Tensor, "height width"],
    pixels: Float[Tensor, "v 3"],
    edges: EdgeIncidence | None,
    background: float,
) -> Float[Tensor, "height width 8"]:
    """Colour, mask, normal and depth of one view, channels last."""
    fragments = rasterize(faces, seen, pixels)
    normal = normalize(interpolate(normals, fragments), dim=1, eps=1e-12)
    color = color_of(fragments)
    behind = normals.new_tensor([background] * 3 + [0.0] * 4).expand(seen.numel(), 7)
    values = behind.index_copy(0, fragments.pixel, torch.cat([color, torch.ones_like(color[:, :1]), normal], dim=1))
    depth = normals.new_zeros(seen.numel()).index_copy(0, fragments.pixel, fragments.depth).reshape(seen.shape)
    values = values.reshape(*seen.shape, 7)
    if edges is not None:
        values = blend_silhouettes(values, torch.where(seen >= 0, depth, torch.inf), seen, pixels, edges)
    return torch.cat([values, depth[..., None]], dim=-1)
