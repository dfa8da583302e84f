"""From points on a simplified surface to points on the original one."""

import numpy as np

from instantmesh.geometry.barycentric import barycentric
from instantmesh.geometry.nearest import Nearest, NearestSurface
from instantmesh.geometry.rays import RayScene
from instantmesh.geometry.triangles import Triangles, unit
from instantmesh.texture.parameterization import Array, Indices

_REACH = 0.01  # how far rays look, in terms of the mesh's longest side
_START = 1e-3  # how far behind the point they start, in terms of their reach: surfaces that touch would be missed else
_SAME_SIDE = 0.3  # least cosine between the normals of two surfaces that are the same


class SurfaceCorrespondence:
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
        self._normals = unit(original.area_vectors())

    def __call__(self, points: Array, normals: Array) -> Nearest:
        """The places for points (p, 3) with unit normals (p, 3)."""
        ahead_face, ahead = self._along(points, normals)
        behind_face, behind = self._along(points, -normals, normals)
        is_ahead = ahead <= behind
        face, way = np.where(is_ahead, ahead_face, behind_face), np.where(is_ahead, ahead, -behind)
        found = np.isfinite(way)
        places = points + np.where(found, way, 0)[:, None] * normals
        result = Nearest(places, np.abs(way), face, np.zeros_like(places))
        result.weights[found] = barycentric(self._corners[face[found]], places[found])
        lost = np.flatnonzero(~found)
        if len(lost):
            nearest = self._search(points[lost])
            result.points[lost], result.distances[lost] = nearest.points, nearest.distances
            result.faces[lost], result.weights[lost] = nearest.faces, nearest.weights
        return result

    def _along(self, points: Array, directions: Array, normals: Array | None = None) -> tuple[Indices, Array]:
        """(p,) the faces met along `directions`, and how far away.

        Infinite where none is near that looks along `normals` (the directions by default).
        """
        start = _START * self._reach
        hits = self._scene.first_hits(points - start * directions, directions)
        distance = np.maximum(hits.distance - start, 0)
        cosine = np.einsum("px,px->p", self._normals[hits.face], directions if normals is None else normals)
        return hits.face, np.where(
            (hits.face >= 0) & (distance < self._reach) & (cosine > _SAME_SIDE), distance, np.inf
        )
