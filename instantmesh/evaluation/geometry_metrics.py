"""Distances between surfaces, as InstantMesh's protocol takes them.

Each mesh is moved and scaled into [-1, 1]^3, 16,000 points are drawn uniformly by area on each surface, and the nearest
neighbours between the two sets give the Chamfer distance and the F-score.
"""

from dataclasses import dataclass

import torch

from instantmesh.geometry.bounds import to_unit_cube
from instantmesh.geometry.distances import chamfer_distance, f_score, nearest_distances
from instantmesh.geometry.sampling import sample_surface
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


def geometry_scores(predicted: Mesh, true: Mesh, seed: int = 0) -> GeometryScores:
    """Scores by InstantMesh's protocol: each mesh fills [-1, 1]^3 by its own bounding box, 16,000 points on each.

    The frames must agree already: nothing is rotated, and nothing is registered beyond the two boxes.

    Raises:
        InputError: one of the meshes has no surface.
    """
    generator = torch.Generator().manual_seed(seed)
    points = [
        sample_surface(mesh.vertices.float().cpu(), mesh.faces.cpu(), SAMPLE_COUNT, generator)
        for mesh in (to_unit_cube(predicted), to_unit_cube(true))
    ]
    to_true, to_predicted = nearest_distances(points[0], points[1])
    return GeometryScores(
        chamfer=chamfer_distance(to_true, to_predicted),
        f_score_01=f_score(to_true, to_predicted, 0.1),
        f_score_02=f_score(to_true, to_predicted, 0.2),
    )
