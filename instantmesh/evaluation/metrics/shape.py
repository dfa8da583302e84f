"""How near two aligned surfaces are: Chamfer distance, F-scores, normals, volumes; all of it and what can be seen.

Symbols: n, m points on the reconstruction and on the true surface.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh import backends
from instantmesh.evaluation.metrics.surface_points import SurfacePoints
from instantmesh.geometry.distances import chamfer_distance, f_score
from instantmesh.geometry.nearest_points import nearest_points
from instantmesh.geometry.rays import RayScene
from instantmesh.geometry.triangles import Array

F_SCORE_THRESHOLDS = {"f_score_005": 0.05, "f_score_01": 0.1, "f_score_02": 0.2, "f_score_05": 0.5}
VOLUME_GRID = 32
_DIRECTIONS = 32
_LIFT = 1e-4  # of a ray's start off the surface that it leaves, in the box frame


def surface_scores(predicted: SurfacePoints, true: SurfacePoints) -> dict[str, float]:
    """Scores of points on aligned surfaces in the box frame.

    Returns:
        `chamfer`: mean of both directions' mean distances, not squared. `f_score_005`, `_01`, `_02`, `_05`: harmonic
        means of the shares of points strictly nearer than 0.05, 0.1, 0.2, 0.5. `normal_consistency`: mean over both
        directions of |cos| of the angle between the normals at a point and at its nearest one (Occupancy Networks,
        Mescheder et al. 2019).

    Raises:
        InputError: one of the sets is empty.
    """
    to_true, true_index = nearest_points(predicted.points, true.points)
    to_predicted, predicted_index = nearest_points(true.points, predicted.points)
    there, back = torch.from_numpy(to_true), torch.from_numpy(to_predicted)
    agreement = [
        np.abs(np.einsum("ni,ni->n", a, b)).mean()
        for a, b in (
            (predicted.normals, true.normals[true_index]),
            (true.normals, predicted.normals[predicted_index]),
        )
    ]
    return {
        "chamfer": chamfer_distance(there, back),
        **{name: f_score(there, back, threshold) for name, threshold in F_SCORE_THRESHOLDS.items()},
        "normal_consistency": float(np.mean(agreement)),
    }


def seen_from_outside(points: SurfacePoints, vertices: Array, faces: NDArray[np.integer]) -> NDArray[np.bool_]:
    """(n,) which points of a surface can be seen from far away in one of 32 directions, spread evenly over the sphere.

    Each point tries the directions in the order of how squarely they face its surface, from either side.

    Args:
        points: on the surface.
        vertices: (v, 3) of the surface, in the box frame.
        faces: (f, 3).
    """
    scene = RayScene(vertices, faces)
    directions = sphere_directions(_DIRECTIONS)
    order = np.argsort(-np.abs(points.normals @ directions.T), axis=1, kind="stable")
    seen, waiting = np.zeros(len(points), bool), np.arange(len(points))
    for attempt in range(_DIRECTIONS):
        towards = directions[order[waiting, attempt]]
        blocked = scene.blocked(points.points[waiting] + _LIFT * towards, towards)
        seen[waiting[~blocked]] = True
        waiting = waiting[blocked]
        if not len(waiting):
            break
    return seen


def sphere_directions(count: int) -> Array:
    """(count, 3) unit vectors spread evenly over the sphere (Fibonacci lattice)."""
    k = np.arange(count) + 0.5
    height, angle = 1 - 2 * k / count, np.pi * (1 + 5**0.5) * k
    radius = np.sqrt(1 - height**2)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), height], axis=1)


def volume_iou(
    vertices: Array, faces: NDArray[np.integer], true_vertices: Array, true_faces: NDArray[np.integer], seed: int = 0
) -> float | None:
    """Intersection over union of the volumes inside two surfaces in the box frame, at 32^3 stratified random points.

    Inside is where the generalised winding number (Jacobson et al. 2013, as Barill et al. 2018 compute it) is beyond a
    half, whatever its sign, so small holes and faces that are turned all together don't matter.

    Args:
        vertices: (v, 3).
        faces: (f, 3).
        true_vertices: (w, 3), within [-1, 1]^3.
        true_faces: (g, 3).
        seed: of the points.

    Returns:
        In [0, 1]; None where the true surface encloses nothing, or libigl isn't installed.
    """
    if not backends.available("igl"):
        return None
    igl: Any = backends.load("igl")
    low, high = np.minimum(vertices.min(0), -1), np.maximum(vertices.max(0), 1)
    cell = np.stack(np.meshgrid(*[np.arange(VOLUME_GRID)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = low + (cell + np.random.default_rng(seed).random(cell.shape)) / VOLUME_GRID * (high - low)

    def inside(v: Array, f: NDArray[np.integer]) -> NDArray[np.bool_]:
        winding = igl.fast_winding_number(
            np.ascontiguousarray(v, np.float64), np.ascontiguousarray(f, np.int64), points
        )
        return np.abs(winding) > 0.5

    predicted, true = inside(vertices, faces), inside(true_vertices, true_faces)
    if not true.any():
        return None
    return float((predicted & true).sum() / (predicted | true).sum())
