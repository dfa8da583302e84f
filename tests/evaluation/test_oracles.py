"""Metrics against independent libraries: torchmetrics for images, point-cloud-utils for points and volumes."""

import numpy as np
import point_cloud_utils as pcu
import pytest
import torch
from torchmetrics.functional.image import (  # noqa: TID251
    peak_signal_noise_ratio,
    structural_similarity_index_measure,
)

from instantmesh.evaluation.image_metrics import psnr, ssim
from instantmesh.evaluation.metrics.shape import volume_iou
from instantmesh.geometry.distances import chamfer_distance, f_score, nearest_distances
from tests.mesh.shapes import cube, ring, sphere


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.5])
def test_images_against_torchmetrics(noise):
    generator = torch.Generator().manual_seed(1)
    true = torch.nn.functional.interpolate(torch.rand(3, 3, 6, 8, generator=generator), (48, 64), mode="bilinear")
    images = (true + noise * torch.randn(true.shape, generator=generator)).clamp(0, 1)
    for index, (x, y) in enumerate(zip(images[:, None], true[:, None], strict=True)):
        assert float(psnr(x, y)) == pytest.approx(float(peak_signal_noise_ratio(x, y, data_range=1.0)), abs=1e-4)
        _, everywhere = structural_similarity_index_measure(x, y, data_range=1.0, return_full_image=True)
        inside = everywhere[..., 5:-5, 5:-5].mean()  # theirs also has windows that reach over the border, mirrored
        assert float(ssim(images, true)[index]) == pytest.approx(float(inside), abs=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_points_against_point_cloud_utils(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(400, 3)), 1.1 * rng.normal(size=(300, 3)) + 0.1
    distances = nearest_distances(torch.from_numpy(a), torch.from_numpy(b))
    assert chamfer_distance(*distances) == pytest.approx(float(np.asarray(pcu.chamfer_distance(a, b))) / 2, rel=1e-6)
    a_to_b, _ = pcu.k_nearest_neighbors(a, b, 1)
    b_to_a, _ = pcu.k_nearest_neighbors(b, a, 1)
    for threshold in (0.05, 0.2, 0.5):
        precision, recall = (a_to_b < threshold).mean(), (b_to_a < threshold).mean()
        expected = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        assert f_score(*distances, threshold) == pytest.approx(expected, abs=1e-6)


def test_volumes_against_point_cloud_utils():
    one, other = sphere(0.8), cube(1.2, centre=(0.2, 0.1, 0.0))
    points = np.random.default_rng(0).uniform(-1, 1, size=(40_000, 3))
    inside = [
        pcu.signed_distance_to_mesh(points, mesh.vertices.double().numpy(), mesh.faces.numpy())[0] < 0
        for mesh in (one, other)
    ]
    expected = (inside[0] & inside[1]).sum() / (inside[0] | inside[1]).sum()
    assert volume_iou(*_arrays(one), *_arrays(other)) == pytest.approx(expected, abs=0.015)
    assert volume_iou(*_arrays(ring()), *_arrays(ring())) == pytest.approx(1.0)


def _arrays(mesh):
    return mesh.vertices.double().numpy(), mesh.faces.numpy()
