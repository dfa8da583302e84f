"""From points on a simplified surface to points on the original one."""

import numpy as np

from instantmesh.mesh.nearest import Nearest, NearestSurface
from instantmesh.mesh.triangles import Triangles
from instantmesh.render.embree import RayScene
from instantmesh.texture.flat import Array, Indices

_REACH = 0.01  # how far rays look, in terms of the mesh's longest side
_START = 1e-3  # how far behind the point they start, in terms of their reach: surfaces that touch would be missed else
_SAME_SIDE = 0.3  # least cosine between the normals of two surfaces that are the same


class OriginalSurface:
    """Finds the places of the original surface that points of a simplified one stand for.

    A point goes along its normal, forwards or backwards, to the nearer of the places where the original surface looks
    the same way: rays do this many times as fast as a search for the nearest point, and neighbours go to neighbouring
    places. Where they find nothing near, the nearest point is searched for.
    """

    def __init__(self, original: Triangles) -> None:
        self._corners = original.vertices[original.faces]
        self._reach = _REACH * original.extent()
        self._scene = RayScene(original.vertices, original.faces)
        self._search = NearestSurface(original)
        a, b, c = self._corners.transpose(1, 0, 2)
        normals = np.cross(b - a, c - a)
        self._normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)

    def __call__(self, points: Array, normals: Array) -> Nearest:
        """The places for points (p, 3) with unit normals (p, 3)."""
        ahead_face, ahead = self._along(points, normals)
        behind_face, behind = self._along(points, -normals, normals)
        is_ahead = ahead <= behind
        face, way = np.where(is_ahead, ahead_face, behind_face), np.where(is_ahead, ahead, -behind)
        found = np.isfinite(way)
        places = points + np.where(found, way, 0)[:, None] * normals
        result = Nearest(places, np.abs(way), face, np.zeros_like(places))
        result.weights[found] = _barycentric(self._corners[face[found]], places[found])
        lost = np.flatnonzero(~found)
        if len(lost):
            nearest = self._search(points[lost])
            result.points[lost], result.distances[lost] = nearest.points, nearest.distances
            result.faces[lost], result.weights[lost] = nearest.faces, nearest.weights
        return result

    def _along(self, points: Array, directions: Array, normals: Array | None = None) -> tuple[Indices, Array]:
        """(p,) the faces met along `directions`, and how far away; infinite where none is near that looks along
        `normals` (the directions by default)."""
        start = _START * self._reach
        face, distance = self._scene.first_hits(points - start * directions, directions)
        distance = np.maximum(distance - start, 0)
        cosine = np.einsum("px,px->p", self._normals[face], directions if normals is None else normals)
        return face, np.where((face >= 0) & (distance < self._reach) & (cosine > _SAME_SIDE), distance, np.inf)


def _barycentric(corners: Array, points: Array) -> Array:
    """(p, 3) coordinates of points (p, 3) in the planes of triangles (p, 3, 3); points a little outside move inside."""
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    squared = np.maximum((normal**2).sum(1), 1e-30)
    second = (np.cross(points - a, c - a) * normal).sum(1) / squared
    third = (np.cross(b - a, points - a) * normal).sum(1) / squared
    weights = np.stack([1 - second - third, second, third], 1).clip(0)
    return weights / weights.sum(1, keepdims=True)
