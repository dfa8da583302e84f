"""Where a reconstruction from one photo puts its object: upright, in front of a camera at the photo's elevation.

A photo tells neither distance nor size. So the object stands where `cameras.photo_camera` (azimuth 0, the photo's
elevation, the six views' radius and field of view) sees it centred, at the size that photos are cropped to: what is
seen in the photo then lies on the rays of that camera, and only depth is left to be guessed.

A frame is five numbers: x' = scale * (R_z(angle) x - centre); angle in radians, then the centre's x, y, z, then scale.
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.cameras import photo_camera
from instantmesh.data.object_renderer import QUERY_FOREGROUND_RATIO

IDENTITY_FRAME = (0.0, 0.0, 0.0, 0.0, 1.0)
_LARGEST_COORDINATE = 0.98  # planes end at 1
_ITERATIONS = 6


def photo_frame(vertices: NDArray[np.floating], azimuth: float, elevation_deg: float) -> NDArray[np.float32]:
    """The frame (5,) of an object that is photographed from `azimuth` (radians) and `elevation_deg`.

    Objects that are longer along the camera's axis than the planes reach are made smaller than the photo shows them.
    """
    turned = vertices @ _rotation(-azimuth).T
    camera = photo_camera(elevation_deg)
    pose = camera.camera_to_world[0].double().numpy()
    rotation, position, focal = pose[:3, :3], pose[:3, 3], float(camera.intrinsics[0, 0, 0])
    centre, scale = (turned.min(0) + turned.max(0)) / 2, 1.0
    for _ in range(_ITERATIONS):
        local = (scale * (turned - centre) - position) @ rotation
        plane = focal * local[:, :2] / -local[:, 2:]  # x right, y up, the image's side is 1
        low, high = plane.min(0), plane.max(0)
        shift = rotation[:, :2] @ ((low + high) / 2) * np.linalg.norm(position) / focal
        shift[0] = 0.0  # depth stays
        centre = centre + shift / scale
        scale *= QUERY_FOREGROUND_RATIO / float((high - low).max())
    scale = min(scale, _LARGEST_COORDINATE / float(np.abs(turned - centre).max()))
    return np.array([-azimuth, *centre, scale], np.float32)


def into_frames(points: Float[Tensor, "b p 3"], frames: Float[Tensor, "b 5"]) -> Float[Tensor, "b p 3"]:
    """Points in each object's frame; lengths grow by the frames' scales."""
    return frames[:, None, 4:] * (turn_about_up(points, frames[:, 0]) - frames[:, None, 1:4])


def turn_about_up(vectors: Float[Tensor, "b p 3"], angle: Float[Tensor, " b"]) -> Float[Tensor, "b p 3"]:
    """Vectors turned about z by each object's angle (radians)."""
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    x, y, z = vectors.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=-1)


def _rotation(angle: float) -> NDArray[np.float64]:
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
