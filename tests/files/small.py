"""A mesh that is seen through at a glance."""

import torch

from instantmesh.structures import Mesh


def asymmetric_mesh(colored: bool = True) -> Mesh:
    """A tetrahedron with different extents along x (the longest), y and z, counter-clockwise from outside."""
    vertices = torch.tensor([[0.0, 0, 0], [0.9, 0, 0], [0, 0.5, 0], [0, 0, 0.25]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    colors = torch.tensor([[0.0, 0.02, 0.2], [1, 0.5, 0.25], [0.1, 0.9, 0.03], [0.6, 0.7, 0.8]])
    return Mesh(vertices, faces, colors if colored else None)
