"""What any extracted surface must satisfy: closed, outward, convergent, the same from a sparse list of cubes."""

from collections import Counter
from itertools import pairwise
from math import pi

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from instantmesh.evaluation.mesh_matching import same_mesh
from instantmesh.surface.flexicubes import DualMesh, flexicubes, normalise_weights
from instantmesh.surface.grid import cube_corners, surface_cubes

seeds = st.integers(0, 2**31 - 1)


def grid_points(resolution: int) -> Tensor:
    axis = torch.linspace(-1, 1, resolution + 1, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis, axis)


def extract(points: Tensor, sdf: Tensor, raw: Tensor | None = None, *, training: bool = False) -> DualMesh:
    """`raw` holds weights of all cubes of the grid."""
    n = round(len(points) ** (1 / 3))
    positions = surface_cubes((sdf < 0).view(n, n, n))
    x, y, z = positions.unbind(1)
    weights = None if raw is None else normalise_weights(raw[(x * (n - 1) + y) * (n - 1) + z])
    return flexicubes(points, sdf, positions, cube_corners(positions, (n, n, n)), weights, training=training)


def area_and_volume(mesh: DualMesh) -> tuple[float, float]:
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2
    return float(area), float((a * torch.linalg.cross(b, c)).sum() / 6)


def directed_edges(faces: Tensor) -> Counter[tuple[int, int]]:
    return Counter(map(tuple, faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2).tolist()))


def smooth_field(seed: int, points: Tensor) -> Tensor:
    """A union of balls, blended: negative inside, positive on the boundary of the grid."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.rand(4, 3, generator=generator, dtype=torch.float64) - 0.5
    radii = 0.15 + 0.2 * torch.rand(4, generator=generator, dtype=torch.float64)
    return -torch.logsumexp(-8 * (torch.cdist(points, centres) - radii), dim=1) / 8


def noise(seed: int, resolution: int) -> tuple[Tensor, Tensor, Tensor]:
    """Points, noise that is positive on the boundary, and raw weights of all cubes."""
    generator = torch.Generator().manual_seed(seed)
    n = resolution + 1
    sdf = torch.randn(n, n, n, generator=generator, dtype=torch.float64) - 0.3
    for axis in range(3):
        sdf.select(axis, 0).abs_()
        sdf.select(axis, -1).abs_()
    raw = torch.randn(resolution**3, 21, generator=generator, dtype=torch.float64)
    return grid_points(resolution), sdf.flatten(), raw


def test_sphere_converges_with_the_square_of_the_cube_size():
    errors = []
    for resolution in (12, 24, 48):
        points = grid_points(resolution)
        area, volume = area_and_volume(extract(points, points.norm(dim=1) - 0.7))
        errors.append((abs(area / (4 * pi * 0.7**2) - 1), abs(volume / (4 / 3 * pi * 0.7**3) - 1)))
    assert max(errors[-1]) < 5e-3
    for coarse, fine in pairwise(errors):
        assert all(b < a / 3 for a, b in zip(coarse, fine, strict=True))


@settings(max_examples=15, deadline=None)
@given(seeds, st.booleans())
def test_smooth_surfaces_are_closed_manifolds_that_face_outward(seed: int, training: bool):
    points = grid_points(14)
    raw = torch.randn(14**3, 21, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mesh = extract(points, smooth_field(seed, points), raw, training=training)
    edges = directed_edges(mesh.faces)
    assert set(edges.values()) == {1}
    assert all((b, a) in edges for a, b in edges)
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    normal = torch.linalg.cross(b - a, c - a)
    centre = ((a + b + c) / 3).requires_grad_()
    smooth_field(seed, centre).sum().backward()
    assert centre.grad is not None
    outward = (normal * centre.grad).sum(1) > 0
    areas = normal.norm(dim=1)
    assert float(areas[outward].sum()) > 0.99 * float(areas.sum())


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_even_noise_gives_a_closed_surface(seed: int):
    mesh = extract(*noise(seed, 6))
    edges = directed_edges(mesh.faces)
    assert all(edges[b, a] == count for (a, b), count in edges.items())
    assert area_and_volume(mesh)[1] > 0


@settings(max_examples=15, deadline=None)
@given(seeds, st.booleans())
def test_all_cubes_give_the_same_mesh_as_the_crossed_ones(seed: int, training: bool):
    points, sdf, raw = noise(seed, 5)
    positions = torch.cartesian_prod(*[torch.arange(5)] * 3)
    dense = flexicubes(
        points, sdf, positions, cube_corners(positions, (6, 6, 6)), normalise_weights(raw), training=training
    )
    for ours, theirs in zip(extract(points, sdf, raw, training=training), dense, strict=True):
        assert torch.equal(ours, theirs)


@settings(max_examples=15, deadline=None)
@given(seeds)
def test_swapping_the_sign_turns_the_faces_over(seed: int):
    """Where no face is ambiguous; with centres, since equal weights split a quad by its orientation."""
    points = grid_points(12)
    sdf = (points * torch.tensor([1.0, 1.3, 0.8])).norm(dim=1) - 0.5071 - 1e-4 * (seed % 10)
    raw = torch.randn(12**3, 21, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    mesh, swapped = (extract(points, s, raw, training=True) for s in (sdf, -sdf))
    same_mesh(swapped.vertices, swapped.faces.flip(1), mesh.vertices, mesh.faces, atol=1e-9)


def test_zeros_at_grid_points_turn_nothing_over():
    points = (grid_points(10) * 5).round()  # integer coordinates -5..5
    for level in (2, 3, 4):
        mesh = extract(points, points.abs().sum(1) - level)
        edges = directed_edges(mesh.faces)
        assert all(edges[b, a] == count for (a, b), count in edges.items())
        octahedron = 4 / 3 * level**3
        assert octahedron / 2 < area_and_volume(mesh)[1] < octahedron
        assert torch.isfinite(mesh.vertices).all()


def test_scaling_and_moving_the_points_moves_the_vertices():
    points, sdf, raw = noise(5, 5)
    mesh, moved = extract(points, sdf, raw), extract(3 * points + 1, sdf, raw)
    torch.testing.assert_close(moved.vertices, 3 * mesh.vertices + 1)
    torch.testing.assert_close(moved.l_dev, 3 * mesh.l_dev)
    assert torch.equal(moved.faces, mesh.faces)


def test_no_cubes_no_mesh():
    points = grid_points(3)
    for training in (False, True):
        mesh = extract(points, torch.ones(64, dtype=torch.float64), training=training)
        assert [tuple(t.shape) for t in mesh] == [(0, 3), (0, 3), (0,)]


def test_normalised_weights_stay_around_one():
    wild = normalise_weights(torch.tensor([[-1e4] * 21, [0.0] * 21, [1e4] * 21]))
    torch.testing.assert_close(wild.beta[:, 0], torch.tensor([0.5, 1.0, 1.5]))
    torch.testing.assert_close(wild.alpha[:, 7], torch.tensor([0.5, 1.0, 1.5]))
    torch.testing.assert_close(wild.gamma, torch.tensor([0.25, 0.5, 0.75]))


@pytest.mark.gpu
def test_the_gpu_extracts_the_same_mesh():
    points, sdf, raw = noise(7, 8)
    for training in (False, True):
        cpu = extract(points, sdf, raw, training=training)
        gpu = extract(points.cuda(), sdf.cuda(), raw.cuda(), training=training)
        same_mesh(gpu.vertices, gpu.faces, cpu.vertices, cpu.faces, atol=1e-9)
        torch.testing.assert_close(gpu.l_dev.cpu(), cpu.l_dev)
