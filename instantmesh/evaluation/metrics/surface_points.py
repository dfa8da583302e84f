"""Points drawn on surfaces, with the normals there."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh.geometry.sampling import draw_on_surface
from instantmesh.structures import Mesh

Array = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class SurfacePoints:
    """Points on a surface.

    Attributes:
        points: (n, 3).
        normals: (n, 3) unit normals of the faces that they lie on.
    """

    points: Array
    normals: Array

    def __len__(self) -> int:
        return len(self.points)

    def moved(self, transform: Array) -> "SurfacePoints":
        """The points after a similarity transform (4, 4)."""
        linear = transform[:3, :3]
        rotation = linear / np.cbrt(np.linalg.det(linear))
        return SurfacePoints(self.points @ linear.T + transform[:3, 3], self.normals @ rotation.T)

    def chosen(self, which: NDArray[np.bool_] | slice) -> "SurfacePoints":
        """Some of the points."""
        return SurfacePoints(self.points[which], self.normals[which])


def sample_points(mesh: Mesh, count: int, generator: torch.Generator) -> SurfacePoints:
    """Draw points uniformly by area, with the normals of their faces.

    Raises:
        InputError: the surface has no area.
    """
    vertices, faces = mesh.vertices.detach().float().cpu(), mesh.faces.cpu()
    points, face = draw_on_surface(vertices, faces, count, generator)
    a, b, c = vertices.double()[faces[face]].unbind(1)
    normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1, eps=1e-30)
    return SurfacePoints(points.double().numpy(), normals.numpy())
