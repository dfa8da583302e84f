"""Faces that agree about which side is outside.

Neighbours agree if they run along their common edge in opposite directions. Every face is taken twice, as it is and
turned over; copies of neighbours that agree are joined. Where the two copies of a face fall into different sets, either
set is a consistent orientation of its patch; where they fall into one (a Moebius strip), there is none.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from instantmesh.geometry.edges import Edges
from instantmesh.geometry.triangles import Array, Indices, Triangles, connected

# an open patch is turned outward only if it is bulgy: a sphere's volume / area^1.5 is 0.094, a flat sheet's 0
_BULGE = 0.01


def orient(mesh: Triangles) -> Triangles:
    """Turn faces over so that neighbours agree, and patches so that they face outward.

    A closed patch that faces inward and lies within another one is a cavity and stays. Open patches that are nearly
    flat have no outside: there the majority, by area, decides.
    """
    patch, turned = _agreement(mesh)
    mesh = _turn(mesh, turned)
    return _turn(mesh, _inward(mesh, patch))


def turn_outward(mesh: Triangles, component: Indices) -> Triangles:
    """Turn whole closed components over that face inward and are no cavities."""
    wrong = _patch_volumes(mesh, component) < 0
    for number in np.flatnonzero(wrong):
        wrong[number] = not _enclosed(mesh, component == number)
    return _turn(mesh, wrong[component])


def _agreement(mesh: Triangles) -> tuple[Indices, NDArray[np.bool_]]:
    """(f,) the patch that each face belongs to, and whether it is to be turned over to agree with most of its patch."""
    edges, n = Edges.of(mesh.faces), len(mesh.faces)
    shared = np.flatnonzero(edges.uses[edges.undirected] == 2)
    one, other = shared[np.argsort(edges.undirected[shared], kind="stable")].reshape(-1, 2).T
    disagree = edges.directed[one, 0] == edges.directed[other, 0]
    f, g = one // 3, other // 3
    start, end = np.r_[f, f + n], np.r_[g + n * disagree, g + n * ~disagree]
    label = connected(start, end, 2 * n)
    as_is, over = label[:n], label[n:]
    weight = np.bincount(as_is, weights=mesh.areas(), minlength=2 * n)
    turned = (weight[over] > weight[as_is]) | ((weight[over] == weight[as_is]) & (over < as_is))
    return np.unique(np.minimum(as_is, over), return_inverse=True)[1], turned & (as_is != over)


def _inward(mesh: Triangles, patch: Indices) -> NDArray[np.bool_]:
    """(f,) whether a face belongs to a patch that faces inward and should not."""
    edges = Edges.of(mesh.faces)
    closed = _closed(edges, patch)
    volume, area = _patch_volumes(mesh, patch), np.bincount(patch, weights=mesh.areas())
    wrong = volume < np.where(closed, 0.0, -_BULGE * area**1.5)
    # still inconsistent, so there is no consistent orientation
    wrong[patch[np.flatnonzero(edges.is_inconsistent[edges.undirected]) // 3]] = False
    for number in np.flatnonzero(wrong & closed):
        wrong[number] = not _enclosed(mesh, patch == number)
    return wrong[patch]


def _closed(edges: Edges, patch: Indices) -> NDArray[np.bool_]:
    """(p,) whether a patch, taken alone, runs along each of its edges as often in one direction as in the other."""
    of_edge = np.repeat(patch, 3)
    _, group = np.unique(of_edge * len(edges.uses) + edges.undirected, return_inverse=True)
    surplus = np.bincount(group, weights=np.where(edges.directed[:, 0] < edges.directed[:, 1], 1, -1))
    closed = np.ones(int(patch.max()) + 1, bool)
    closed[of_edge[surplus[group] != 0]] = False
    return closed


def _patch_volumes(mesh: Triangles, patch: Indices) -> Array:
    """(p,) signed volumes between each patch and the mean of its corners."""
    corners = mesh.vertices[mesh.faces]
    count = np.bincount(patch)
    centre = np.stack([np.bincount(patch, weights=x) for x in corners.mean(1).T], 1) / count[:, None]
    corners = corners - centre[patch][:, None]
    sixfold = np.bincount(patch, weights=_dot(corners[:, 0], np.cross(corners[:, 1], corners[:, 2])))
    return np.asarray(sixfold, np.float64) / 6


def _enclosed(mesh: Triangles, inner: NDArray[np.bool_]) -> bool:
    """Whether a point of the `inner` faces lies within the others, by the solid angle that they cover seen from it.

    Source of the angle's formula: Van Oosterom and Strackee (1983).
    """
    if inner.all():
        return False
    point = mesh.vertices[mesh.faces[inner][0]].mean(0)
    a, b, c = (mesh.vertices[mesh.faces[~inner][:, k]] - point for k in range(3))
    la, lb, lc = (np.linalg.norm(side, axis=1) for side in (a, b, c))
    below = la * lb * lc + _dot(a, b) * lc + _dot(b, c) * la + _dot(c, a) * lb
    angle = 2 * np.arctan2(_dot(a, np.cross(b, c)), below)
    return bool(abs(angle.sum()) > 2 * np.pi)


def _turn(mesh: Triangles, over: NDArray[np.bool_]) -> Triangles:
    if not over.any():
        return mesh
    faces = mesh.faces.copy()
    faces[over] = faces[over][:, ::-1]
    return replace(mesh, faces=faces)


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("ij,ij->i", a, b)
