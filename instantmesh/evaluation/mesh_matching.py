"""Are two meshes the same, whatever the order of their vertices and faces?"""

from collections import Counter

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor


def match_vertices(vertices: Float[Tensor, "v 3"], expected: Float[Tensor, "w 3"], atol: float) -> Int[Tensor, " v"]:
    """For each vertex the index of the expected vertex it is, by nearest neighbour.

    Raises:
        AssertionError: numbers differ, a vertex isn't finite or has no counterpart within `atol`, or two share one.
    """
    from scipy.spatial import KDTree

    if len(vertices) != len(expected):
        raise AssertionError(f"{len(vertices)} vertices, expected {len(expected)}")
    ours, theirs = vertices.detach().cpu().double().numpy(), expected.detach().cpu().double().numpy()
    if not np.isfinite(ours).all():
        raise AssertionError("some vertices aren't finite")
    distance, index = (np.asarray(result) for result in KDTree(theirs).query(ours))
    far = int((distance > atol).sum())
    if far:
        raise AssertionError(f"{far} of {len(ours)} vertices are off by more than {atol:g}, up to {distance.max():.3g}")
    if len(np.unique(index)) != len(index):
        raise AssertionError(f"{len(index) - len(np.unique(index))} expected vertices have no counterpart of their own")
    return torch.from_numpy(index)


def same_mesh(
    vertices: Float[Tensor, "v 3"],
    faces: Int[Tensor, "f 3"],
    expected_vertices: Float[Tensor, "w 3"],
    expected_faces: Int[Tensor, "g 3"],
    atol: float = 5e-5,
    *,
    reversed_faces: int = 0,
) -> float:
    """Check that two meshes are equal as sets of vertices and oriented triangles.

    Args:
        vertices: of the mesh to check.
        faces: its triangles.
        expected_vertices: of what it should be.
        expected_faces: its triangles.
        atol: largest distance between a vertex and its counterpart.
        reversed_faces: how many triangles may face the other way. (Where a grid point's SDF is exactly zero, the
            released FlexiCubes turns quads over; ours doesn't.)

    Returns:
        The largest distance between a vertex and its counterpart.

    Raises:
        AssertionError: they aren't the same; the message says in what.
    """
    index = match_vertices(vertices, expected_vertices, atol)
    matched = expected_vertices.detach().cpu()[index]
    error = torch.linalg.vector_norm(vertices.detach().cpu() - matched, dim=1)
    ours, theirs = _triangles(index[faces.cpu()]), _triangles(expected_faces.cpu())
    extra, missing = ours - theirs, theirs - ours
    if missing != Counter((a, c, b) for a, b, c in extra.elements()):
        raise AssertionError(f"vertices agree, but {extra.total()} triangles are new and {missing.total()} are missing")
    if extra.total() > reversed_faces:
        raise AssertionError(f"vertices agree, but {extra.total()} of {len(faces)} triangles are reversed")
    return float(error.max()) if len(error) else 0.0


def _triangles(faces: Int[Tensor, "f 3"]) -> Counter[tuple[int, int, int]]:
    """How often each triangle occurs, turned so that its smallest index comes first (its orientation stays)."""
    turn = (faces.long().argmin(1, keepdim=True) + torch.arange(3)) % 3
    return Counter((a, b, c) for a, b, c in faces.long().gather(1, turn).tolist())
