"""The cameras that training data is rendered from, drawn at random for every object. See docs/conventions.md."""

import math

import numpy as np
import torch

from instantmesh.cameras import (
    SIX_VIEW_AZIMUTHS_DEG,
    SIX_VIEW_ELEVATIONS_DEG,
    SIX_VIEW_FOV_DEG,
    SIX_VIEW_RADIUS,
    spherical_cameras,
)
from instantmesh.errors import InputError
from instantmesh.structures import Cameras

RANDOM_FOV_DEG = 50.0
RANDOM_ELEVATION_DEG = (-30.0, 70.0)
RANDOM_RADIUS = (3.0, 4.2)

QUERY_ELEVATION_DEG = (-10.0, 35.0)
QUERY_RADIUS = (4.0, 5.5)  # a ball of radius 1 fills 0.97 to 0.69 of the image's side


def random_cameras(count: int, rng: np.random.Generator) -> Cameras:
    """`count` cameras around the object, looking at the origin, for reconstruction data.

    They are spread evenly over the sphere's zone between elevations -30 and 70 degrees (azimuth and the elevation's
    sine are uniform), at radii uniform in [3.0, 4.2], with a field of view of 50 degrees.

    Raises:
        InputError: `count` is below 1.
    """
    if count < 1:
        raise InputError(f"need at least one camera, got {count}")
    azimuth_deg = rng.uniform(0, 360, count)
    low, high = (math.sin(math.radians(bound)) for bound in RANDOM_ELEVATION_DEG)
    elevation_deg = np.rad2deg(np.arcsin(rng.uniform(low, high, count)))
    radius = torch.from_numpy(rng.uniform(*RANDOM_RADIUS, count)).float()
    unit = spherical_cameras(azimuth_deg.tolist(), elevation_deg.tolist(), radius=1.0, fov_deg=RANDOM_FOV_DEG)
    pose = unit.camera_to_world.clone()
    pose[:, :3, 3] *= radius[:, None]
    return Cameras(pose, unit.intrinsics)


def diffusion_cameras(rng: np.random.Generator) -> Cameras:
    """Seven cameras for diffusion data, field of view 30 degrees: the query view, then the six fixed poses.

    The query has a random azimuth, an elevation in [-10, 35] degrees and a radius in [4.0, 5.5]. The six have their
    azimuths relative to the query's, absolute elevations and radius 4.
    """
    azimuth_deg = float(rng.uniform(0, 360))
    elevation_deg, radius = float(rng.uniform(*QUERY_ELEVATION_DEG)), float(rng.uniform(*QUERY_RADIUS))
    query = spherical_cameras([azimuth_deg], [elevation_deg], radius, SIX_VIEW_FOV_DEG)
    turned_deg = [azimuth_deg + relative_deg for relative_deg in SIX_VIEW_AZIMUTHS_DEG]
    six = spherical_cameras(turned_deg, SIX_VIEW_ELEVATIONS_DEG, SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)
    return Cameras(
        torch.cat([query.camera_to_world, six.camera_to_world]), torch.cat([query.intrinsics, six.intrinsics])
    )
