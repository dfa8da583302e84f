"""Marching cubes: the released model's surface, size and orientation of known shapes, fields without a surface."""

import logging
from math import pi

import pytest
import torch
from safetensors.torch import load_file
from scipy.spatial import KDTree
from torch import Tensor

from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.surface.marching_cubes import extract_isosurface, marching_cubes
from tests.paths import GOLDEN as GOLDEN_FOLDER

GOLDEN = load_file(GOLDEN_FOLDER / "instant_nerf_tiny.expected.safetensors")


def points_of(x: Tensor, y: Tensor | None = None, z: Tensor | None = None) -> Tensor:
    y, z = (x if other is None else other for other in (y, z))
    return torch.stack(torch.meshgrid(x, y, z, indexing="ij"), -1)


def ball_density(*axes: Tensor) -> Tensor:
    """Above 10 within 0.6 of (0.1, -0.1, 0.2)."""
    return 10 + 5 * (0.6 - (points_of(*axes) - torch.tensor([0.1, -0.1, 0.2])).norm(dim=-1))


def area_and_volume(vertices: Tensor, faces: Tensor) -> tuple[float, float]:
    a, b, c = vertices[faces].double().unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1).sum() / 2
    return float(area), float((a * torch.linalg.cross(b, c)).sum() / 6)


def test_the_released_models_surface():
    """World coordinates are index / (n - 1) * 2 - 1: the grid's end points lie on the bounds."""
    expected, faces = GOLDEN["mesh_vertices"], GOLDEN["mesh_faces"]
    vertices, our_faces = marching_cubes(GOLDEN["grid_sigma"][0], float(GOLDEN["mesh_threshold"]), (-1.0, 1.0))
    assert KDTree(vertices.numpy()).query(expected.numpy())[0].max() < 5e-5
    extra = torch.from_numpy(KDTree(expected.numpy()).query(vertices.numpy())[0]) > 5e-5
    assert int(extra.sum()) <= 4  # ambiguous cubes, where Lewiner's tables add a vertex inside
    for ours, theirs in zip(area_and_volume(vertices, our_faces), area_and_volume(expected, faces), strict=True):
        assert ours == pytest.approx(theirs, rel=0.01)


def test_sphere_faces_outward_and_has_its_size():
    vertices, faces = marching_cubes(ball_density(torch.linspace(-1, 1, 64)), 10.0, (-1.0, 1.0))
    area, volume = area_and_volume(vertices, faces)
    assert area == pytest.approx(4 * pi * 0.6**2, rel=3e-3)
    assert volume == pytest.approx(4 / 3 * pi * 0.6**3, rel=3e-3)
    torch.testing.assert_close(vertices.mean(0), torch.tensor([0.1, -0.1, 0.2]), rtol=0, atol=5e-3)
    edges = faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    assert {*map(tuple, edges.tolist())} == {*map(tuple, edges.flip(1).tolist())}  # closed
    assert vertices.dtype == torch.float32
    assert faces.dtype == torch.int64


def test_bounds_move_and_scale_the_vertices():
    values = ball_density(torch.linspace(-1, 1, 16))
    (near, faces), (far, same) = (marching_cubes(values, 10.0, bounds) for bounds in ((-1.0, 1.0), (2.0, 10.0)))
    torch.testing.assert_close(far, 4 * near + 6)
    assert torch.equal(faces, same)


def test_a_value_at_the_level_is_outside():
    values = torch.full((5, 5, 5), 9.0)
    values[2, 2, 2] = 10.0
    with pytest.raises(EmptySurfaceError, match="density runs from 9 to 10"):
        marching_cubes(values, 10.0, (-1.0, 1.0))
    values[2, 2, 2] = 11.0
    vertices, faces = marching_cubes(values, 10.0, (-1.0, 1.0))
    assert (len(vertices), len(faces)) == (6, 8)
    assert float(vertices.norm(dim=1).max()) == pytest.approx(0.25)


def test_isosurface_has_clamped_colours_at_its_vertices():
    asked = []

    def density(*axes: Tensor) -> Tensor:
        asked.extend(axes)
        return ball_density(*axes)

    mesh = extract_isosurface(density, lambda p: 3 * p, resolution=40, bound=0.87)
    torch.testing.assert_close(asked[0], torch.linspace(-0.87, 0.87, 40))
    assert mesh.vertex_colors is not None
    torch.testing.assert_close(mesh.vertex_colors, (3 * mesh.vertices).clamp(0, 1))
    assert area_and_volume(mesh.vertices, mesh.faces)[1] == pytest.approx(4 / 3 * pi * 0.6**3, rel=6e-3)


def test_gradients_stop_here():
    values = ball_density(torch.linspace(-1, 1, 8)).requires_grad_()
    assert not marching_cubes(values, 10.0, (-1.0, 1.0))[0].requires_grad


def test_a_field_without_a_surface_says_which_side_it_is_on():
    colors = torch.zeros_like
    with pytest.raises(EmptySurfaceError, match=r"never crosses 50, so all of the grid is outside \(empty\)"):
        extract_isosurface(ball_density, colors, resolution=8, threshold=50.0)
    with pytest.raises(EmptySurfaceError, match=r"inside \(full\)"):
        extract_isosurface(ball_density, colors, resolution=8, threshold=-50.0)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="finite"):
        marching_cubes(torch.full((4, 4, 4), float("nan")), 0.0, (-1.0, 1.0))
    with pytest.raises(InputError, match="two grid points"):
        marching_cubes(torch.zeros(1, 1, 1), 0.0, (-1.0, 1.0))
    for resolution, bound in ((1, 1.0), (8, 0.0)):
        with pytest.raises(InputError, match="resolution of 2 or more"):
            extract_isosurface(ball_density, torch.zeros_like, resolution, bound)


def test_a_surface_that_leaves_the_grid_is_reported(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        marching_cubes(points_of(torch.linspace(-1, 1, 5))[..., 0].contiguous(), 0.1, (-1.0, 1.0))
    assert "left open" in caplog.text
