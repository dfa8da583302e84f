"""The nearest point of a surface: against looking at every face."""

import numpy as np
import pytest

from instantmesh.geometry.nearest import NearestSurface, _closest_weights
from instantmesh.geometry.triangles import Triangles
from tests.mesh.shapes import cube, sphere


@pytest.mark.parametrize("size", [0.05, 0.5, 2.0])
def test_triangles_of_very_different_sizes_against_all_of_them(size):
    rng = np.random.default_rng(0)
    lengths = np.exp(rng.normal(0, 1, (200, 1, 1))) * size
    vertices = (rng.uniform(-1, 1, (200, 1, 3)) + rng.normal(size=(200, 3, 3)) * lengths).reshape(-1, 3)
    mesh = Triangles(vertices, np.arange(600).reshape(-1, 3))
    points = rng.uniform(-1.5, 1.5, (300, 3))
    found = NearestSurface(mesh)(points)
    corners = vertices[mesh.faces]
    closest = np.einsum("pfk,fkx->pfx", _closest_weights(corners[None], points[:, None]), corners)
    np.testing.assert_allclose(found.distances, np.linalg.norm(closest - points[:, None], axis=2).min(1), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(found.points - points, axis=1), found.distances)
    np.testing.assert_allclose(np.einsum("pk,pkx->px", found.weights, corners[found.faces]), found.points)


def test_the_closest_point_of_a_triangle_against_many_of_its_points():
    rng = np.random.default_rng(1)
    corners, point = rng.normal(size=(50, 3, 3)), rng.normal(size=(50, 3))
    corners[:5, 2] = corners[:5, 1]  # no area
    steps = np.linspace(0, 1, 101)
    weights = np.array([(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1 + 1e-9])
    least = np.linalg.norm(np.einsum("sk,tkx->tsx", weights, corners) - point[:, None], axis=2).min(1)
    ours = _closest_weights(corners, point)
    assert (ours >= 0).all()
    np.testing.assert_allclose(ours.sum(1), 1)
    distance = np.linalg.norm(np.einsum("tk,tkx->tx", ours, corners) - point, axis=1)
    assert (distance <= least + 1e-12).all()
    assert (distance >= least - 0.05).all()


def test_a_sphere_from_outside_and_a_cube_of_twelve_faces():
    points = np.random.default_rng(2).normal(size=(500, 3)) * 2
    ball = NearestSurface(Triangles.of(sphere(subdivisions=4)))(points)
    np.testing.assert_allclose(ball.distances, np.abs(np.linalg.norm(points, axis=1) - 1), atol=2e-3)
    box = NearestSurface(Triangles.of(cube(2.0)))(points)
    outside = np.linalg.norm(np.maximum(np.abs(points) - 1, 0), axis=1)
    inside = (1 - np.abs(points)).min(1).clip(min=0)
    np.testing.assert_allclose(box.distances, outside + inside, atol=1e-9)
