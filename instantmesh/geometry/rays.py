"""Rays cast at triangles on the CPU, by Embree."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.geometry.triangles import Array, Indices

_RAYS_AT_ONCE = 1_000_000  # bounds the memory


@dataclass(frozen=True, eq=False)
class RayHits:
    """The first face that each of r rays hits, from either side.

    Attributes:
        face: (r,), -1 for none.
        distance: (r,) in units of the direction's length; infinite for none.
        barycentric: (r, 3) the hit's weights of the face's corners; undefined for none.
    """

    face: Indices
    distance: Array
    barycentric: NDArray[np.float32]


class RayScene:
    """Triangles that rays are cast at; the acceleration structure is built once.

    The scene is watertight: no ray slips through between two faces that share an edge.

    Args:
        vertices: (v, 3).
        faces: (f, 3).
    """

    def __init__(self, vertices: NDArray[np.floating], faces: NDArray[np.integer]) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._scene = EmbreeScene(robust=True)
        TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, dtype=np.float32),
            np.ascontiguousarray(faces, dtype=np.int32),
        )

    def first_hits(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> RayHits:
        """The first hits of rays with `origins` and `directions` (r, 3)."""
        count = len(origins)
        hits = RayHits(np.full(count, -1, np.int64), np.full(count, np.inf), np.zeros((count, 3), np.float32))
        for start in range(0, count, _RAYS_AT_ONCE):
            part = slice(start, start + _RAYS_AT_ONCE)
            found = self._run(origins[part], directions[part], query="INTERSECT", output=True)
            hits.face[part] = found["primID"].astype(np.int32)
            hits.distance[part] = np.where(hits.face[part] >= 0, found["tfar"], np.inf)
            hits.barycentric[part] = np.stack([1 - found["u"] - found["v"], found["u"], found["v"]], 1)
        return hits

    def blocked(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> NDArray[np.bool_]:
        """(r,) whether rays with `origins` and `directions` (r, 3) hit any face: cheaper than which face is first."""
        blocked = np.empty(len(origins), bool)
        for start in range(0, len(origins), _RAYS_AT_ONCE):
            part = slice(start, start + _RAYS_AT_ONCE)
            blocked[part] = self._run(origins[part], directions[part], query="OCCLUDED") == 0  # -1: free
        return blocked

    def _run(self, origins: NDArray[np.floating], directions: NDArray[np.floating], **query: Any) -> Any:
        return self._scene.run(
            np.ascontiguousarray(origins, dtype=np.float32), np.ascontiguousarray(directions, dtype=np.float32), **query
        )


def covering_faces(corners: NDArray[np.floating], height: int, width: int) -> Indices:
    """The flat triangle that covers the centre of each pixel, -1 for none.

    Args:
        corners: (f, 3, 2) the triangles' corners in pixels: x to the right, y down.
        height: of the image in pixels.
        width: of the image in pixels.

    Returns:
        (height, width) face indices.
    """
    flat = np.concatenate([corners, np.zeros_like(corners[..., :1])], -1).reshape(-1, 3)
    scene = RayScene(flat, np.arange(len(flat)).reshape(-1, 3))
    covering = np.empty((height, width), np.int64)
    rows_at_once = max(1, _RAYS_AT_ONCE // width)
    for first in range(0, height, rows_at_once):
        rows = np.arange(first, min(first + rows_at_once, height))
        y, x = np.meshgrid(rows + 0.5, np.arange(width) + 0.5, indexing="ij")
        origins = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
        hits = scene.first_hits(origins, np.broadcast_to([0.0, 0, -1], origins.shape))
        covering[rows] = hits.face.reshape(x.shape)
    return covering
