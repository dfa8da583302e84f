"""Bounding boxes, and meshes moved and scaled into the unit cube or sphere."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.errors import InputError
from instantmesh.structures import Mesh


@dataclass(frozen=True, eq=False)
class Bounds:
    """The axis-aligned bounding box of points.

    Attributes:
        low: (3,) its lowest corner.
        high: (3,) its highest corner.
    """

    low: NDArray[np.floating]
    high: NDArray[np.floating]

    @classmethod
    def of(cls, points: NDArray[np.floating]) -> "Bounds":
        """The box of points (n, 3)."""
        return cls(points.min(0), points.max(0))

    @property
    def center(self) -> NDArray[np.floating]:
        """(3,) the middle of the box."""
        return (self.low + self.high) / 2

    @property
    def longest_side(self) -> float:
        """The length of the box's longest side."""
        return float((self.high - self.low).max())


def used_vertices(mesh: Mesh) -> Float[Tensor, "n 3"]:
    """The vertices that faces use, once for each corner of a face.

    Raises:
        InputError: the mesh has no faces.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no faces, so it has no surface to measure")
    return mesh.vertices[mesh.faces.flatten()]


def bounding_cube(mesh: Mesh) -> tuple[Float[Tensor, "3"], float]:
    """Centre of the bounding box of the vertices that faces use, and half of its longest side.

    Raises:
        InputError: no face, or all its vertices in one point.
    """
    used = used_vertices(mesh)
    low, high = used.amin(0), used.amax(0)
    half_side = float((high - low).max()) / 2
    if half_side == 0:
        raise InputError("all vertices of the mesh lie in one point")
    return (low + high) / 2, half_side


def to_unit_cube(mesh: Mesh) -> Mesh:
    """Move the bounding box's centre to the origin and scale its longest side to 2.

    Raises:
        InputError: no face, or all its vertices in one point.
    """
    center, half_side = bounding_cube(mesh)
    return replace(mesh, vertices=(mesh.vertices - center) / half_side)


def to_unit_sphere(mesh: Mesh) -> Mesh:
    """Move the bounding box's centre to the origin and scale the farthest vertex that faces use to radius 1.

    Raises:
        InputError: no face, or all its vertices in one point.
    """
    center, _ = bounding_cube(mesh)
    radius = (used_vertices(mesh) - center).norm(dim=1).amax()
    return replace(mesh, vertices=(mesh.vertices - center) / radius)
