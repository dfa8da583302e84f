"""Training cameras: their ranges, how they are spread, and what the six fixed poses are relative to."""

import math

import numpy as np
import pytest
import torch

from instantmesh.cameras import intrinsics_from_fov, look_at_origin, rotate_about_up, six_view_cameras
from instantmesh.data.rigs import diffusion_cameras, random_cameras
from instantmesh.errors import InputError
from instantmesh.structures import Cameras


def spherical(cameras: Cameras) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Azimuth in [0, 360), elevation (degrees) and radius of every camera."""
    position = cameras.camera_to_world[:, :3, 3].double()
    radius = position.norm(dim=-1)
    azimuth = torch.rad2deg(torch.atan2(position[:, 1], position[:, 0])) % 360
    return azimuth, torch.rad2deg(torch.asin(position[:, 2] / radius)), radius


def test_random_cameras_fill_their_ranges_evenly():
    cameras = random_cameras(4000, np.random.default_rng(0))
    azimuth, elevation, radius = spherical(cameras)
    assert 0 <= azimuth.min() < 1
    assert 359 < azimuth.max() < 360
    assert -30 <= elevation.min() < -29
    assert 69 < elevation.max() <= 70
    assert 3.0 <= radius.min() < 3.01
    assert 4.19 < radius.max() <= 4.2
    z = elevation.deg2rad().sin()
    low, high = -0.5, math.sin(math.radians(70))
    for values, start, end in ((z, low, high), (radius, 3.0, 4.2), (azimuth, 0.0, 360.0)):
        uniform = (values - start) / (end - start)
        assert float(uniform.mean()) == pytest.approx(0.5, abs=0.02)
        assert float(uniform.std()) == pytest.approx(12**-0.5, abs=0.01)
    torch.testing.assert_close(cameras.intrinsics, intrinsics_from_fov(50.0, 4000))
    torch.testing.assert_close(cameras.camera_to_world, look_at_origin(cameras.camera_to_world[:, :3, 3]))


def test_diffusion_cameras_turn_with_the_query():
    for seed in range(20):
        cameras = diffusion_cameras(np.random.default_rng(seed))
        azimuth, elevation, radius = spherical(cameras)
        assert len(cameras) == 7
        assert -10 <= elevation[0] <= 35
        assert 4.0 <= radius[0] <= 5.5
        angle = azimuth[:1].deg2rad().expand(6).float()
        expected = rotate_about_up(six_view_cameras(), angle)
        torch.testing.assert_close(cameras[1:].camera_to_world, expected.camera_to_world, atol=1e-5, rtol=0)
        torch.testing.assert_close(cameras.intrinsics, intrinsics_from_fov(30.0, 7))


def test_the_same_generator_gives_the_same_cameras():
    for draw in (lambda rng: random_cameras(5, rng), diffusion_cameras):
        first, second, other = (draw(np.random.default_rng(seed)) for seed in (7, 7, 8))
        assert torch.equal(first.camera_to_world, second.camera_to_world)
        assert not torch.equal(first.camera_to_world, other.camera_to_world)
    with pytest.raises(InputError, match="at least one"):
        random_cameras(0, np.random.default_rng(0))
