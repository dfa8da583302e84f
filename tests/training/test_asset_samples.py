"""Signed distances of assets that aren't closed, their samples, and their variations."""

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from instantmesh import cli
from instantmesh.cameras import photo_camera, project
from instantmesh.data.assets import load_asset
from instantmesh.errors import InputError
from instantmesh.training.embedded.asset_samples import SHEET_HALF_THICKNESS, AssetDistance, asset_samples
from instantmesh.training.embedded.dataset import GeometryDataset
from instantmesh.training.embedded.photo_frame import photo_frame
from instantmesh.training.embedded.varied_asset import VariedAsset

POINTS = np.random.default_rng(0).uniform(-1, 1, (500, 3))


def ball(radius: float = 0.6) -> trimesh.Trimesh:
    return trimesh.creation.icosphere(subdivisions=4, radius=radius)


def test_distance_of_a_ball_from_outside_and_inside():
    mesh = ball()
    distance = AssetDistance(mesh.vertices, mesh.faces)
    assert not distance.is_sheet.any()
    assert distance(POINTS) == pytest.approx(np.linalg.norm(POINTS, axis=1) - 0.6, abs=2e-3)


def test_faces_turned_inside_out_enclose_as_much():
    mesh = ball()
    turned = AssetDistance(mesh.vertices, mesh.faces[:, ::-1])
    assert turned(POINTS) == pytest.approx(np.linalg.norm(POINTS, axis=1) - 0.6, abs=2e-3)


def test_overlapping_parts_are_one_solid():
    """Inside the second ball, the first one's surface is no surface."""
    left, right = ball(0.5), ball(0.5)
    left.apply_translation([-0.2, 0, 0])
    right.apply_translation([0.2, 0, 0])
    both = trimesh.util.concatenate([left, right])
    distance = AssetDistance(both.vertices, both.faces)(np.array([[0.25, 0, 0], [-0.25, 0, 0], [0.9, 0, 0]]))
    assert (distance < 0).tolist() == [True, True, False]


def test_a_small_hole_leaves_the_inside_inside():
    mesh = ball()
    mesh.update_faces(mesh.triangles_center[:, 2] < 0.55)
    distance = AssetDistance(mesh.vertices, mesh.faces)
    inner = POINTS[np.linalg.norm(POINTS, axis=1) < 0.4]
    assert (distance(inner) < 0).all()


def test_single_sheets_get_a_thickness():
    square = trimesh.Trimesh([[-0.6, -0.4, 0], [0.6, -0.4, 0], [0.6, 0.4, 0], [-0.6, 0.4, 0]], [[0, 1, 2], [0, 2, 3]])
    distance = AssetDistance(square.vertices, square.faces)
    assert distance.is_sheet.all()
    heights = np.array([0.0, 0.01, 0.05, -0.05])
    points = np.stack([np.zeros(4), np.zeros(4), heights], 1)
    assert distance(points) == pytest.approx(np.abs(heights) - SHEET_HALF_THICKNESS, abs=1e-6)


@pytest.fixture(scope="module")
def asset(tmp_path_factory) -> VariedAsset:
    path = tmp_path_factory.mktemp("assets") / "capsule.glb"
    mesh = trimesh.creation.capsule(height=1.0, radius=0.3)
    mesh.visual.vertex_colors = [200, 60, 30, 255]
    mesh.export(path)
    return VariedAsset(load_asset(path), seed=3)


def test_samples_lie_on_the_surface_and_normals_point_out(asset):
    samples = asset_samples(asset, np.random.default_rng(0), near=64, uniform=64, surface=256)
    distance = AssetDistance(asset.vertices, asset.faces)
    points, normals = samples.surface_points.astype(np.float64), samples.surface_normals / 127.0
    assert np.abs(distance(points)).max() < 2e-3
    assert distance(points + 0.05 * normals) == pytest.approx(np.full(256, 0.05), abs=0.01)
    assert samples.distances.astype(np.float64) == pytest.approx(distance(samples.points.astype(np.float64)), abs=2e-3)


def test_an_asset_with_hardly_any_outer_surface_is_an_input_error(tmp_path):
    hidden = trimesh.creation.icosphere(subdivisions=6, radius=0.5)  # nearly all faces, inside a box
    trimesh.util.concatenate([trimesh.creation.box((1.2, 1.2, 1.2)), hidden]).export(tmp_path / "hidden.ply")
    asset = VariedAsset(load_asset(tmp_path / "hidden.ply"), seed=0)
    with pytest.raises(InputError, match=r"hidden\.ply: only \d+ of 320 points lie on an outer surface"):
        asset_samples(asset, np.random.default_rng(0), near=64, uniform=64, surface=256)


def test_assets_that_fail_are_counted_and_left_out(tmp_path):
    (tmp_path / "broken.ply").write_text("no mesh")
    (tmp_path / "assets.txt").write_text("broken.ply\n")
    command = ["data", "procedural", str(tmp_path / "data"), "--objects", "1", "--size-px", "16", "--workers", "1"]
    result = CliRunner().invoke(cli.app, [*command, "--assets", str(tmp_path / "assets.txt"), "--variations", "2"])
    assert result.exit_code == 0, result.output
    assert f"2 failed, {tmp_path / 'data' / 'failures.txt'} says why" in result.output
    assert len(GeometryDataset.open(tmp_path / "data")) == 1


def test_variations_follow_from_the_seed_and_stay_in_the_unit_ball(asset):
    again, other = (VariedAsset(asset._model, seed=seed) for seed in (3, 4))
    radius = np.linalg.norm(asset.vertices, axis=1).max()
    assert 0.85 <= radius <= 1.0 + 1e-6
    face, weights = np.arange(20), np.full((20, 3), 1 / 3)
    points = asset.vertices[asset.faces[face]].mean(1)
    colors, normals = asset.shade(points, face, weights)
    assert ((colors >= 0) & (colors <= 1)).all()
    assert np.linalg.norm(normals, axis=1) == pytest.approx(np.ones(20), abs=1e-5)
    assert not np.allclose(again.vertices, other.vertices)


def test_the_photos_frame_fills_the_image_of_its_camera(asset):
    import torch

    for azimuth, elevation_deg in ((0.0, 10.0), (1.0, -10.0), (4.0, 40.0)):
        angle, x, y, z, scale = photo_frame(asset.vertices, azimuth, elevation_deg)
        cos, sin = np.cos(angle), np.sin(angle)
        turned = asset.vertices @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T
        moved = (scale * (turned - (x, y, z))).astype(np.float32)
        uv = project(torch.from_numpy(moved), photo_camera(elevation_deg))[0][0].numpy()
        size = np.ptp(uv, axis=0).max()
        assert np.abs(moved).max() <= 0.981
        assert size == pytest.approx(0.85, abs=1e-3) or np.abs(moved).max() == pytest.approx(0.98, abs=1e-3)
        assert (uv.min(0) + uv.max(0)) / 2 == pytest.approx([0.5, 0.5], abs=0.02)
