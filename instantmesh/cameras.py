"""Camera rigs, rays and projection. Axes and ranges: docs/conventions.md.

Symbols:
    world       right-handed, +z up, object centred in [-1, 1]^3
    camera      OpenGL axes: x right, y up, z backward
    (u, v)      normalised pixel coordinates, (0, 0) top left, (1, 1) bottom right, v down
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import CameraError, InputError
from instantmesh.structures import Cameras

SIX_VIEW_AZIMUTHS_DEG = (30.0, 90.0, 150.0, 210.0, 270.0, 330.0)
SIX_VIEW_ELEVATIONS_DEG = (20.0, -10.0, 20.0, -10.0, 20.0, -10.0)
SIX_VIEW_RADIUS = 4.0
SIX_VIEW_FOV_DEG = 30.0
Convention = Literal["opengl", "opencv"]
Poses = Literal["camera_to_world", "world_to_camera"]

FOUR_OF_SIX = (0, 2, 4, 5)
PHOTO_ELEVATION_DEG = 10.0


def look_at_origin(position: Float[Tensor, "n 3"]) -> Float[Tensor, "n 4 4"]:
    """Camera-to-world poses of cameras at `position` that look at the origin with +z up.

    A camera straight above or below has no defined roll: its image's up is then +x (below: -x).
    """
    backward = torch.nn.functional.normalize(position, dim=-1)
    up = torch.tensor([0.0, 0.0, 1.0], device=position.device, dtype=position.dtype).expand_as(backward)
    pole = backward[:, :2].norm(dim=-1, keepdim=True) < 1e-6
    beside = torch.tensor([-1.0, 0.0, 0.0], device=position.device, dtype=position.dtype) * backward[:, 2:]
    up = torch.where(pole, beside, up)
    right = torch.nn.functional.normalize(torch.linalg.cross(up, backward), dim=-1)
    camera_to_world = torch.eye(4, device=position.device, dtype=position.dtype).repeat(len(position), 1, 1)
    camera_to_world[:, :3, 0] = right
    camera_to_world[:, :3, 1] = torch.linalg.cross(backward, right)
    camera_to_world[:, :3, 2] = backward
    camera_to_world[:, :3, 3] = position
    return camera_to_world


def intrinsics_from_fov(fov_deg: float, n: int) -> Float[Tensor, "n 3 3"]:
    """Normalised pinhole intrinsics with the given field of view, principal point in the middle."""
    if not 0.0 < fov_deg < 180.0:
        raise InputError(f"fov_deg must lie between 0 and 180, got {fov_deg}")
    focal = 0.5 / math.tan(math.radians(fov_deg) / 2)
    return torch.tensor([[focal, 0.0, 0.5], [0.0, focal, 0.5], [0.0, 0.0, 1.0]]).repeat(n, 1, 1)


def cameras_from_matrices(
    matrices: Tensor,
    intrinsics: Tensor,
    *,
    convention: Convention = "opengl",
    poses: Poses = "camera_to_world",
    size_px: tuple[int, int] | None = None,
) -> Cameras:
    """Cameras from the matrices of other programs.

    Args:
        matrices: (n, 4, 4) or (n, 3, 4) rigid motions.
        intrinsics: (n, 3, 3) normalised by the image's size, or in pixels with `size_px`.
        convention: of the camera's axes: "opengl" (Blender, NeRF: y up, z backward) or "opencv" (COLMAP: y down, z
            forward).
        poses: which way the matrices lead.
        size_px: (width, height) of the images, where the intrinsics are in pixels.

    Raises:
        CameraError: other shapes, no rigid motions, no such convention.

    Example:
        >>> cameras = cameras_from_matrices(
        ...     extrinsics, k, convention="opencv", poses="world_to_camera", size_px=(640, 480)
        ... )
    """
    if convention not in get_args(Convention) or poses not in get_args(Poses):
        raise CameraError(
            f"convention={convention!r}, poses={poses!r}: use one of {', '.join(get_args(Convention))}, and of"
            f" {', '.join(get_args(Poses))}"
        )
    if matrices.ndim != 3 or matrices.shape[1:] not in ((3, 4), (4, 4)):
        raise CameraError(f"matrices must be (n, 4, 4) or (n, 3, 4), got {tuple(matrices.shape)}")
    pose = matrices
    if pose.shape[1] == 3:
        last = torch.tensor([[[0.0, 0.0, 0.0, 1.0]]]).to(pose).expand(len(pose), 1, 4)
        pose = torch.cat([pose, last], dim=1)
    if poses == "world_to_camera":
        rotation = pose[:, :3, :3].mT  # of rigid motions, which `Cameras` checks
        moved = -(rotation @ pose[:, :3, 3:])
        pose = torch.cat([torch.cat([rotation, moved], dim=2), pose[:, 3:]], dim=1)
    if convention == "opencv":
        pose = pose * torch.tensor([1.0, -1.0, -1.0, 1.0]).to(pose)
    k = intrinsics
    if size_px is not None:
        width, height = size_px
        k = k / torch.tensor([[width], [height], [1.0]]).to(k)
    return Cameras(pose, k)


def spherical_cameras(
    azimuth_deg: Sequence[float], elevation_deg: Sequence[float], radius: float, fov_deg: float
) -> Cameras:
    """Cameras on a sphere around the origin, looking at it. Azimuth 0 looks from +x.

    Example:
        >>> cameras = spherical_cameras([0.0, 90.0], [20.0, 20.0], radius=4.0, fov_deg=30.0)
    """
    if len(azimuth_deg) != len(elevation_deg):
        raise InputError(f"{len(azimuth_deg)} azimuths but {len(elevation_deg)} elevations")
    azimuth = torch.deg2rad(torch.tensor(azimuth_deg, dtype=torch.float64))
    elevation = torch.deg2rad(torch.tensor(elevation_deg, dtype=torch.float64))
    position = radius * torch.stack(
        [elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], dim=-1
    )
    return Cameras(look_at_origin(position).float(), intrinsics_from_fov(fov_deg, len(azimuth_deg)))


def six_view_cameras(radius: float = SIX_VIEW_RADIUS) -> Cameras:
    """The six fixed views of Zero123++, in the order of the 3 x 2 image (row-major).

    Example:
        >>> views = Views(images, six_view_cameras())  # images (6, 3, h, w) in the order of the 3 x 2 tiles
    """
    return spherical_cameras(SIX_VIEW_AZIMUTHS_DEG, SIX_VIEW_ELEVATIONS_DEG, radius, SIX_VIEW_FOV_DEG)


def photo_camera(elevation_deg: float = PHOTO_ELEVATION_DEG) -> Cameras:
    """The camera under which a photo is a view of its object.

    In front (azimuth 0), at the six views' radius and field of view: a photo tells neither distance nor size.

    Args:
        elevation_deg: from how high it was taken.
    """
    return spherical_cameras((0.0,), (elevation_deg,), SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)


def elevations_deg(cameras: Cameras) -> Float[Tensor, " n"]:
    """How high above the horizon each camera stands, seen from the origin."""
    x, y, z = cameras.camera_to_world[:, :3, 3].unbind(-1)
    return torch.rad2deg(torch.atan2(z, torch.hypot(x, y)))


def orbit_cameras(n: int, elevation_deg: float = 20.0, radius: float = 4.5, fov_deg: float = 30.0) -> Cameras:
    """`n` cameras evenly around the object, starting at azimuth 0 (the front).

    Example:
        >>> cameras = orbit_cameras(24, elevation_deg=10.0)
    """
    if n < 1:
        raise InputError(f"an orbit needs at least one camera, got {n}")
    return spherical_cameras([360.0 * i / n for i in range(n)], [elevation_deg] * n, radius, fov_deg)


def rotate_about_up(cameras: Cameras, angle: Float[Tensor, " n"]) -> Cameras:
    """Turn every camera about the world's z axis by its `angle` (radians, counter-clockwise from above)."""
    cos, sin = angle.cos(), angle.sin()
    rotation = torch.eye(4, device=angle.device, dtype=cameras.camera_to_world.dtype).repeat(len(angle), 1, 1)
    rotation[:, 0, 0], rotation[:, 0, 1] = cos, -sin
    rotation[:, 1, 0], rotation[:, 1, 1] = sin, cos
    return Cameras(rotation @ cameras.camera_to_world, cameras.intrinsics)


def crop_cameras(cameras: Cameras, left: float, top: float, width: float, height: float) -> Cameras:
    """Cameras whose whole image is a part of the given ones': the focal length grows, the principal point moves.

    Args:
        cameras: of the whole images.
        left: edge of the part, as a share of the image's width; like the other three in [0, 1].
        top: edge of the part, as a share of the image's height.
        width: of the part, as a share of the image's.
        height: of the part, as a share of the image's.
    """
    k = cameras.intrinsics.double().clone()
    k[:, 0, 2] -= left
    k[:, 1, 2] -= top
    k[:, 0] /= width
    k[:, 1] /= height
    return Cameras(cameras.camera_to_world, k.to(cameras.intrinsics))


def zoom_cameras(cameras: Cameras, zoom: float) -> Cameras:
    """Cameras with `zoom` times the focal length; the principal point stays."""
    k = cameras.intrinsics.clone()
    k[:, 0, 0] *= zoom
    k[:, 1, 1] *= zoom
    return Cameras(cameras.camera_to_world, k)


def scale_positions(cameras: Cameras, factor: float) -> Cameras:
    """Cameras `factor` times as far from the origin: they see an object that is scaled by it as before."""
    poses = cameras.camera_to_world.clone()
    poses[:, :3, 3] *= factor
    return Cameras(poses, cameras.intrinsics)


def camera_vector(cameras: Cameras) -> Float[Tensor, "n 16"]:
    """The 16 numbers the encoders take: rows 0..2 of camera-to-world, then fx, fy, cx, cy."""
    k = cameras.intrinsics
    pose = cameras.camera_to_world[:, :3, :].flatten(1)
    return torch.cat([pose, torch.stack([k[:, 0, 0], k[:, 1, 1], k[:, 0, 2], k[:, 1, 2]], dim=-1)], dim=-1)


def pixel_centres(height: int, width: int) -> Float[Tensor, "height width 2"]:
    """Normalised (u, v) of every pixel's centre."""
    v = (torch.arange(height) + 0.5) / height
    u = (torch.arange(width) + 0.5) / width
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)


def rays(cameras: Cameras, height: int, width: int) -> tuple[Float[Tensor, "n p 3"], Float[Tensor, "n p 3"]]:
    """World-space origins and unit directions of the rays through all pixel centres, row-major (p = height * width)."""
    k = cameras.intrinsics
    uv = pixel_centres(height, width).reshape(1, -1, 2).to(k)
    x = (uv[..., 0] - k[:, None, 0, 2]) / k[:, None, 0, 0]
    y = -(uv[..., 1] - k[:, None, 1, 2]) / k[:, None, 1, 1]
    local = torch.nn.functional.normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1), dim=-1)
    direction = local @ cameras.camera_to_world[:, :3, :3].transpose(1, 2)
    origin = cameras.camera_to_world[:, None, :3, 3].expand_as(direction)
    return origin, direction


def project(points: Float[Tensor, "p 3"], cameras: Cameras) -> tuple[Float[Tensor, "n p 2"], Float[Tensor, "n p"]]:
    """Normalised pixel coordinates (u, v) of world points, and depths along the forward axis (positive in front)."""
    rotation, position = cameras.camera_to_world[:, :3, :3], cameras.camera_to_world[:, :3, 3]
    local = (points[None] - position[:, None]) @ rotation
    depth = -local[..., 2]
    k = cameras.intrinsics
    u = k[:, None, 0, 0] * local[..., 0] / depth + k[:, None, 0, 2]
    v = -k[:, None, 1, 1] * local[..., 1] / depth + k[:, None, 1, 2]
    return torch.stack([u, v], dim=-1), depth
