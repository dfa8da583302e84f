import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from instantmesh.errors import InputError
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.geometry.bounds import bounding_cube, to_unit_cube
from instantmesh.geometry.distances import chamfer_distance, f_score, nearest_distances
from instantmesh.geometry.sampling import sample_surface
from instantmesh.structures import Mesh

from .shapes import cuboid, sphere


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_points_are_uniform_by_area():
    """A cuboid of 1 x 2 x 4 has faces of area 8, 4 and 2 (twice each)."""
    points = sample_surface(cuboid(1, 2, 4).vertices, cuboid(1, 2, 4).faces, 60_000, generator())
    on_face = [
        float(((points[:, axis].abs() - half).abs() < 1e-6).double().mean()) for axis, half in enumerate((0.5, 1, 2))
    ]
    assert on_face == pytest.approx([16 / 28, 8 / 28, 4 / 28], abs=0.01)
    assert points.mean(0).tolist() == pytest.approx([0, 0, 0], abs=0.02)
    x_face = points[(points[:, 0] - 0.5).abs() < 1e-6]
    assert x_face[:, 1:].var(0).tolist() == pytest.approx([4 / 12, 16 / 12], rel=0.02)  # of uniform distributions


def test_points_lie_inside_their_triangle():
    vertices = torch.tensor([[0.0, 0, 0], [2, 0, 0], [0, 1, 0]])
    points = sample_surface(vertices, torch.tensor([[0, 1, 2]]), 5000, generator())
    assert bool((points[:, :2] >= 0).all())
    assert float((points[:, 0] / 2 + points[:, 1]).max()) <= 1 + 1e-6
    assert points.mean(0).tolist() == pytest.approx([2 / 3, 1 / 3, 0], abs=0.02)


def test_a_face_without_area_is_never_drawn():
    vertices = torch.tensor([[9.0, 9, 9], [0, 0, 0], [1, 0, 0], [0, 1, 0]])
    faces = torch.tensor([[0, 0, 0], [1, 2, 3], [0, 0, 0]])
    assert float(sample_surface(vertices, faces, 1000, generator()).max()) <= 1


def test_points_follow_from_the_seed():
    mesh = sphere()
    first, again, other = (sample_surface(mesh.vertices, mesh.faces, 100, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_surface_without_area_is_refused():
    with pytest.raises(InputError, match="no surface"):
        sample_surface(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]), 10, generator())
    with pytest.raises(InputError, match="no faces"):
        geometry_scores(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.long)), sphere())
    with pytest.raises(InputError, match="one point"):
        geometry_scores(sphere(), Mesh(torch.ones(3, 3), torch.tensor([[0, 1, 2]])))
    with pytest.raises(InputError, match="at least one point"):
        nearest_distances(torch.zeros(0, 3), torch.zeros(1, 3))


def test_a_shifted_plane_is_as_far_as_it_was_shifted():
    plane = torch.cat([torch.rand(500, 2, generator=generator()), torch.zeros(500, 1)], 1)
    distances = nearest_distances(plane, plane + torch.tensor([0.0, 0.0, 0.3]))
    assert chamfer_distance(*distances) == pytest.approx(0.3)
    assert f_score(*distances, 0.29) == 0
    assert f_score(*distances, 0.31) == 1


def test_chamfer_distance_is_the_mean_of_both_directions_and_not_squared():
    a, b = torch.tensor([[0.0, 0, 0], [3, 0, 0]]), torch.tensor([[0.0, 0.5, 0]])
    distances = nearest_distances(a, b)
    assert chamfer_distance(*distances) == pytest.approx(((0.5 + math.sqrt(9.25)) / 2 + 0.5) / 2)
    assert f_score(*distances, 1.0) == pytest.approx(2 * 0.5 * 1 / 1.5)  # precision 1/2, recall 1


def test_concentric_spheres_are_as_far_as_their_radii():
    points = [
        sample_surface(m.vertices, m.faces, 16_000, generator(i)) for i, m in enumerate((sphere(1), sphere(1.25)))
    ]
    assert chamfer_distance(*nearest_distances(*points)) == pytest.approx(0.25, abs=0.004)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 1000))
def test_nearest_distances_are_those_of_all_pairs(n: int, m: int, seed: int):
    a, b = torch.randn(n, 3, generator=generator(seed)), torch.randn(m, 3, generator=generator(seed + 1))
    pairs = (a[:, None] - b[None]).double().norm(dim=-1)
    a_to_b, b_to_a = nearest_distances(a, b)
    torch.testing.assert_close(a_to_b, pairs.amin(1), atol=1e-6, rtol=1e-6, check_dtype=False)
    torch.testing.assert_close(b_to_a, pairs.amin(0), atol=1e-6, rtol=1e-6, check_dtype=False)


def test_the_same_mesh_scores_best():
    scores = geometry_scores(cuboid(1, 2, 3), cuboid(1, 2, 3))
    assert scores.chamfer < 0.02  # about half the spacing of 16,000 points on an area of 10
    assert scores.f_score_01 == scores.f_score_02 == 1


@settings(max_examples=3, deadline=None)
@given(st.floats(0.1, 10), st.floats(-5, 5))
def test_place_and_size_of_both_meshes_do_not_matter(scale: float, shift: float):
    true, predicted = cuboid(1, 1, 2), sphere(subdivisions=2)
    moved = Mesh(predicted.vertices * scale + shift, predicted.faces)
    expected, scores = geometry_scores(predicted, true), geometry_scores(moved, true)
    assert scores.chamfer == pytest.approx(expected.chamfer, abs=1e-4)
    assert scores.f_score_01 == pytest.approx(expected.f_score_01, abs=1e-3)


def test_orientation_matters():
    assert geometry_scores(cuboid(1, 1, 3), cuboid(3, 1, 1)).chamfer > 0.2


def test_the_cube_is_filled_by_what_faces_use():
    mesh = cuboid(1, 2, 4)
    stray = Mesh(torch.cat([mesh.vertices + 7, torch.full((1, 3), 99.0)]), mesh.faces)
    centre, half_side = bounding_cube(stray)
    assert centre.tolist() == pytest.approx([7, 7, 7])
    assert half_side == pytest.approx(2)
    vertices = to_unit_cube(stray).vertices[:-1]
    assert vertices.amax(0).tolist() == pytest.approx([0.25, 0.5, 1])
    assert vertices.amin(0).tolist() == pytest.approx([-0.25, -0.5, -1])
