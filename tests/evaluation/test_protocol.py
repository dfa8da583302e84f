import pytest
import torch

from instantmesh.cameras import SIX_VIEW_RADIUS, six_view_cameras
from instantmesh.evaluation.image_metrics import PSNR_CEILING_DB
from instantmesh.evaluation.protocol import (
    evaluate_reconstruction,
    held_out_cameras,
    match_box,
    query_camera,
    true_views,
)
from instantmesh.structures import Mesh

from .shapes import cuboid, sphere


def test_held_out_views_are_no_inputs():
    held_out = held_out_cameras().camera_to_world[:, :3, 3]
    given = torch.cat([six_view_cameras().camera_to_world, query_camera().camera_to_world])[:, :3, 3]
    cosine = (held_out @ given.T) / SIX_VIEW_RADIUS**2
    assert len(held_out) == 4
    assert float(cosine.max()) < 0.95  # more than 18 degrees away


def test_true_views_are_images_on_white_with_masks():
    views, masks = true_views(sphere(0.5), six_view_cameras(), 32)
    assert views.images.shape == (6, 3, 32, 32)
    assert masks.shape == (6, 1, 32, 32)
    assert float(views.images[:, :, 0, 0].min()) == 1
    assert masks[:, 0, 16, 16].tolist() == [1] * 6
    assert masks[:, 0, 0, 0].tolist() == [0] * 6


def test_the_true_mesh_scores_best():
    scores = evaluate_reconstruction(sphere(0.7), sphere(0.7))
    assert scores.psnr_db == pytest.approx(PSNR_CEILING_DB)
    assert scores.ssim == pytest.approx(1)
    assert scores.photo_psnr_db == pytest.approx(PSNR_CEILING_DB)
    assert scores.geometry.f_score_01 == 1
    assert scores.geometry.chamfer < 0.02


def test_scores_follow_from_the_seed():
    first, again, other = (evaluate_reconstruction(sphere(0.7), cuboid(1, 1, 1), seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.geometry.chamfer != other.geometry.chamfer
    assert first.psnr_db == other.psnr_db


def test_images_are_compared_where_meshes_stand():
    true = sphere(0.5)
    apart = evaluate_reconstruction(sphere(0.5, centre=(0.3, 0.0, 0.0)), true)
    assert apart.psnr_db < 20
    assert apart.geometry.f_score_01 == 1


def test_match_box_takes_place_and_size_of_the_true_mesh():
    true = sphere(0.5, centre=(0.1, 0.2, -0.1))
    matched = match_box(Mesh(sphere().vertices * 3 + 7, sphere().faces, sphere().vertex_colors), true)
    torch.testing.assert_close(matched.vertices, true.vertices, atol=1e-5, rtol=0)
    assert evaluate_reconstruction(matched, true).psnr_db > 40
