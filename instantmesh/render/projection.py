"""Vertices as the pixels see them."""

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.structures import Cameras


def to_pixels(vertices: Float[Tensor, "v 3"], cameras: Cameras, height: int, width: int) -> Float[Tensor, "n v 3"]:
    """Homogeneous pixel coordinates (column * depth, row * depth, depth) of world points (differentiable).

    Pixel (i, j)'s centre is at row i, column j. Undivided by depth, so points behind a camera do no harm.
    """
    pose, k = cameras.camera_to_world.to(vertices), cameras.intrinsics.to(vertices)
    # Not a matrix product: autocasting would round it to bfloat16.
    x, y, backward = ((vertices - pose[:, None, :3, 3])[..., None] * pose[:, None, :3, :3]).sum(-2).unbind(-1)
    depth = -backward
    u = k[:, None, 0, 0] * x + k[:, None, 0, 2] * depth
    v = k[:, None, 1, 2] * depth - k[:, None, 1, 1] * y
    return torch.stack([u * width - 0.5 * depth, v * height - 0.5 * depth, depth], dim=-1)
