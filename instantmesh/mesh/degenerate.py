"""Vertices at one place, faces without area, faces that are there twice.

A face without area is never cut out of a closed surface, which would leave a slit. One with a very short edge loses
that edge: its ends become one vertex. One whose corner lies on the opposite edge passes that edge on to its neighbour:
the diagonal of the two is turned.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Array, Indices, Triangles, connected

# of the mesh's extent: lengths below it are float32's rounding errors
_TINY = 1e-7
_ALMOST = 1e-5  # what computing a place twice may differ by
_ALMOST_OF_EDGES = 1e-3  # of the rims' median edge, at most
_MOST_NEIGHBOURS = 64
_ROUNDS = 8


def weld(mesh: Triangles) -> Triangles:
    """One vertex where several lie at the same place; its colour is their mean.

    Vertices on the rims of holes are also joined with others there within 1e-5 of the mesh's extent, and a thousandth
    of the rims' median edge: triangles that were written one by one, or computed twice. Ends of one edge stay apart.
    """
    _, first, inverse = np.unique(mesh.vertices + 0.0, axis=0, return_index=True, return_inverse=True)
    if len(first) < len(mesh.vertices):
        mesh = mesh.merge(first[inverse.ravel()])
    return _weld_rims(mesh)


def _weld_rims(mesh: Triangles) -> Triangles:
    from scipy.spatial import KDTree

    edges = Edges.of(mesh.faces)
    is_rim = edges.is_boundary[edges.undirected]
    rim = np.unique(edges.directed[is_rim])
    if not len(rim):
        return mesh
    lengths = np.linalg.norm(np.diff(mesh.vertices[edges.directed[is_rim]], axis=1)[:, 0], axis=1)
    # a far outlier makes the extent large, but not the edges
    reach = min(_ALMOST * mesh.extent(), _ALMOST_OF_EDGES * float(np.median(lengths)))
    tree = KDTree(mesh.vertices[rim])
    if tree.count_neighbors(tree, reach) > _MOST_NEIGHBOURS * len(rim):  # a cloud, no seam
        return mesh
    pairs = tree.query_pairs(reach, output_type="ndarray")
    start, end = np.sort(rim[pairs], axis=1).T.reshape(2, -1)
    count = len(mesh.vertices)
    joined = np.unique(np.sort(edges.directed, axis=1) @ np.array([count, 1]))
    apart = ~np.isin(start * count + end, joined)
    if not apart.any():
        return mesh
    label = connected(start[apart], end[apart], count)
    return mesh.merge(np.unique(label, return_index=True)[1][label])


def degenerate(mesh: Triangles) -> NDArray[np.bool_]:
    """(f,) which faces have no area: flat to 1e-7 of the mesh's longest side."""
    return _heights(mesh) <= _TINY * mesh.extent()


def remove_degenerate(mesh: Triangles) -> Triangles:
    """Without faces that have no area, but for those whose removal would harm the surface."""
    if not len(mesh.faces) or not degenerate(mesh).any():
        return mesh
    mesh = _collapse_short_edges(mesh)
    for _ in range(_ROUNDS):
        if not len(mesh.faces) or not (flat := degenerate(mesh)).any():
            break
        mesh = _turn_long_edges(mesh, np.flatnonzero(flat))
    return mesh


def remove_duplicates(mesh: Triangles) -> Triangles:
    """Of faces with the same three vertices, in whatever order, only the first."""
    _, first = np.unique(np.sort(mesh.faces, 1), axis=0, return_index=True)
    return mesh if len(first) == len(mesh.faces) else replace(mesh, faces=mesh.faces[np.sort(first)])


def remove_folded(mesh: Triangles) -> Triangles:
    """Without pairs of faces that have the same vertices and face opposite ways. A closed surface stays closed."""
    _, group, count = np.unique(np.sort(mesh.faces, 1), axis=0, return_inverse=True, return_counts=True)
    a, b, c = mesh.faces.T
    turns_up = (a < b).astype(np.int64) + (b < c) + (c < a) == 2  # an even permutation of the ascending order
    balance = np.bincount(group.ravel(), weights=np.where(turns_up, 1, -1))
    return mesh.keep(~((count == 2) & (balance == 0))[group.ravel()])


def _heights(mesh: Triangles) -> Array:
    """(f,) each face's height over its longest edge; 0 if all its corners are one."""
    longest = _edge_lengths(mesh).max(1)
    return 2 * mesh.areas() / np.maximum(longest, 1e-300)


def _edge_lengths(mesh: Triangles) -> Array:
    """(f, 3) of the edges that follow each corner."""
    corners = mesh.vertices[mesh.faces]
    return np.linalg.norm(corners[:, [1, 2, 0]] - corners, axis=2)


def _collapse_short_edges(mesh: Triangles) -> Triangles:
    short = np.flatnonzero(_edge_lengths(mesh).ravel() <= _TINY * mesh.extent())
    if not len(short):
        return mesh
    start, end = mesh.faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)[short].T
    label = connected(start, end, len(mesh.vertices))
    return mesh.merge(np.unique(label, return_index=True)[1][label])


def _turn_long_edges(mesh: Triangles, flat: Indices) -> Triangles:
    """Each flat face (a, b, c), c on its longest edge ab, and its neighbour (b, a, d) become (c, a, d) and (d, b, c).

    On a rim, where it has no neighbour, it goes.
    """
    edges = Edges.of(mesh.faces)
    faces, gone = mesh.faces.copy(), np.zeros(len(mesh.faces), bool)
    known = {tuple(edge) for edge in np.sort(edges.directed, 1).tolist()}
    order = np.argsort(edges.undirected, kind="stable")
    start = np.searchsorted(edges.undirected[order], np.arange(len(edges.uses)))
    touched: set[int] = set()
    longest = _edge_lengths(mesh).argmax(1)
    for face in flat.tolist():
        edge = 3 * face + int(longest[face])
        number = edges.undirected[edge]
        users = order[start[number] : start[number] + edges.uses[number]].tolist()
        if len(users) == 1:
            gone[face] = True
            continue
        other = next(user for user in users if user != edge)
        a, b, c = np.roll(mesh.faces[face], -(edge % 3)).tolist()
        d = int(mesh.faces[other // 3][(other % 3 + 2) % 3])
        turned = (min(c, d), max(c, d))
        opposite = edges.directed[other].tolist() == [b, a]
        if len(users) > 2 or not opposite or c == d or turned in known or {face, other // 3} & touched:
            continue
        faces[face], faces[other // 3] = (c, a, d), (d, b, c)
        known.add(turned)
        touched |= {face, other // 3}
    return replace(mesh, faces=faces[~gone])
