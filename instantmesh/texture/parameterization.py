"""Triangles laid flat, before and after they are packed into an image.

Shapes: f faces, n flat vertices.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]
Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Parameterization:
    """Faces in the plane. Faces that share a vertex here hang together; else the surface was cut between them.

    Attributes:
        places: (n, 2) of the vertices, in the units of the surface, so that areas are about those of the surface.
        faces: (f, 3) into `places`, in the order of the surface's faces.
    """

    places: Array
    faces: Indices

    def corners(self) -> Array:
        """(f, 3, 2) where the faces' corners lie."""
        return self.places[self.faces]

    def area(self) -> float:
        """The sum of the faces' areas."""
        corners = self.corners()
        (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
        return float(np.abs(ax * by - ay * bx).sum() / 2)


def side_by_side(parts: list[Parameterization], of_faces: list[Indices]) -> Parameterization:
    """One parameterization of several, moved so that they don't touch; part i has the surface's faces `of_faces[i]`."""
    places, start, left = [], 0, 0.0
    faces = np.empty((sum(map(len, of_faces)), 3), np.int64)
    for part, rows in zip(parts, of_faces, strict=True):
        low, high = part.places.min(0), part.places.max(0)
        places.append(part.places - low + (left, 0))
        faces[rows] = part.faces + start
        start += len(part.places)
        left += 1.1 * (high - low)[0]
    return Parameterization(np.concatenate(places), faces)
