"""Distances between surfaces, as InstantMesh's protocol takes them.

Each mesh is moved and scaled into [-1, 1]^3, 16,000 points are drawn uniformly by area on each surface, and the nearest
neighbours between the two sets give the Chamfer distance and the F-score.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.structures import Mesh

SAMPLE_COUNT = 16_000


@dataclass(frozen=True)
class GeometryScores:
    """Scores of one mesh against the true one, both in [-1, 1]^3.

    Attributes:
        chamfer: mean of both directions' mean distances (not squared); lower is better.
        f_score_01: F-score at distance 0.1, in [0, 1].
        f_score_02: F-score at distance 0.2, in [0, 1].
    """

    chamfer: float
    f_score_01: float
    f_score_02: float


def normalise_to_cube(mesh: Mesh) -> Mesh:
    """Move the bounding box's centre to the origin and scale its longest side to 2.

    Raises:
        InputError: no face, or all its vertices in one point.
    """
    centre, half_side = bounding_cube(mesh)
    return replace(mesh, vertices=(mesh.vertices - centre) / half_side)


def bounding_cube(mesh: Mesh) -> tuple[Float[Tensor, "3"], float]:
    """Centre of the bounding box of the vertices that faces use, and half of its longest side.

    Raises:
        InputError: no face, or all its vertices in one point.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no faces, so it has no surface to measure")
    used = mesh.vertices[mesh.faces.flatten()]
    low, high = used.amin(0), used.amax(0)
    half_side = float((high - low).max()) / 2
    if half_side == 0:
        raise InputError("all vertices of the mesh lie in one point")
    return (low + high) / 2, half_side


def sample_surface(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"], n: int, generator: torch.Generator
) -> Float[Tensor, "n 3"]:
    """Draw `n` points uniformly by area on a triangle mesh.

    Each point's triangle is drawn by area; its place in the triangle folds the unit square's upper half onto the lower.

    Raises:
        InputError: the surface has no area.
    """
    corner, edge_1, edge_2 = _corners_and_edges(vertices, faces)
    area = torch.linalg.cross(edge_1, edge_2).norm(dim=-1).double()
    total = float(area.sum())
    if not total > 0:
        raise InputError("the mesh has no surface: it has no faces, or all of them are degenerate")
    drawn = torch.rand(n, generator=generator, dtype=torch.float64) * total
    face = torch.searchsorted(area.cumsum(0), drawn, right=True).clamp(max=len(faces) - 1)
    square = torch.rand(n, 2, generator=generator, dtype=vertices.dtype)
    triangle = torch.where(square.sum(-1, keepdim=True) > 1, 1 - square, square)
    return corner[face] + triangle[:, :1] * edge_1[face] + triangle[:, 1:] * edge_2[face]


def _corners_and_edges(
    vertices: Float[Tensor, "v 3"], faces: Int[Tensor, "f 3"]
) -> tuple[Float[Tensor, "f 3"], Float[Tensor, "f 3"], Float[Tensor, "f 3"]]:
    a, b, c = vertices[faces].unbind(1)
    return a, b - a, c - a


def nearest_distances(
    a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, "n"], Float[Tensor, "m"]]:
    """Distance from each point of `a` to its nearest in `b`, and from each of `b` to its nearest in `a`.

    Raises:
        InputError: one of the sets is empty.
    """
    from scipy.spatial import KDTree  # here, so that importing the package stays fast

    if not len(a) or not len(b):
        raise InputError("distances need at least one point in each set")
    points_a, points_b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    a_to_b, _ = KDTree(points_b).query(points_a)
    b_to_a, _ = KDTree(points_a).query(points_b)
    return torch.as_tensor(a_to_b), torch.as_tensor(b_to_a)


def chamfer_distance(a_to_b: Float[Tensor, "n"], b_to_a: Float[Tensor, "m"]) -> float:
    """Mean of both directions' mean nearest distances, not squared."""
    return float(a_to_b.mean() + b_to_a.mean()) / 2


def f_score(a_to_b: Float[Tensor, "n"], b_to_a: Float[Tensor, "m"], threshold: float) -> float:
    """Harmonic mean of precision and recall: the shares of points nearer than `threshold` to the other set.

    Source: Knapitsch et al., Tanks and Temples (2017), eq. 4-6.
    """
    precision = float((a_to_b < threshold).double().mean())
    recall = float((b_to_a < threshold).double().mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def geometry_scores(predicted: Mesh, true: Mesh, seed: int = 0) -> GeometryScores:
    """Scores by InstantMesh's protocol: each mesh fills [-1, 1]^3 by its own bounding box, 16,000 points on each.

    The frames must agree already: nothing is rotated, and nothing is registered beyond the two boxes.

    Raises:
        InputError: one of the meshes has no surface.
    """
    generator = torch.Generator().manual_seed(seed)
    points = [
        sample_surface(mesh.vertices.float().cpu(), mesh.faces.cpu(), SAMPLE_COUNT, generator)
        for mesh in (normalise_to_cube(predicted), normalise_to_cube(true))
    ]
    to_true, to_predicted = nearest_distances(points[0], points[1])
    return GeometryScores(
        chamfer=chamfer_distance(to_true, to_predicted),
        f_score_01=f_score(to_true, to_predicted, 0.1),
        f_score_02=f_score(to_true, to_predicted, 0.2),
    )
