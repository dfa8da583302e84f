"""Simplification: how many faces, how far off, in which colours, and where it stops."""

import numpy as np
import pytest
import torch

from instantmesh import InputError, Mesh, clean, report, simplify
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.geometry.nearest import _closest_weights
from instantmesh.geometry.sampling import sample_surface
from tests.mesh.shapes import color_at, colored, cube, joined, ring, same, sphere, volume


@pytest.mark.parametrize("target", [2000, 500])
@pytest.mark.parametrize("mesh", [sphere(subdivisions=4), ring()], ids=["sphere", "ring"])
def test_the_shape_and_its_colours_stay(mesh, target):
    before = report(mesh)
    small, done = simplify(mesh, target)
    now = report(small)
    assert done.faces_before == len(mesh.faces)
    assert done.faces_after == now.faces == pytest.approx(target, abs=4)
    assert (now.watertight, now.euler_number, now.components) == (True, before.euler_number, 1)
    assert (now.degenerate_faces, now.duplicate_faces) == (0, 0)
    assert volume(small) == pytest.approx(volume(mesh), rel=0.02)
    assert not done.floor_reached
    assert small.vertex_colors is not None
    torch.testing.assert_close(small.vertex_colors, color_at(small.vertices), atol=0.01, rtol=0)


def test_the_error_stated_is_the_error_against_all_faces():
    mesh = sphere()
    small, done = simplify(mesh, 200)
    points = sample_surface(small.vertices, small.faces, 2000, torch.Generator().manual_seed(5)).double().numpy()
    corners = mesh.vertices.double().numpy()[mesh.faces.numpy()]
    closest = np.einsum("pfk,fkx->pfx", _closest_weights(corners[None], points[:, None]), corners)
    distances = np.linalg.norm(closest - points[:, None], axis=2).min(1)
    assert done.mean_error == pytest.approx(distances.mean(), rel=0.1)
    assert distances.max() * 0.8 < done.max_error < distances.max() * 1.25
    assert f"{done.mean_error:.2g} on average" in str(done)


def test_the_error_is_in_world_units():
    one, ten = simplify(sphere(), 200)[1], simplify(sphere(10.0), 200)[1]
    assert ten.mean_error == pytest.approx(10 * one.mean_error, rel=0.1)
    assert ten.faces_after == one.faces_after


def test_never_so_few_faces_that_the_f_score_suffers():
    mesh = bristly()
    stopped, done = simplify(mesh, 4)
    assert done.floor_reached
    assert 4 < done.faces_after < len(mesh.faces) / 4
    assert done.f_score_01 >= 0.99
    assert geometry_scores(stopped, mesh).f_score_01 >= 0.99  # by the metric of the benchmarks, with other points
    assert "4 would fall below F-score 0.99" in str(done)
    forced, done = simplify(mesh, 4, allow_quality_loss=True)
    assert not done.floor_reached
    assert len(forced.faces) <= 8 < len(stopped.faces)
    assert done.f_score_01 < 0.99
    assert geometry_scores(forced, mesh).f_score_01 == pytest.approx(done.f_score_01, abs=0.02)


def test_colours_are_read_from_the_field_on_the_original_surface():
    mesh, asked = sphere(subdivisions=4), []

    def field(points: torch.Tensor) -> torch.Tensor:
        asked.append(points)
        return points * 2  # beyond [0, 1] on purpose

    small, _ = simplify(mesh, 100, color_field=field)
    (points,) = asked
    assert len(points) == len(small.vertices)
    assert float((points.norm(dim=1) - 1).abs().max()) < 3e-3  # the original's radius; the small one's vertices differ
    assert small.vertex_colors is not None
    torch.testing.assert_close(small.vertex_colors, (points * 2).clamp(0, 1))


def test_a_mesh_without_colours_gets_none_and_a_small_one_stays():
    plain = Mesh(sphere().vertices, sphere().faces)
    assert simplify(plain, 100)[0].vertex_colors is None
    small, done = simplify(cube(), 12)
    assert same(small, cube())
    assert str(done) == "simplified: nothing to do, 12 faces"


def test_open_meshes_and_several_parts():
    axis = np.linspace(-1, 1, 31)
    x, y = (grid.ravel() for grid in np.meshgrid(axis, axis))
    corner = (np.arange(30)[:, None] * 31 + np.arange(30)).ravel()
    faces = np.concatenate(
        [np.stack(c, 1) for c in ((corner, corner + 1, corner + 32), (corner, corner + 32, corner + 31))]
    )
    sheet = colored(np.stack([x, y, 0.2 * np.sin(3 * x)], 1), faces)
    small, done = simplify(sheet, 200)
    assert len(small.faces) <= 200
    assert done.max_error < 0.05
    assert report(small).area == pytest.approx(report(sheet).area, rel=0.03)
    two, _ = simplify(joined(sphere(), sphere(0.5, centre=(2.0, 0, 0))), 600)
    assert report(two).components == 2
    assert same(clean(two, min_component_area=0.0)[0], two)


def test_slivers_are_simplified_too():
    """A cylinder of 1,000 sides: no quadric simplification collapses edges of its thin faces."""
    angle = torch.arange(1000) * (2 * torch.pi / 1000)
    rim = torch.stack([angle.cos(), angle.sin()], dim=1)
    low, high = (torch.cat([rim, torch.full((1000, 1), z)], dim=1) for z in (-1.0, 1.0))
    vertices = torch.cat([low, high, torch.tensor([[0.0, 0, -1], [0, 0, 1]])])
    i, j = torch.arange(1000), (torch.arange(1000) + 1) % 1000
    sides = torch.cat([torch.stack([i, j, j + 1000], dim=1), torch.stack([i, j + 1000, i + 1000], dim=1)])
    floor = torch.stack([torch.full_like(i, 2000), j, i], dim=1)
    ceiling = torch.stack([torch.full_like(i, 2001), i + 1000, j + 1000], dim=1)
    small, done = simplify(Mesh(vertices, torch.cat([sides, floor, ceiling])), 400)
    assert len(small.faces) <= 400
    assert done.max_error < 0.01
    assert volume(small) == pytest.approx(2 * np.pi, rel=0.01)


def test_a_mesh_that_stays_too_fine_is_told():
    apart = joined(*(sphere(0.01, 0, (float(x), float(y), 0.0)) for x in range(20) for y in range(20)))
    small, done = simplify(apart, 100, allow_quality_loss=True)
    assert done.stuck == (len(small.faces) > 150)
    assert not done.stuck or "and not to 100" in str(done)


def test_bad_input():
    with pytest.raises(InputError, match="4 faces"):
        simplify(sphere(), 3)
    with pytest.raises(InputError, match="no faces"):
        simplify(Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int64)), 10)
    with pytest.raises(InputError, match="no face with an area"):
        simplify(Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]] * 10)), 4)


def bristly() -> Mesh:
    """A ball with waves, which needs more than a few faces."""
    mesh = sphere(subdivisions=4)
    x, y, z = mesh.vertices.unbind(1)
    radius = 1 + 0.25 * torch.sin(5 * x) * torch.cos(4 * y) + 0.2 * torch.sin(6 * z)
    return colored((mesh.vertices * radius[:, None]).numpy(), mesh.faces.numpy())
