"""Which face each pixel sees, on CUDA: nvdiffrast's rasteriser, where it is installed.

nvdiffrast's licence allows non-commercial use only (research and evaluation). It is optional, never a dependency, and
only its visibility is used: interpolation and antialiasing are this package's own code on every device. Without it,
images on CUDA are made with Embree's visibility, slower and the same.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh import backends
from instantmesh.render.projection import to_pixels
from instantmesh.structures import Cameras

_SIDE_MULTIPLE = 8  # the CUDA rasteriser works on tiles; images are padded at the right and the bottom


@cache
def _context(device: torch.device) -> Any:
    return backends.load("nvdiffrast.torch").RasterizeCudaContext(device=device)


def visible_faces(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], cameras: Cameras, height: int, width: int
) -> Int[Tensor, "n height width"]:
    """The index of the nearest face behind every pixel's centre, from either side; -1 where there is none.

    Raises:
        MissingBackendError: nvdiffrast isn't installed.
    """
    rasterize = backends.load("nvdiffrast.torch").rasterize
    padded = [-(-side // _SIDE_MULTIPLE) * _SIDE_MULTIPLE for side in (height, width)]
    with torch.no_grad():
        clip = _clip_space(to_pixels(vertices, cameras, height, width), *padded)
        image, _ = rasterize(_context(vertices.device), clip, faces.int().contiguous(), resolution=padded)
    return image[:, :height, :width, 3].long() - 1  # it counts faces from 1, 0 is nothing


def _clip_space(pixels: Float[Tensor, "n v 3"], height: int, width: int) -> Float[Tensor, "n v 4"]:
    """Homogeneous clip coordinates, x right and y *down* (its first row is y = -1), z from -1 near to 1 far."""
    column, row, depth = pixels.float().unbind(-1)
    in_front = depth > 0
    far = depth.amax() * 1.01
    near = torch.where(in_front, depth, far).amin().clamp(min=float(far) * 1e-3) * 0.99
    z = ((far + near) * depth - 2 * far * near) / (far - near)
    x = 2 * (column + 0.5 * depth) / width - depth
    y = 2 * (row + 0.5 * depth) / height - depth
    return torch.stack([x, y, z, depth], dim=-1).contiguous()
