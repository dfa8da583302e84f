"""Closed shapes with known measures."""

import torch
from trimesh.creation import box, icosphere

from instantmesh.structures import Mesh


def sphere(radius: float = 1.0, subdivisions: int = 4, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    made = icosphere(subdivisions=subdivisions, radius=radius)
    vertices = torch.tensor(made.vertices, dtype=torch.float32)
    return Mesh(vertices + torch.tensor(centre), torch.tensor(made.faces), (vertices / radius + 1) / 2)


def cuboid(x: float, y: float, z: float) -> Mesh:
    made = box(extents=(x, y, z))
    return Mesh(torch.tensor(made.vertices, dtype=torch.float32), torch.tensor(made.faces))


def volume(mesh: Mesh) -> float:
    """Signed volume by the divergence theorem: positive where faces are counter-clockwise seen from outside."""
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)
