"""Several photos of one object, each from a side that has a name: their cameras are found together with the mesh.

Labels give azimuths, outlines give scales, and then mesh and cameras take turns: the mesh of all other photos shows
from where each photo was taken (`camera_search`), and better cameras give a better mesh. A turn is kept only if the
outlines agree clearly better after it.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from instantmesh.cameras import elevations_deg, photo_camera, project, rays, rotate_about_up, zoom_cameras
from instantmesh.errors import EmptySurfaceError, InputError
from instantmesh.fitting.camera_search import PhotoCamera, compare_from, find_camera
from instantmesh.structures import Cameras, Mesh, Views

_log = logging.getLogger(__name__)

SIDES_DEG: Mapping[str, float] = {
    "front": 0.0,
    "front-left": 45.0,
    "left": 90.0,
    "back-left": 135.0,
    "back": 180.0,
    "back-right": 225.0,
    "right": 270.0,
    "front-right": 315.0,
}
"""Azimuths of the sides that photos show, in the object's own words: its left side is where its left hand is."""

VIEW_SIZE_PX = 512
_COVERED = 0.85  # of a view's side by the object's longest extent, as in the views that models are trained with
_TURNS = 2
_LEAST_GAIN = 0.01  # of the mean intersection over union; a turn that brings less is as likely to harm as to help
_FARTHEST_DEG = 15.0  # from the azimuth that a photo is said to show
_DISAGREES = 0.85  # of the median photo's intersection over union; a photo with less is named


@dataclass(frozen=True, eq=False)
class SidePhoto:
    """A prepared photo of one side.

    Attributes:
        side: its name, for messages.
        azimuth_deg: that it is said to show.
        elevation_deg: from how high it was probably taken.
        image: (3, s, s) RGB in [0, 1], on white.
        mask: (1, s, s) in [0, 1].
    """

    side: str
    azimuth_deg: float
    elevation_deg: float
    image: Float[Tensor, "3 s s"]
    mask: Float[Tensor, "1 s s"]


@dataclass(frozen=True, eq=False)
class PhotoSet:
    """Photos with cameras that fit together.

    Attributes:
        views: the photos as cameras of the six views' field of view see them, looking at the object's centre.
        cameras: of the photos themselves, in their order, and how well the mesh of all looks like each of them.
    """

    views: Views
    cameras: tuple[PhotoCamera, ...]

    @property
    def iou(self) -> float:
        """Mean intersection over union of the mesh's silhouettes and the photos'."""
        return float(np.mean([camera.iou for camera in self.cameras]))


def azimuth_of(side: str | float | int) -> float:
    """The azimuth of a side's name, or of a number of degrees (0 the front, 90 the object's left).

    Raises:
        InputError: no such name, or no finite number.

    Example:
        >>> azimuth_of("left"), azimuth_of(30)
        (90.0, 30.0)
    """
    if isinstance(side, str):
        if side not in SIDES_DEG:
            raise InputError(f"{side!r} is no side; use {', '.join(SIDES_DEG)}, or an azimuth in degrees")
        return SIDES_DEG[side]
    if isinstance(side, bool) or not np.isfinite(side):
        raise InputError(f"{side!r} is no azimuth in degrees")
    return float(side)


def pose_photos(photos: Sequence[SidePhoto], reconstruct: Callable[[Views], Mesh]) -> PhotoSet:
    """Find cameras of photos that agree with the mesh of all of them.

    Args:
        photos: two or more, of different sides; their azimuths are right on average.
        reconstruct: the mesh, coloured, in the world frame, of some of the views.

    Raises:
        InputError: fewer than two photos, or two from one azimuth.
        EmptySurfaceError: no surface came out of the views.

    Example:
        >>> found = pose_photos([front, left, back], pipe.reconstructor)
        >>> [camera.elevation_deg for camera in found.cameras]
    """
    best = first_guess(photos, reconstruct)
    for turn in range(_TURNS):
        cameras = [_found(index, photos, best, reconstruct) for index in range(len(photos))]
        new = _compared(photos, _turned_to_labels(cameras, photos), reconstruct)
        gain = new.iou - best.iou
        _log.info("turn %d: outlines agree by %.1f %%, %.1f %% before", turn + 1, 100 * new.iou, 100 * best.iou)
        if gain < _LEAST_GAIN:
            break
        best = new
    least = _DISAGREES * float(np.median([camera.iou for camera in best.cameras]))
    for photo, camera in zip(photos, best.cameras, strict=True):
        if camera.iou < least:
            _log.warning("the photo of the %s side disagrees with the others: %s", photo.side, camera)
    return best


def first_guess(photos: Sequence[SidePhoto], reconstruct: Callable[[Views], Mesh]) -> PhotoSet:
    """Photos with the cameras that labels, elevations and the outlines' heights tell. Arguments, errors as above."""
    _check(photos)
    return _compared(photos, _first_cameras(photos), reconstruct)


def seen_by(camera: Cameras, image: Float[Tensor, "c s s"], taken_by: Cameras, size_px: int) -> Float[Tensor, "c p p"]:
    """What another camera in the same place sees: an image, zero outside, resampled.

    Args:
        camera: one, at the position of `taken_by`.
        image: square.
        taken_by: the camera of the image.
        size_px: side of the result.
    """
    zoom = float(taken_by.intrinsics[0, 0, 0] / camera.intrinsics[0, 0, 0])
    side_px = max(round(size_px * zoom), 1)
    if side_px < image.shape[-1]:  # else bilinear samples would leave pixels out
        image = interpolate(image[None], (side_px, side_px), mode="bicubic", antialias=True)[0].clamp(0, 1)
    origins, directions = rays(camera, size_px, size_px)
    uv, _ = project((origins + directions)[0].to(taken_by.intrinsics), taken_by)
    grid = (2 * uv - 1).reshape(1, size_px, size_px, 2)
    return grid_sample(image[None], grid.to(image), align_corners=False)[0]


def _check(photos: Sequence[SidePhoto]) -> None:
    if len(photos) < 2:
        raise InputError(f"photos of two or more sides are needed, got {len(photos)}")
    for index, photo in enumerate(photos):
        for other in photos[:index]:
            if abs(_signed(photo.azimuth_deg - other.azimuth_deg)) < 1:
                raise InputError(f"the photos {other.side!r} and {photo.side!r} are said to show the same side")


def _first_cameras(photos: Sequence[SidePhoto]) -> list[Cameras]:
    """Cameras at the labels' azimuths, zoomed so that the object is as high in all views (seen from about level)."""
    sizes = [_box_size(photo.mask) for photo in photos]
    height = _COVERED / max(1.0, *(width / high for width, high in sizes))
    return [
        zoom_cameras(_at(photo.azimuth_deg, photo.elevation_deg), high / height)
        for photo, (_, high) in zip(photos, sizes, strict=True)
    ]


def _box_size(mask: Float[Tensor, "1 s s"]) -> tuple[float, float]:
    """Width and height of a mask's box, in shares of the image's side."""
    inside = mask[0] > 0.5
    rows, columns = inside.any(1).nonzero(), inside.any(0).nonzero()
    extent = [float(found.max() - found.min() + 1) / mask.shape[-1] for found in (columns, rows)]
    return extent[0], extent[1]


def _at(azimuth_deg: float, elevation_deg: float) -> Cameras:
    return _turned(photo_camera(elevation_deg), azimuth_deg)


def _turned(cameras: Cameras, angle_deg: float) -> Cameras:
    return rotate_about_up(cameras, torch.tensor([angle_deg], dtype=torch.float32).deg2rad().expand(len(cameras)))


def _compared(
    photos: Sequence[SidePhoto], cameras: Sequence[Cameras], reconstruct: Callable[[Views], Mesh]
) -> PhotoSet:
    """Photos with cameras, and how well their mesh looks like them."""
    views = [_view(photo, camera) for photo, camera in zip(photos, cameras, strict=True)]
    joined = _joined(views)
    mesh = reconstruct(joined)
    seen = [compare_from(c, mesh, photo.image, photo.mask) for photo, c in zip(photos, cameras, strict=True)]
    return PhotoSet(joined, tuple(seen))


def _view(photo: SidePhoto, camera: Cameras) -> Views:
    """The photo as a camera without roll sees it that looks at the origin with the six views' field of view."""
    straight = _at(_azimuth_deg(camera), float(elevations_deg(camera)))
    image = 1 - seen_by(straight, 1 - photo.image.float().cpu(), camera, VIEW_SIZE_PX)
    return Views(image.clamp(0, 1)[None], straight)


def _joined(views: Sequence[Views]) -> Views:
    cameras = [one.known_cameras for one in views]
    return Views(
        torch.cat([one.images for one in views]),
        Cameras(torch.cat([c.camera_to_world for c in cameras]), torch.cat([c.intrinsics for c in cameras])),
    )


def _found(index: int, photos: Sequence[SidePhoto], known: PhotoSet, reconstruct: Callable[[Views], Mesh]) -> Cameras:
    """The camera of a photo, looked for around its present one against the mesh of the others.

    With the photo's own view in it, a mesh would confirm any camera.
    """
    photo, camera = photos[index], known.cameras[index]
    others = known.views[[i for i in range(len(photos)) if i != index]] if len(photos) > 2 else known.views
    try:
        mesh = reconstruct(others)
    except EmptySurfaceError:
        mesh = reconstruct(known.views)
    facing = replace(mesh, vertices=_turn_points(mesh.vertices.float().cpu(), -camera.azimuth_deg))
    off_deg = _signed(photo.azimuth_deg - camera.azimuth_deg)
    found = find_camera(facing, photo.image, photo.mask, expected=(off_deg, photo.elevation_deg))
    if abs(_signed(found.azimuth_deg - off_deg)) > _FARTHEST_DEG:  # so wrong is a mesh more often than a label
        return camera.camera
    return _turned(found.camera, camera.azimuth_deg)


def _turn_points(points: Float[Tensor, "v 3"], angle_deg: float) -> Float[Tensor, "v 3"]:
    angle = torch.deg2rad(torch.tensor(angle_deg))
    cos, sin = angle.cos(), angle.sin()
    x, y, z = points.unbind(-1)
    return torch.stack([cos * x - sin * y, sin * x + cos * y, z], dim=-1)


def _turned_to_labels(cameras: Sequence[Cameras], photos: Sequence[SidePhoto]) -> list[Cameras]:
    """The cameras, turned together so that on average they stand at the azimuths that are said."""
    off = [_signed(photo.azimuth_deg - _azimuth_deg(camera)) for photo, camera in zip(photos, cameras, strict=True)]
    return [_turned(camera, float(np.mean(off))) for camera in cameras]


def _azimuth_deg(camera: Cameras) -> float:
    x, y, _ = camera.camera_to_world[0, :3, 3].unbind()
    return float(torch.rad2deg(torch.atan2(y, x)))


def _signed(angle_deg: float) -> float:
    """The same angle in [-180, 180)."""
    return (angle_deg + 180) % 360 - 180
