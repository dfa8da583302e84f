"""Cameras moved so that the object stands at the origin and fills [-1, 1]^3, as the systems expect it."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from instantmesh.errors import CameraError
from instantmesh.structures import Cameras, Views
from instantmesh.views.checks import placement


def normalize_views(views: Views) -> Views:
    """The same views of an object at the origin that is 2 long.

    Where it stands and how long it is, its outlines tell: views on white, with the whole object in at least two.

    Raises:
        CameraError: there are no such two views, or their outlines don't meet.

    Example:
        >>> mesh = pipe.reconstruct(normalize_views(views))
    """
    place = placement(views)
    if place is None:
        raise CameraError("views can be normalised if two of them show the whole object on white, from different sides")
    if not place.meets:
        raise CameraError("the cameras don't fit the images: the object's outlines don't meet")
    cameras = views.known_cameras
    pose = cameras.camera_to_world.clone()
    pose[:, :3, 3] = (pose[:, :3, 3] - place.center.to(pose)) / place.half_size
    return Views(views.images, Cameras(pose, cameras.intrinsics))


def upright_views(views: Views) -> Views:
    """The same views in a world whose +z is up, and whose front the first camera sees.

    For cameras from structure from motion, whose world has no direction: up is where most of the images' upper edges
    point.

    Raises:
        CameraError: the cameras are turned every way, or the first one looks straight down.
    """
    cameras = views.known_cameras
    pose = cameras.camera_to_world.double()
    up = pose[:, :3, 1].mean(0)
    backward = pose[0, :3, 2]
    front = backward - (backward @ normalize(up, dim=0)) * normalize(up, dim=0)
    if float(up.norm()) < 0.2 or float(front.norm()) < 1e-3:
        raise CameraError("the images' upper edges point every way: turn them upright, or give cameras with z up")
    axes = _axes(normalize(front, dim=0), normalize(up, dim=0))
    turned = torch.eye(4, dtype=torch.float64).repeat(len(pose), 1, 1).to(pose)
    turned[:, :3] = axes @ pose[:, :3]
    return Views(views.images, Cameras(turned.to(cameras.camera_to_world), cameras.intrinsics))


def _axes(x: Tensor, z: Tensor) -> Tensor:
    """(3, 3) the rotation that takes these two directions to +x and +z."""
    return torch.stack([x, torch.linalg.cross(z, x), z])
