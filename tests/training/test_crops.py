"""A crop's cameras see what the crop shows."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.data.rigs import random_cameras
from instantmesh.errors import InputError
from instantmesh.render.volume import render_field
from instantmesh.training.crops import Crop, cameras_of_crop, crop_images, random_crop

CAMERAS = random_cameras(2, np.random.default_rng(0))


def _ball(points: Tensor) -> tuple[Tensor, Tensor]:
    return points.abs(), 40 - 60 * points.norm(dim=1, keepdim=True)


def test_volume_rendering_by_the_crops_cameras_is_a_part_of_the_whole():
    crop = Crop(24, 5, 9, 12)
    part = render_field(_ball, cameras_of_crop(CAMERAS, crop), 12, 12, 16)
    whole = render_field(_ball, CAMERAS, 24, 24, 16, crop=(5, 9, 12, 12))
    assert float(whole.weight.max()) > 0.9
    torch.testing.assert_close(part.color, whole.color, atol=1e-4, rtol=0)
    torch.testing.assert_close(part.weight, whole.weight, atol=1e-4, rtol=0)


def test_ray_casting_by_the_crops_cameras_is_a_part_of_the_whole():
    renderer = ObjectRenderer(ProceduralSurface(random_object(3)))
    whole, crop = renderer.views(CAMERAS, 32), Crop(32, 10, 6, 16)
    part = renderer.views(cameras_of_crop(CAMERAS, crop), 16)
    assert float((part.images - crop_images(whole.images, crop)).abs().mean()) < 1e-3
    assert float((part.depth - crop_images(whole.depth, crop)).abs().mean()) < 1e-3
    assert float(part.mask.mean()) > 0.1


def test_images_are_resized_then_cut():
    images = torch.rand(2, 3, 20, 20)
    assert torch.equal(crop_images(images, Crop(20, 3, 4, 6)), images[..., 3:9, 4:10])
    small = interpolate(images, (10, 10), mode="bilinear", antialias=True)
    torch.testing.assert_close(crop_images(images, Crop(10, 2, 1, 6)), small[..., 2:8, 1:7])
    fine = torch.zeros(1, 1, 20, 20)
    fine[..., ::2] = 1  # stripes that a resize without antialiasing would keep
    assert float((crop_images(fine, Crop(10, 1, 1, 8)) - 0.5).abs().max()) < 0.1


def test_random_crops_lie_in_images_of_all_sizes():
    torch.manual_seed(0)
    crops = [random_crop(40, 8, (8, 64)) for _ in range(400)]
    assert all(0 <= c.top <= c.size_px - 8 and 0 <= c.left <= c.size_px - 8 for c in crops)
    sizes = {crop.size_px for crop in crops}
    assert (min(sizes), max(sizes)) == (8, 40)  # never larger than the image
    assert max(crop.top for crop in crops) > 28
    with pytest.raises(InputError, match="smaller than the smallest size"):
        random_crop(6, 8, (8, 64))
