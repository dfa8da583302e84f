"""Edges as thin tubes: six-sided, closed by points that reach into the joints."""

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.zeroverse.solids import Array, Solid
from instantmesh.geometry.triangles import unit

_SIDES = 6


def tubes(points: Array, local: Array, edges: NDArray[np.int64], radius: float, texture: int) -> Solid:
    """A closed tube along every edge (e, 2) of points (n, 3), which have texture coordinates `local` (n, 3).

    The points at a tube's ends stand out by its radius, so that tubes which meet leave no gap.
    """
    start, end = points[edges[:, 0]], points[edges[:, 1]]
    long_enough = np.square(end - start).sum(1) > 1e-8
    edges, start, end = edges[long_enough], start[long_enough], end[long_enough]
    along = unit(end - start)
    across = unit(np.cross(along, np.eye(3, dtype=np.float32)[np.abs(along).argmin(1)]))
    beside = np.cross(along, across)
    angle = np.arange(_SIDES, dtype=np.float32) * np.float32(2 * np.pi / _SIDES)
    ring = np.cos(angle)[:, None] * across[:, None] + np.sin(angle)[:, None] * beside[:, None]  # (e, sides, 3)
    normals = np.concatenate([ring, ring, -along[:, None], along[:, None]], 1)
    middle = np.concatenate([np.repeat(end_point[:, None], _SIDES, 1) for end_point in (start, end)], 1)
    vertices = np.concatenate([middle, start[:, None], end[:, None]], 1) + radius * normals
    which = np.repeat([0, 1, 0, 1], [_SIDES, _SIDES, 1, 1])
    faces = _tube_faces() + (np.arange(len(edges)) * normals.shape[1])[:, None, None]
    vertices = vertices.reshape(-1, 3)
    return Solid(
        vertices.astype(np.float32),
        faces.reshape(-1, 3),
        normals.reshape(-1, 3).astype(np.float32),
        local[edges[:, which]].reshape(-1, 3),
        np.full(faces.shape[0] * faces.shape[1], texture),
        np.arange(len(vertices)),
    )


def _tube_faces() -> NDArray[np.int64]:
    """Triangles of one tube: vertices are the ring at its start, the one at its end, and the two points."""
    i, j = np.arange(_SIDES), np.roll(np.arange(_SIDES), -1)
    first, last = np.full(_SIDES, 2 * _SIDES), np.full(_SIDES, 2 * _SIDES + 1)
    return np.concatenate(
        [
            np.stack([i, j, _SIDES + j], 1),
            np.stack([i, _SIDES + j, _SIDES + i], 1),
            np.stack([first, j, i], 1),
            np.stack([last, _SIDES + i, _SIDES + j], 1),
        ]
    )
