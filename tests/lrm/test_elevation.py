"""The network that estimates from how high a photo was taken."""

import pytest
import torch

from instantmesh.cameras import elevations_deg, photo_camera
from instantmesh.lrm.elevation import ElevationEstimator


def images_of_bars(n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey boxes whose lighter top is the larger the higher the camera stands, and their elevations."""
    elevations = 40 * torch.rand(n, generator=generator) - 5
    rows = torch.arange(64)[None, None, :, None] / 64
    top = 0.2 + 0.6 * torch.deg2rad(elevations).sin().clamp(min=0)[:, None, None, None]
    inside = (rows > 0.15) & (rows < 0.85) & (torch.arange(64) > 12) & (torch.arange(64) < 52)
    grey = torch.where(rows < top, 0.7, 0.2)
    return torch.where(inside, grey, 1.0).expand(n, 3, 64, 64).contiguous(), elevations


def test_it_learns_what_is_seen_of_an_objects_top():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network = ElevationEstimator(4)
    optimiser = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(120):
        images, elevations = images_of_bars(16, generator)
        loss = (network(images) - elevations).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    images, elevations = images_of_bars(64, generator)
    with torch.no_grad():
        found = network(images)
    above = elevations > 3
    assert float((found - elevations)[above].abs().mean()) < 3
    larger = torch.nn.functional.interpolate(images, scale_factor=2)
    assert network(larger).shape == (64,)


def test_cameras_say_how_high_they_stand():
    for elevation in (-30.0, 0.0, 12.5, 80.0):
        assert float(elevations_deg(photo_camera(elevation))) == pytest.approx(elevation, abs=1e-4)
