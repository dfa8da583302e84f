"""Points drawn on surfaces."""

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.errors import InputError


def sample_surface(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], n: int, generator: torch.Generator
) -> Float[Tensor, "n 3"]:
    """Draw `n` points uniformly by area on a triangle mesh.

    Raises:
        InputError: the surface has no area.
    """
    return draw_on_surface(vertices, faces, n, generator)[0]


def draw_on_surface(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], n: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 3"], Int[Tensor, " n"]]:
    """Draw `n` points uniformly by area on a triangle mesh; also the faces that they lie on.

    Each point's triangle is drawn by area; its place in the triangle folds the unit square's upper half onto the lower.

    Raises:
        InputError: the surface has no area.
    """
    a, b, c = vertices[faces].unbind(1)
    edge_1, edge_2 = b - a, c - a
    area = torch.linalg.cross(edge_1, edge_2).norm(dim=-1).double()
    total = float(area.sum())
    if not total > 0:
        raise InputError("the mesh has no surface: it has no faces, or all of them are degenerate")
    drawn = torch.rand(n, generator=generator, dtype=torch.float64) * total
    face = torch.searchsorted(area.cumsum(0), drawn, right=True).clamp(max=len(faces) - 1)
    square = torch.rand(n, 2, generator=generator, dtype=vertices.dtype)
    triangle = torch.where(square.sum(-1, keepdim=True) > 1, 1 - square, square)
    return a[face] + triangle[:, :1] * edge_1[face] + triangle[:, 1:] * edge_2[face], face


def sample_faces(
    shares: NDArray[np.floating], n: int, rng: np.random.Generator, dtype: type[np.floating] = np.float64
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Draw `n` points on faces, uniformly within each face.

    Args:
        shares: (f,) how probable each face is; their sum is 1. Areas give points spread evenly over the surface.
        n: how many points.
        rng: source of randomness.
        dtype: of the weights.

    Returns:
        (n,) faces, and (n, 3) the barycentric coordinates of the points in them.
    """
    face = rng.choice(len(shares), n, p=shares)
    r, s = np.sqrt(rng.random(n)).astype(dtype), rng.random(n).astype(dtype)
    return face, np.stack([1 - r, r * (1 - s), r * s], 1)
