"""Cube, sphere, cylinder, cone and torus as closed meshes in [-1, 1]^3, at any resolution.

All are made of quads (at poles two corners coincide), so that wireframes show no diagonals. Corners at one point share
a normal where the surface is smooth; across creases each side has its own vertex.

Symbols: n points, v vertices (v >= n, see creases), q quads, f triangles, e edges.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from instantmesh.data.procedural.zeroverse.solids import Array
from instantmesh.geometry.triangles import unit

KINDS = ("cube", "sphere", "cylinder", "cone", "torus")
_TORUS_TUBE = 0.3  # radius of the torus's tube; its ring has 0.7


@dataclass(frozen=True)
class PrimitiveMesh:
    """A primitive's triangles, made once for each resolution.

    Attributes:
        points: (n, 3) float32.
        outward: (n, 3) unit normals there, the mean over creases.
        faces: (f, 3), vertices, counter-clockwise seen from outside.
        place: (v,), the point of every vertex.
        edges: (e, 2) points: those of the quads, without diagonals.
        around: (v, f) sparse ones: which triangles a vertex's normal is the mean of.
    """

    points: Array
    outward: Array
    faces: NDArray[np.int64]
    place: NDArray[np.int64]
    edges: NDArray[np.int64]
    around: csr_array

    def vertex_normals(self, points: Array) -> Array:
        """Unit normals (v, 3) of the mesh with its points (n, 3) moved: area-weighted means of triangles' normals."""
        return unit(self.around @ _face_vectors(points, self.place[self.faces]))


@lru_cache(maxsize=64)
def primitive_mesh(kind: str, segments: int, cells: int) -> PrimitiveMesh:
    """The mesh of one of `KINDS`: `segments` around a full circle, `cells` along a straight side of length 2."""
    if kind == "cube":
        points, quads, smooth = _cube(cells)
    else:
        profile, smooth_group, closed = _profile(kind, segments, cells)
        points, quads, smooth = _revolve(profile, smooth_group, segments, closed)
    return _with_creases(points, quads, smooth)


def _cube(cells: int) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """Points of the lattice on the surface, quads (q, 4), and every corner's side (q, 4)."""
    i, j = (index.ravel() for index in np.meshgrid(np.arange(cells), np.arange(cells), indexing="ij"))
    corners = np.stack([np.stack([i, j], 1), np.stack([i + 1, j], 1), np.stack([i + 1, j + 1], 1),
                        np.stack([i, j + 1], 1)], 1)  # fmt: skip
    quads = []
    for axis in range(3):
        for end in (0, cells):
            lattice = np.insert(corners if end else corners[:, ::-1], 0, end, axis=2)
            quads.append(np.roll(lattice, axis, axis=2))  # (axis, next, next): cyclic, so orientation stays
    side = np.repeat(np.arange(6), len(corners))[:, None].repeat(4, 1)
    lattice = np.concatenate(quads)
    number = lattice @ np.array([(cells + 1) ** 2, cells + 1, 1])
    used, number = np.unique(number, return_inverse=True)
    points = np.stack(np.unravel_index(used, (cells + 1,) * 3), 1) * (2 / cells) - 1
    return points, number.reshape(-1, 4), side


def _profile(kind: str, segments: int, cells: int) -> tuple[Array, NDArray[np.int64], bool]:
    """Polyline (m, 2) in the half-plane (r, z), upwards on the outside; the smooth group of each piece; closed?"""
    half = max(1, round(cells / 2))
    if kind == "sphere":
        angle = np.linspace(-np.pi / 2, np.pi / 2, max(2, segments // 2) + 1)
        return np.stack([np.cos(angle), np.sin(angle)], 1), np.zeros(len(angle) - 1, int), False
    if kind == "torus":
        angle = np.linspace(0, 2 * np.pi, max(4, segments // 2) + 1)[:-1]
        ring = np.stack([1 - _TORUS_TUBE + _TORUS_TUBE * np.cos(angle), _TORUS_TUBE * np.sin(angle)], 1)
        return ring, np.zeros(len(ring), int), True
    bottom = np.linspace((0, -1), (1, -1), half + 1)
    if kind == "cylinder":
        lines = [bottom, np.linspace((1, -1), (1, 1), cells + 1), np.linspace((1, 1), (0, 1), half + 1)]
    else:
        lines = [bottom, np.linspace((1, -1), (0, 1), cells + 1)]
    groups = np.concatenate([np.full(len(line) - 1, index) for index, line in enumerate(lines)])
    return np.concatenate([lines[0], *(line[1:] for line in lines[1:])]), groups, False


def _revolve(
    profile: Array, group: NDArray[np.int64], segments: int, closed: bool
) -> tuple[Array, NDArray[np.int64], NDArray[np.int64]]:
    """The polyline turned about z: points, quads (q, 4), and every corner's smooth group (q, 4).

    A cone's tip is smooth nowhere: there each quad has a group of its own.
    """
    m, pieces = len(profile), len(group)
    angle = np.arange(segments) * 2 * np.pi / segments
    radius, height = profile[:, 0], profile[:, 1]
    points = np.stack(
        [radius * np.cos(angle)[:, None], radius * np.sin(angle)[:, None], np.broadcast_to(height, (segments, m))], 2
    ).reshape(-1, 3)
    number = np.arange(segments * m).reshape(segments, m)
    pole = radius < 1e-9
    number[:, pole] = number[0, pole]
    here, after = number, np.roll(number, -1, axis=0)
    low, high = np.arange(pieces), (np.arange(pieces) + 1) % m
    quads = np.stack([here[:, low], after[:, low], after[:, high], here[:, high]], 2).reshape(-1, 4)
    groups = np.broadcast_to(group[None, :, None], (segments, pieces, 4)).copy()
    if not closed and profile[-2, 1] < profile[-1, 1] and group[-1] > 0:  # a slope that ends on the axis
        groups[:, -1, 2:] = np.arange(segments)[:, None] + pieces
    used, quads = np.unique(quads, return_inverse=True)
    return points[used], quads.reshape(-1, 4), groups.reshape(-1, 4)


def _with_creases(points: Array, quads: NDArray[np.int64], smooth: NDArray[np.int64]) -> PrimitiveMesh:
    split = [[0, 1, 2], [0, 2, 3]]
    triangles, groups = quads[:, split].reshape(-1, 3), smooth[:, split].reshape(-1, 3)
    proper = (triangles != np.roll(triangles, 1, axis=1)).all(1)
    triangles, groups = triangles[proper], groups[proper]
    corners = np.stack([triangles, groups], 2).reshape(-1, 2)
    vertices, faces = np.unique(corners, axis=0, return_inverse=True)
    faces = faces.reshape(-1, 3)
    sides = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], 2).reshape(-1, 2), axis=1)
    edges = np.unique(sides[sides[:, 0] != sides[:, 1]], axis=0)
    vectors = _face_vectors(points, triangles)
    return PrimitiveMesh(
        points.astype(np.float32),
        unit(_incidence(triangles, len(points)) @ unit(vectors)).astype(np.float32),
        faces,
        vertices[:, 0],
        edges,
        _incidence(faces, len(vertices)),
    )


def _incidence(faces: NDArray[np.int64], count: int) -> csr_array:
    """(count, f) ones where a face has a vertex."""
    columns = np.repeat(np.arange(len(faces)), 3)
    ones = np.ones(faces.size, np.float32)
    return csr_array((ones, (faces.ravel(), columns)), shape=(count, len(faces)))


def _face_vectors(points: Array, triangles: NDArray[np.int64]) -> Array:
    """(f, 3) normals as long as twice the triangles' areas."""
    a, b, c = points[triangles].transpose(1, 0, 2)
    x, y = b - a, c - a
    return np.stack(
        [
            x[:, 1] * y[:, 2] - x[:, 2] * y[:, 1],
            x[:, 2] * y[:, 0] - x[:, 0] * y[:, 2],
            x[:, 0] * y[:, 1] - x[:, 1] * y[:, 0],
        ],
        1,
    )
