"""Meshes with known measures, and what tests do to them."""

import numpy as np
import torch
from trimesh.creation import box, icosphere, torus

from instantmesh.structures import Mesh


def sphere(radius: float = 1.0, subdivisions: int = 3, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    """A ball of 20 * 4^subdivisions faces; a point's colour is its place in the unit cube."""
    made = icosphere(subdivisions=subdivisions, radius=radius)
    return colored(made.vertices + np.array(centre), made.faces)


def cube(side: float = 1.0, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Mesh:
    made = box(extents=(side,) * 3)
    return colored(made.vertices + np.array(centre), made.faces)


def ring() -> Mesh:
    made = torus(major_radius=0.7, minor_radius=0.2, major_sections=48, minor_sections=24)
    return colored(made.vertices, made.faces)


def colored(vertices: np.ndarray, faces: np.ndarray) -> Mesh:
    places = torch.tensor(np.asarray(vertices), dtype=torch.float32)
    return Mesh(places, torch.tensor(np.asarray(faces)).long(), color_at(places))


def color_at(points: torch.Tensor) -> torch.Tensor:
    return (points / 4 + 0.5).clamp(0, 1)


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    return Mesh(
        torch.cat([mesh.vertices for mesh in meshes]),
        torch.cat([mesh.faces + int(start) for mesh, start in zip(meshes, starts, strict=False)]),
        torch.cat([mesh.vertex_colors for mesh in meshes if mesh.vertex_colors is not None]),
    )


def with_faces(mesh: Mesh, faces: torch.Tensor) -> Mesh:
    return Mesh(mesh.vertices, faces, mesh.vertex_colors)


def volume(mesh: Mesh) -> float:
    a, b, c = mesh.vertices.double()[mesh.faces].unbind(1)
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def same(one: Mesh, other: Mesh) -> bool:
    pairs = [(one.vertices, other.vertices), (one.faces, other.faces), (one.vertex_colors, other.vertex_colors)]
    return all(a is not None and b is not None and torch.equal(a, b) for a, b in pairs)
