"""Charts by plain projection, in time proportional to the faces: for surfaces that take xatlas too long.

Faces that hang together and look most along the same of the six axes are a chart, seen along that axis. Such a chart
can lie over itself, as a winding staircase does; rays find what is covered, and that becomes charts of its own.

Shapes: v vertices, f faces, c charts.
"""

import numpy as np

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.rays import RayScene
from instantmesh.geometry.triangles import area_vectors, connected
from instantmesh.texture.parameterization import Array, Indices, Parameterization

# Where a face is looked at to see whether another covers it: its middle, and near its corners.
_PROBES = np.array([[1, 1, 1], [8, 1, 1], [1, 8, 1], [1, 1, 8]]) / np.array([[3], [10], [10], [10]])
_MOST_ROUNDS = 64  # each uncovers a storey


def projected(vertices: Array, faces: Indices) -> Parameterization:
    """The surface laid flat; charts keep the size that they have when seen along their axis."""
    axis = _axes(vertices, faces)
    chart = _connected(faces, axis)
    for _ in range(_MOST_ROUNDS):
        covered = _covered(_spread(vertices, faces, axis, chart))
        if not covered.any():
            break
        chart = _connected(faces, 2 * chart + covered)
    spread = _spread(vertices, faces, axis, chart)
    # A vertex is one in the plane for all faces of a chart.
    key, corners = np.unique(np.stack([np.repeat(chart, 3), faces.ravel()], 1), axis=0, return_inverse=True)
    places = np.empty((len(key), 2))
    places[corners.ravel()] = spread[..., :2].reshape(-1, 2)
    return Parameterization(places, corners.reshape(-1, 3))


def _axes(vertices: Array, faces: Indices) -> Indices:
    """(f,) the axis that each face looks along most: 0 to 2 for +x, +y, +z, 3 to 5 for -x, -y, -z."""
    normal = area_vectors(vertices, faces)
    return np.concatenate([normal, -normal], 1).argmax(1)


def _connected(faces: Indices, kind: Indices) -> Indices:
    """(f,) numbers of the groups of faces that share edges and are of the same kind."""
    edge, owner = Edges.of(faces).undirected, np.repeat(np.arange(len(faces)), 3)
    order = np.lexsort([owner, kind[owner], edge])
    edge, owner = edge[order], owner[order]
    same = (edge[1:] == edge[:-1]) & (kind[owner[1:]] == kind[owner[:-1]])
    return connected(owner[:-1][same], owner[1:][same], len(faces))


def _spread(vertices: Array, faces: Indices, axis: Indices, chart: Indices) -> Array:
    """The faces' corners (f, 3, 3): across, up, and towards the eye.

    Each chart is seen along its axis and moved aside from the others.
    """
    across, up, towards = np.array([[1, 2, 0], [2, 0, 1], [0, 1, 2], [2, 1, 0], [0, 2, 1], [1, 0, 2]])[axis].T
    corners = vertices[faces]
    row = np.arange(len(faces))
    seen = np.stack([corners[row, :, k] for k in (across, up, towards)], -1)
    seen[..., 2] *= np.where(axis < 3, 1, -1)[:, None]
    count = chart.max() + 1
    low, high = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(low, chart, seen[..., 0].min(1))
    np.maximum.at(high, chart, seen[..., 0].max(1))
    width = 1.1 * (high - low) + 1e-9
    seen[..., 0] += (np.cumsum(width) - width - low)[chart][:, None]
    return seen


def _covered(spread: Array) -> np.ndarray:
    """(f,) whether a ray from the eye to the face, at one of the probes, meets another face first."""
    scene = RayScene(spread.reshape(-1, 3), np.arange(3 * len(spread)).reshape(-1, 3))
    covered = np.zeros(len(spread), bool)
    top = spread[..., 2].max() + 1
    for weights in _PROBES:
        origin = np.einsum("k,fkx->fx", weights, spread)
        origin[:, 2] = top
        face = scene.first_hits(origin, np.broadcast_to([0.0, 0, -1], origin.shape)).face
        covered |= (face >= 0) & (face != np.arange(len(spread)))
    return covered
