"""Grids that are evaluated near the surface only, against the whole grid."""

import pytest
import torch
import trimesh
from torch import Tensor

from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.evaluation.mesh_matching import same_mesh
from instantmesh.surface import marching_cubes as module
from instantmesh.surface.marching_cubes import extract_isosurface, marching_cubes
from instantmesh.surface.sparse_grid import SparseGrid


def points_of(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    return torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1)


def two_balls(*axes: Tensor) -> Tensor:
    p = points_of(*axes)
    distances = [(p - torch.tensor(c)).norm(dim=-1) - r for c, r in (((0.4, 0.3, 0.2), 0.35), ((-0.5, -0.4, 0.1), 0.3))]
    return -torch.minimum(*distances)


def torus(*axes: Tensor) -> Tensor:
    x, y, z = points_of(*axes).unbind(-1)
    return 0.17 - torch.hypot(torch.hypot(x, y) - 0.6, z)


def wire(*axes: Tensor) -> Tensor:
    """A thin helix through many blocks, which a coarse grid sees only here and there."""
    x, y, z = points_of(*axes).unbind(-1)
    return 0.13 - torch.hypot(x - 0.6 * torch.cos(5 * z), y - 0.6 * torch.sin(5 * z))


def noise(*axes: Tensor) -> Tensor:
    """Waves with many ambiguous cubes, which leave the grid on all sides."""
    x, y, z = points_of(*axes).unbind(-1)
    return torch.sin(31 * x + 2) * torch.cos(29 * y + 1) + torch.sin(27 * z + 3 * x) * torch.cos(33 * x * y)


@pytest.mark.parametrize("density", [two_balls, torus, wire, noise])
@pytest.mark.parametrize(("n", "coarse", "block"), [(41, 11, 8), (50, 17, 6), (33, 9, 16)])
def test_the_sparse_surface_is_the_whole_grids(density, n, coarse, block):
    axis = torch.linspace(-1, 1, n)
    grid = SparseGrid(density, axis, 0.01, coarse, block)
    vertices, faces = module._triangulate_slabs(grid.slabs(12 * n * n), 0.01)
    expected, expected_faces = module._triangulate(density(axis, axis, axis), 0.01)
    same_mesh(vertices, faces, expected, expected_faces, atol=1e-4)


def test_few_points_are_evaluated_each_once():
    axis, asked = torch.linspace(-1, 1, 129), []

    def counted(*axes: Tensor) -> Tensor:
        asked.append(points_of(*axes).reshape(-1, 3))
        return torus(*axes)

    grid = SparseGrid(counted, axis, 0.0, 33, 8)
    fine = torch.cat(asked[1:])
    assert len(fine) == grid.evaluated_points < 0.2 * 129**3
    assert len(torch.unique(fine, dim=0)) == len(fine)


def test_a_component_that_the_coarse_grid_misses_is_followed_where_it_is_joined():
    """A ball on the end of a wire thinner than the coarse spacing."""

    def lollipop(*axes: Tensor) -> Tensor:
        x, y, z = points_of(*axes).unbind(-1)
        stick = 0.045 - torch.maximum(torch.hypot(y - 0.03, z - 0.03), (x.abs() - 0.7).clamp(min=0) * 4)
        ball = 0.2 - torch.hypot(torch.hypot(x + 0.6, y), z)
        return torch.maximum(stick, ball)

    axis = torch.linspace(-1, 1, 65)
    vertices, faces = module._triangulate_slabs(SparseGrid(lollipop, axis, 0.0, 9, 8).slabs(10**6), 0.0)
    expected, expected_faces = module._triangulate(lollipop(axis, axis, axis), 0.0)
    same_mesh(vertices, faces, expected, expected_faces, atol=1e-4)


def test_large_resolutions_take_the_sparse_way_and_give_the_same_mesh(monkeypatch):
    monkeypatch.setattr(module, "DENSE_POINTS", 40)
    monkeypatch.setattr(module, "_POINTS_PER_SLAB", 20 * 60 * 60)
    mesh = extract_isosurface(torus, torch.zeros_like, 60, bound=0.9, threshold=0.0)
    axis = torch.linspace(-0.9, 0.9, 60)
    vertices, faces = marching_cubes(torus(axis, axis, axis), 0.0, (-0.9, 0.9))
    same_mesh(mesh.vertices, mesh.faces, vertices, faces, atol=1e-5)
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume > 0
    assert solid.euler_number == 0


def test_nothing_to_see_and_nothing_finite():
    axis = torch.linspace(-1, 1, 33)
    with pytest.raises(EmptySurfaceError, match="never crosses 9"):
        SparseGrid(torus, axis, 9.0, 9, 8)

    def broken(*axes: Tensor) -> Tensor:
        values = torus(*axes)
        return values if len(axes[0]) == 9 else torch.full_like(values, float("nan"))

    with pytest.raises(InputError, match="finite"):
        SparseGrid(broken, axis, 0.0, 9, 7)
