"""Grids that are evaluated near the surface only, against the whole grid."""

from math import pi

import numpy as np
import pytest
import torch
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.evaluation.mesh_matching import same_mesh
from instantmesh.surface import marching_cubes as module
from instantmesh.surface.marching_cubes import Triangles, extract_isosurface, marching_cubes
from instantmesh.surface.sparse_grid import DensityOnGrid, SparseGrid


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


def lattice(*axes: Tensor) -> Tensor:
    """A ball of few distinct values, so that many grid points lie on the level and vertices of their edges coincide."""
    return ((0.61 - points_of(*axes).norm(dim=-1)) * 64).round() / 64


def rough(*axes: Tensor) -> Tensor:
    """Random waves with hundreds of components, most of them smaller than a coarse cube."""
    random = torch.Generator().manual_seed(5)
    directions, phases = torch.randn(40, 3, generator=random) * 16, torch.rand(40, generator=random) * 2 * pi
    return torch.cos(points_of(*axes) @ directions.T + phases).sum(-1) - 9


def components(vertices: Tensor, faces: Tensor) -> set[frozenset[tuple[int, int, int]]]:
    """The connected parts of a mesh, each as where its triangles are, in 64ths of a cube."""
    pairs = faces[:, [0, 1, 1, 2]].reshape(-1, 2).numpy()
    joined = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), (len(vertices), len(vertices)))
    labels = connected_components(joined, directed=False)[1][faces[:, 0]].tolist()
    places = (vertices[faces].mean(1) * 64).round().long().tolist()
    parts: dict[int, set[tuple[int, int, int]]] = {}
    for label, (x, y, z) in zip(labels, places, strict=True):
        parts.setdefault(label, set()).add((x, y, z))
    return {frozenset(part) for part in parts.values()}


def both(
    density: DensityOnGrid, n: int, coarse: int, block: int, layers: int, level: float = 0.0
) -> tuple[Triangles, Triangles]:
    """The sparse grid's triangles, made from slabs of so many layers of cubes, and the whole grid's."""
    axis = torch.linspace(-1, 1, n)
    slabs = SparseGrid(density, axis, level, coarse, block).slabs(layers * n * n)
    return module._triangulate_slabs(slabs, level), module._triangulate(density(axis, axis, axis), level)


@pytest.mark.parametrize("density", [two_balls, torus, wire, noise, lattice])
@pytest.mark.parametrize(("n", "coarse", "block"), [(41, 11, 8), (50, 17, 6), (33, 9, 16)])
def test_the_sparse_surface_is_the_whole_grids(density, n, coarse, block):
    level = 0.0 if density is lattice else 0.01
    for layers in (1, 12):
        (vertices, faces), (expected, expected_faces) = both(density, n, coarse, block, layers, level)
        assert torch.equal(faces, expected_faces)
        torch.testing.assert_close(vertices, expected, atol=2e-5, rtol=0)


def test_a_component_is_found_whole_or_not_at_all():
    """Also where it goes on through a cube at an edge of blocks, whose faces don't show it."""
    found, expected = (components(*triangles) for triangles in both(rough, 49, 13, 8, 48))
    assert found <= expected
    assert len(found) > 100


def test_few_points_are_evaluated_each_once():
    axis, asked = torch.linspace(-1, 1, 129), []

    def counted(*axes: Tensor) -> Tensor:
        asked.append(points_of(*axes).reshape(-1, 3))
        return torus(*axes)

    grid = SparseGrid(counted, axis, 0.0, 33, 8)
    fine = torch.cat(asked[1:])
    assert len(fine) == grid.evaluated_points < 0.2 * 129**3
    assert len(asked[0]) == 33**3
    assert len(torch.unique(fine, dim=0)) == len(fine)


def test_a_component_that_the_coarse_grid_misses_is_followed_where_it_is_joined():
    """A ball on the end of a wire thinner than the coarse spacing."""

    def lollipop(*axes: Tensor) -> Tensor:
        x, y, z = points_of(*axes).unbind(-1)
        stick = 0.045 - torch.maximum(torch.hypot(y - 0.03, z - 0.03), (x.abs() - 0.7).clamp(min=0) * 4)
        ball = 0.2 - torch.hypot(torch.hypot(x + 0.6, y), z)
        return torch.maximum(stick, ball)

    (vertices, faces), (expected, expected_faces) = both(lollipop, 65, 9, 8, 20)
    assert torch.equal(faces, expected_faces)
    torch.testing.assert_close(vertices, expected, atol=2e-5, rtol=0)


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
