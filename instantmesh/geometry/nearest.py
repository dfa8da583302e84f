"""The nearest points of a surface.

Shapes: p points, f faces, s sites (points spread over the faces, by which faces near a point are found), k candidates.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.triangles import Array, Indices, Triangles

_CANDIDATES = 12
_CANDIDATES_PER_CHUNK = 240_000  # bounds the memory to some 100 MB
_SITES_PER_FACE = 4  # on average, at most
_FEW_SITES = 100_000  # meshes of few faces may have more for each


@dataclass(frozen=True, eq=False)
class Nearest:
    """The nearest points of a surface.

    Attributes:
        points: (p, 3) on the surface.
        distances: (p,) to them.
        faces: (p,) that they lie on.
        weights: (p, 3) their barycentric coordinates there.
    """

    points: Array
    distances: Array
    faces: Indices
    weights: Array


class NearestSurface:
    """Finds the nearest point of a mesh, exactly.

    The faces that own the k sites nearest to a point are looked at. If the nearest of them lies at distance d, no face
    can be nearer that has no site within d + reach. Where the k sites don't go that far, four times as many are looked
    at.
    """

    def __init__(self, mesh: Triangles) -> None:
        from scipy.spatial import KDTree

        self._mesh = mesh
        sites, self._owner, self._reach = _sites(mesh)
        self._tree = KDTree(sites)

    def __call__(self, points: Array) -> Nearest:
        """The nearest points to `points` (p, 3)."""
        n, k = len(points), min(_CANDIDATES, len(self._owner))
        result = Nearest(np.empty((n, 3)), np.empty(n), np.empty(n, np.int64), np.empty((n, 3)))
        pending = np.arange(n)
        while len(pending):
            unsure = []
            for chunk in np.array_split(pending, -(-len(pending) * k // _CANDIDATES_PER_CHUNK)):
                found, looked = self._among(points[chunk], k)
                result.points[chunk], result.distances[chunk] = found.points, found.distances
                result.faces[chunk], result.weights[chunk] = found.faces, found.weights
                unsure.append(chunk[looked < found.distances + self._reach])
            pending = np.concatenate(unsure) if k < len(self._owner) else pending[:0]
            k = min(4 * k, len(self._owner))
        return result

    def colors(self, nearest: Nearest) -> Array:
        """(p, 3) the surface's colours there. The mesh has some."""
        assert self._mesh.colors is not None
        return interpolate(self._mesh.colors, self._mesh.faces[nearest.faces], nearest.weights)

    def _among(self, points: Array, k: int) -> tuple[Nearest, Array]:
        """The nearest point of the faces that own the k nearest sites, and (p,) how far away the last of these is."""
        reached, site = (np.asarray(found).reshape(len(points), k) for found in self._tree.query(points, k=k))
        candidates = self._owner[site]
        corners = self._mesh.vertices[self._mesh.faces[candidates]]  # (p, k, 3, 3)
        weights = _closest_weights(corners, points[:, None])
        closest = np.einsum("pkc,pkcx->pkx", weights, corners)
        distances = np.linalg.norm(closest - points[:, None], axis=2)
        best, row = distances.argmin(1), np.arange(len(points))
        found = Nearest(closest[row, best], distances[row, best], candidates[row, best], weights[row, best])
        return found, reached[:, -1]


def _sites(mesh: Triangles) -> tuple[Array, Indices, float]:
    """(s, 3) the middles of all faces, large ones cut into parts first.

    (s,) whose they are; and how far from the nearest site of its face a point can lie. A face is cut into m^2 equal
    parts, of whose median that is 2/3: at most the longest edge / (m sqrt(3)). Of a sliver only the longest edge is
    cut, into m; its points lie within the height of a point of that edge, and this within half a piece of a site.
    """
    corners = mesh.vertices[mesh.faces]
    edges = corners[:, [1, 2, 0]] - corners
    lengths = np.linalg.norm(edges, axis=2)
    longest = lengths.max(1)
    doubled_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    height = doubled_area / np.maximum(longest, 1e-300)
    spacing = max(float(np.sqrt(np.median(doubled_area))), float(longest.max()) * 1e-3, 1e-12)
    most = max(_SITES_PER_FACE * len(corners), _FEW_SITES)
    while True:
        cuts = np.ceil(longest / spacing).clip(min=1)
        is_sliver = height * cuts <= longest * 12**-0.5
        if np.where(is_sliver, cuts, cuts**2).sum() <= most or cuts.max() == 1:
            break
        spacing *= 1.25
    sites, owner = [], []
    for m in np.unique(cuts):
        for sliver in (False, True):
            faces: Indices = np.flatnonzero((cuts == m) & (is_sliver == sliver))
            if sliver:
                start = lengths[faces].argmax(1)
                share = ((np.arange(m) + 0.5) / m)[:, None]
                first, second = (corners[faces, (start + step) % 3][:, None] for step in (0, 1))
                sites.append((first + share * (second - first)).reshape(-1, 3))
                owner.append(np.repeat(faces, int(m)))
            else:
                weights = _part_middles(int(m))
                sites.append(np.einsum("sk,fkx->fsx", weights, corners[faces]).reshape(-1, 3))
                owner.append(np.repeat(faces, len(weights)))
    return np.concatenate(sites), np.concatenate(owner), float((longest / cuts).max()) * 3**-0.5


def _part_middles(m: int) -> Array:
    """(m^2, 3) barycentric coordinates of the middles of a triangle's m^2 equal parts."""
    i, j = (index.ravel() for index in np.mgrid[:m, :m])
    upright = np.stack([i, j], 1)[i + j < m] + 1 / 3
    turned = np.stack([i, j], 1)[i + j < m - 1] + 2 / 3
    two = np.concatenate([upright, turned]) / m
    return np.concatenate([two, 1 - two.sum(1, keepdims=True)], 1)


def _closest_weights(corners: Array, points: Array) -> Array:
    """(..., 3) barycentric coordinates of the triangles' (..., 3, 3) points that are closest to `points` (..., 3).

    The foot of the perpendicular where it lies inside, else the closest point of the three edges.
    """
    a, b, c = corners[..., 0, :], corners[..., 1, :], corners[..., 2, :]
    ab, ac, ap = b - a, c - a, points - a
    d00, d01, d11 = _dot(ab, ab), _dot(ab, ac), _dot(ac, ac)
    d20, d21 = _dot(ap, ab), _dot(ap, ac)
    below = d00 * d11 - d01 * d01
    safe = np.where(below > 0, below, 1)
    v, w = (d11 * d20 - d01 * d21) / safe, (d00 * d21 - d01 * d20) / safe
    inside = (below > 0) & (v >= 0) & (w >= 0) & (v + w <= 1)
    best, least = np.stack([1 - v - w, v, w], -1), np.where(inside, -1.0, np.inf)
    for start in range(3):
        end = (start + 1) % 3
        edge = corners[..., end, :] - corners[..., start, :]
        length = _dot(edge, edge)
        share = (_dot(points - corners[..., start, :], edge) / np.where(length > 0, length, 1)).clip(0, 1)
        weights = np.zeros_like(best)
        weights[..., start], weights[..., end] = 1 - share, share
        offset = points - corners[..., start, :] - share[..., None] * edge
        distance = _dot(offset, offset)
        nearer = distance < least
        best, least = np.where(nearer[..., None], weights, best), np.where(nearer, distance, least)
    return best


def _dot(a: Array, b: Array) -> Array:
    return np.einsum("...i,...i->...", a, b)
