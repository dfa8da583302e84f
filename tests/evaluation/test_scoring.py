"""Metrics of one reconstruction against analytic cases, plain twins and other libraries."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial.distance import cdist

from instantmesh.errors import InputError
from instantmesh.evaluation.alignment import AlignmentMethod
from instantmesh.evaluation.geometry_metrics import geometry_scores
from instantmesh.evaluation.metrics.defects import CLEANLINESS, DEFECTS, mesh_defects
from instantmesh.evaluation.metrics.images import photo_view, photo_view_scores, view_scores
from instantmesh.evaluation.metrics.shape import seen_from_outside, sphere_directions, surface_scores, volume_iou
from instantmesh.evaluation.metrics.surface_points import SurfacePoints, sample_points
from instantmesh.evaluation.scoring import ScoringProtocol, Truth, noise_floor, score, score_nothing
from instantmesh.evaluation.view_sets import cameras_at, orbit_21, view_set
from instantmesh.structures import Mesh, Texture

from .shapes import cuboid, sphere

PLAIN = ScoringProtocol(AlignmentMethod.none, views=None, perceptual=())


def arrays(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    return mesh.vertices.double().numpy(), mesh.faces.numpy()


def both(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0] + [len(mesh.vertices) for mesh in meshes])
    faces = [mesh.faces + int(start) for mesh, start in zip(meshes, starts, strict=False)]
    return Mesh(torch.cat([mesh.vertices for mesh in meshes]), torch.cat(faces))


def test_surface_scores_against_all_distances_written_out():
    rng = np.random.default_rng(0)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    a, b = (SurfacePoints(rng.random((n, 3)), unit(rng.normal(size=(n, 3)))) for n in (150, 200))
    distance = cdist(a.points, b.points)
    found = surface_scores(a, b)
    assert found["chamfer"] == pytest.approx((distance.min(1).mean() + distance.min(0).mean()) / 2)
    for name, threshold in (("f_score_005", 0.05), ("f_score_01", 0.1), ("f_score_02", 0.2)):
        precision, recall = (distance.min(1) < threshold).mean(), (distance.min(0) < threshold).mean()
        assert found[name] == pytest.approx(2 * precision * recall / (precision + recall))
    cosines = np.abs(a.normals @ b.normals.T)
    there = cosines[np.arange(150), distance.argmin(1)].mean()
    back = cosines[distance.argmin(0), np.arange(200)].mean()
    assert found["normal_consistency"] == pytest.approx((there + back) / 2)


def test_concentric_spheres():
    """Radii 1 and 0.9: every distance is 0.1 but for the grain of the samples; normals agree."""
    found = score(sphere(0.9, 5), Truth(sphere(1.0, 5)), PLAIN).numbers
    assert found["chamfer"] == pytest.approx(0.1, abs=0.003)
    assert found["f_score_005"] == 0
    assert found["f_score_02"] == 1
    assert found["normal_consistency"] == pytest.approx(1, abs=2e-3)
    assert found["volume_iou"] == pytest.approx(0.9**3, abs=0.01)
    assert found["visible_chamfer"] == pytest.approx(found["chamfer"], abs=1e-6)


def test_volumes_of_shifted_cubes_and_against_trimesh():
    """Shifted by a quarter of the side: 3/4 in common, 5/4 together."""
    assert volume_iou(*arrays(cuboid(1, 1, 1)), *arrays(cuboid(1, 1, 1))) == 1
    vertices, faces = arrays(cuboid(1.6, 1.6, 1.6))
    assert volume_iou(vertices + np.array([0.4, 0, 0]), faces, vertices, faces) == pytest.approx(0.6, abs=0.01)
    assert volume_iou(vertices, faces[:, ::-1], vertices, faces) == 1  # turned all together
    a, b = sphere(0.8, 3), sphere(0.7, 3, (0.2, 0.1, 0))
    twins = [trimesh.Trimesh(*arrays(mesh), process=False) for mesh in (a, b)]
    common = trimesh.boolean.intersection(twins, engine="manifold").volume
    expected = common / (twins[0].volume + twins[1].volume - common)
    assert volume_iou(*arrays(a), *arrays(b)) == pytest.approx(expected, abs=0.01)
    sheet = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])
    assert volume_iou(vertices, faces, *sheet) is None


def test_what_lies_inside_is_not_visible():
    """A ball within a ball: the whole surfaces differ, the visible ones don't."""
    filled = both(sphere(1.0, 4), sphere(0.5, 4))
    found = score(filled, Truth(sphere(1.0, 4)), PLAIN).numbers
    assert found["visible_chamfer"] == pytest.approx(0.01, abs=0.01)
    assert found["chamfer"] == pytest.approx(0.08, abs=0.03)
    points = sample_points(filled, 2000, torch.Generator().manual_seed(0))
    seen = seen_from_outside(points, *arrays(filled))
    assert np.array_equal(seen, np.linalg.norm(points.points, axis=1) > 0.75)


def test_directions_are_even():
    directions = sphere_directions(32)
    assert np.linalg.norm(directions, axis=1) == pytest.approx(np.ones(32))
    assert np.abs(directions.mean(0)).max() < 0.02
    assert (directions @ directions.T - 2 * np.eye(32)).max(1).min() > 0.8  # a neighbour within 37 degrees


def test_the_published_definition_keeps_its_numbers():
    predicted, true = cuboid(1, 0.7, 0.5), sphere(0.8)
    found = score(predicted, Truth(true), replace(PLAIN, alignment=AlignmentMethod.box, seed=3)).numbers
    published = geometry_scores(predicted, true, seed=3)
    assert found["chamfer"] == pytest.approx(published.chamfer, abs=1e-6)
    assert found["f_score_01"] == pytest.approx(published.f_score_01, abs=1e-4)
    assert found["f_score_02"] == pytest.approx(published.f_score_02, abs=1e-4)


def test_scores_are_deterministic_and_perfect_for_the_truth():
    true = sphere(0.9, 3)
    truth = Truth.of(true, cameras_at([20.0], [10.0]), view_set("held-out4"), 64)
    protocol = ScoringProtocol(views="held-out4", size_px=64, perceptual=())
    first, again = (score(true, truth, protocol).numbers for _ in range(2))
    assert first == again
    assert first["psnr_db"] == first["photo_psnr_db"] == 100
    assert first["photo_mask_iou"] == first["volume_iou"] == 1
    assert first["photo_depth_error"] == 0
    assert first["chamfer"] == pytest.approx(noise_floor(true, protocol), rel=0.03)


def test_the_noise_floor_falls_with_the_root_of_the_points():
    floors = [noise_floor(sphere(), replace(PLAIN, points=count)) for count in (2_000, 8_000)]
    assert floors[0] / floors[1] == pytest.approx(2, rel=0.05)


def test_nothing_scores_worse_than_anything():
    truth = Truth.of(sphere(0.9, 3), cameras_at([0.0], [10.0]), view_set("held-out4"), 64)
    protocol = ScoringProtocol(views="held-out4", size_px=64, perceptual=())
    nothing, cube = score_nothing(truth, protocol), score(cuboid(1, 1, 1), truth, protocol).numbers
    assert nothing.keys() == cube.keys()
    assert nothing["chamfer"] == pytest.approx(1, abs=0.01)  # all of the sphere is 1 from its centre
    assert nothing["photo_depth_error"] is None
    lower_is_better = ("chamfer", "visible_chamfer", "photo_depth_error")
    for name, value in nothing.items():
        if name != "photo_depth_error" and not name.endswith("ssim"):  # white is like white, whatever is missing
            assert (value > cube[name]) if name in lower_is_better else (value <= cube[name]), name


def test_photo_view_of_a_displaced_plate():
    """A plate 0.2 nearer to the camera, straight in front: depth differs by 0.2, and the outline grows a little."""
    near, far = (
        replace(cuboid(0.001, 0.5, 0.5), vertices=cuboid(0.001, 0.5, 0.5).vertices + torch.tensor([x, 0.0, 0.0]))
        for x in (0.2, 0.0)
    )
    camera = cameras_at([0.0], [0.0])
    found = photo_view_scores(photo_view(near, camera), photo_view(far, camera))
    assert found["photo_depth_error"] == pytest.approx(0.2, abs=1e-3)
    assert found["photo_mask_iou"] == pytest.approx((3.8 / 4) ** 2, abs=0.02)


def test_images_of_different_sizes_are_refused():
    with pytest.raises(InputError, match="differ in shape"):
        view_scores(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 48))


def test_metrics_without_weights_stay_empty():
    found = view_scores(torch.rand(1, 3, 32, 32), torch.rand(1, 3, 32, 32), ("lpips_alex", "lpips_vgg"))
    from instantmesh.backends import available

    if not available("torchmetrics"):
        assert found["lpips_alex"] is None
        assert found["lpips_vgg"] is None


def test_view_sets():
    assert [len(view_set(name)) for name in ("orbit21", "crm24", "held-out4")] == [21, 24, 4]
    position = orbit_21().camera_to_world[:, :3, 3]
    assert position.norm(dim=1).tolist() == pytest.approx([4.0] * 21, abs=1e-5)
    assert torch.rad2deg((position[:3, 2] / 4).asin()).tolist() == pytest.approx([30, 0, -30], abs=1e-4)
    with pytest.raises(InputError, match="orbit21"):
        view_set("orbit")


def textured(mesh: Mesh) -> Mesh:
    return Mesh(mesh.vertices, mesh.faces, None, Texture(torch.rand(3, 4, 4), torch.rand(len(mesh.faces), 3, 2)))


def test_a_clean_mesh_has_no_defects():
    assert mesh_defects(textured(sphere(1.0, 3))).classes() == ()
    assert set(CLEANLINESS) < set(DEFECTS)


def test_defects_each_with_a_mesh_of_its_own():
    ball = sphere(1.0, 3)
    plain = Mesh(ball.vertices, ball.faces)
    turned = torch.cat([ball.faces[:1].flip(1), ball.faces[1:]])
    fin = Mesh(
        torch.cat([ball.vertices, torch.tensor([[2.0, 0, 0]])]),
        torch.cat([ball.faces, torch.tensor([[int(ball.faces[0, 0]), int(ball.faces[0, 1]), len(ball.vertices)]])]),
    )
    cases = {
        "uv_missing": plain,
        "vertex_color_only": ball,
        "not_watertight": textured(Mesh(ball.vertices, ball.faces[1:])),
        "inconsistent_normals": textured(Mesh(ball.vertices, turned)),
        "inverted_normals": textured(Mesh(ball.vertices, ball.faces.flip(1))),
        "floating_debris": textured(both(ball, sphere(0.005, 1, (1.5, 0, 0)))),
        "non_manifold": textured(fin),
        "unity_mobile": textured(sphere(1.0, 6)),
    }
    found = {name: mesh_defects(mesh).classes() for name, mesh in cases.items()}
    assert all(name in found[name] for name in cases)
    assert found["uv_missing"] == ("uv_missing",)
    assert found["vertex_color_only"] == ("uv_missing", "vertex_color_only")
    for alone in ("not_watertight", "inconsistent_normals", "inverted_normals", "floating_debris"):
        assert found[alone] == (alone,)
    assert "over_budget" in found["unity_mobile"]


def test_seams_are_no_defects():
    """Every face with vertices of its own, as OBJ files with hard edges have it."""
    ball = sphere(1.0, 2)
    soup = Mesh(ball.vertices[ball.faces.flatten()], torch.arange(3 * len(ball.faces)).view(-1, 3))
    assert mesh_defects(textured(soup)).classes() == ()


def test_defect_counts_against_trimesh():
    holed = Mesh(sphere(1.0, 3).vertices, sphere(1.0, 3).faces[5:])
    twin = trimesh.Trimesh(*arrays(holed), process=False)
    _, uses = np.unique(np.sort(twin.edges, 1), axis=0, return_counts=True)
    assert mesh_defects(holed).boundary_edges == int((uses == 1).sum()) > 0
    assert mesh_defects(sphere(1.0, 3)).signed_volume == pytest.approx(
        trimesh.Trimesh(*arrays(sphere(1.0, 3)), process=False).volume, rel=1e-6
    )
