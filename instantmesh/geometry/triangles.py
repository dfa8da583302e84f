"""A mesh as arrays of float64: areas, volumes, connected components.

Shapes: v vertices, f faces.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.geometry.bounds import Bounds
from instantmesh.structures import Mesh

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Triangles:
    """Triangles as arrays on the CPU.

    Attributes:
        vertices: (v, 3) world units.
        faces: (f, 3) counter-clockwise seen from outside, or meant to be.
        colors: (v, 3) sRGB in [0, 1], or None.
    """

    vertices: Array
    faces: Indices
    colors: Array | None = None

    @classmethod
    def of(cls, mesh: Mesh) -> "Triangles":
        """The mesh's arrays.

        Raises:
            InputError: it has no faces.
        """
        if not len(mesh.faces):
            raise InputError("the mesh has no faces")
        colors = None if mesh.vertex_colors is None else _doubles(mesh.vertex_colors)
        return cls(_doubles(mesh.vertices), mesh.faces.detach().cpu().numpy().astype(np.int64), colors)

    def to_mesh(self, like: Mesh) -> Mesh:
        """A `Mesh` of `like`'s precision and device."""
        place, dtype = like.vertices.device, like.vertices.dtype
        vertices, faces = torch.from_numpy(self.vertices), torch.from_numpy(self.faces)
        colors = None if self.colors is None else torch.from_numpy(self.colors.clip(0, 1)).to(place, dtype)
        return Mesh(vertices.to(place, dtype), faces.to(place), colors)

    def keep(self, faces: NDArray[np.bool_]) -> "Triangles":
        """These faces alone; the vertices stay."""
        return replace(self, faces=self.faces[faces])

    def merge(self, target: Indices) -> "Triangles":
        """Vertex i becomes vertex `target[i]`, which is its own target; a target's colour is the mean of all its own.

        Faces that name a vertex twice then are gone.
        """
        colors = self.colors
        if colors is not None:
            count = np.bincount(target, minlength=len(target)).clip(min=1)[:, None]
            sums = [np.bincount(target, weights=channel, minlength=len(target)) for channel in colors.T]
            colors = np.stack(sums, 1) / count
        faces = target[self.faces]
        whole = (faces != faces[:, [1, 2, 0]]).all(1)
        return Triangles(self.vertices, faces[whole], colors)

    def compact(self) -> "Triangles":
        """Without the vertices that no face names; the others keep their order."""
        used = np.zeros(len(self.vertices), bool)
        used[self.faces] = True
        colors = None if self.colors is None else self.colors[used]
        return Triangles(self.vertices[used], (np.cumsum(used) - 1)[self.faces], colors)

    def bounds(self) -> Bounds:
        """The bounding box of what the faces use."""
        return Bounds.of(self.vertices[self.faces.ravel()])

    def extent(self) -> float:
        """The longest side of the bounding box of what the faces use."""
        return self.bounds().longest_side

    def area_vectors(self) -> Array:
        """(f, 3) the faces' normals, as long as their areas."""
        return area_vectors(self.vertices, self.faces)

    def areas(self) -> Array:
        """(f,) the faces' areas."""
        return np.linalg.norm(self.area_vectors(), axis=1)

    def volumes(self) -> Array:
        """(f,) signed volumes between each face and the vertices' mean; their sum is a closed mesh's volume."""
        corners = self.vertices[self.faces] - self.vertices[self.faces].mean((0, 1))
        return np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6


def area_vectors(vertices: NDArray[Any], faces: NDArray[np.integer]) -> NDArray[Any]:
    """(f, 3) the faces' normals, as long as their areas."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a) / 2


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """Vectors (..., 3) scaled to unit length; zero stays zero."""
    # By components: numpy sums over a last axis of three several times as slowly.
    length = np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2 + vectors[..., 2] ** 2)
    return vectors / np.maximum(length, 1e-30)[..., None]


def components(faces: Indices, vertex_count: int) -> Indices:
    """(f,) the number, 0..c-1, of the component that each face belongs to: faces that share a vertex hang together."""
    label = connected(faces[:, [0, 1]].ravel(), faces[:, [1, 2]].ravel(), vertex_count)
    return np.unique(label[faces[:, 0]], return_inverse=True)[1]


def connected(start: Indices, end: Indices, count: int) -> Indices:
    """(count,) labels of the sets that nodes 0..count-1 form if start[i] and end[i] hang together."""
    from scipy.sparse import coo_matrix  # here, so that importing the package stays fast
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(start), bool), (start, end)), (count, count))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def _doubles(tensor: torch.Tensor) -> Array:
    return tensor.detach().cpu().double().numpy()
