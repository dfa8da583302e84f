"""The edges of a mesh's visible faces, as thin smooth lines."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from instantmesh.render.projection import to_pixels
from instantmesh.render.raster import rasterize, visible_faces
from instantmesh.structures import Cameras, Mesh

_SUPERSAMPLING = 2
_WIDTH_PX = 0.6
_FULL_INK_PX, _LEAST_INK = 4, 0.4  # lines of smaller faces are paler, or fine meshes would be black
_PAPER, _INK = 0.93, 0.15


def wireframe(mesh: Mesh, cameras: Cameras, size_px: int) -> Float[Tensor, "n 3 h w"]:
    """Square images on white: faces in light grey, their edges dark. What lies behind isn't drawn.

    Where faces are smaller than a few pixels, lines melt into an even grey.
    """
    side = _SUPERSAMPLING * size_px
    with torch.no_grad():
        cameras = cameras.to(mesh.vertices.device)
        seen = visible_faces(mesh.vertices, mesh.faces, cameras, side, side)
        pixels = to_pixels(mesh.vertices, cameras, side, side)
        grey = torch.stack([_lines(mesh, seen[i], pixels[i]) for i in range(len(cameras))])
        return avg_pool2d(grey[:, None], _SUPERSAMPLING).expand(-1, 3, -1, -1)


def _lines(mesh: Mesh, seen: Tensor, pixels: Float[Tensor, "v 3"]) -> Float[Tensor, "h w"]:
    fragments = rasterize(mesh.faces, seen, pixels)
    corners = pixels[fragments.corners]
    corners = corners[..., :2] / corners[..., 2:].clamp(min=1e-6)  # (p, 3, 2)
    width = seen.shape[1]
    here = torch.stack([fragments.pixel % width, fragments.pixel // width], dim=-1)[:, None]
    along = corners.roll(-1, 1) - corners
    offset = here - corners
    across = (along[..., 0] * offset[..., 1] - along[..., 1] * offset[..., 0]).abs()
    length_px = along.norm(dim=-1).clamp(min=1e-6)
    distance_px = (across / length_px).amin(1)
    ink = (_SUPERSAMPLING * _WIDTH_PX / 2 + 0.5 - distance_px).clamp(0, 1)
    height_px = across.sum(1) / length_px.amax(1)  # of the face, above its longest side: twice its area by that
    ink = ink * (height_px / (_SUPERSAMPLING * _FULL_INK_PX)).clamp(_LEAST_INK, 1)
    grey = pixels.new_ones(seen.numel())
    return grey.index_copy(0, fragments.pixel, _PAPER + (_INK - _PAPER) * ink).reshape(seen.shape)
