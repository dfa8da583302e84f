"""Where a photo was taken from: render and compare, against a mesh of the object.

Six numbers are looked for: azimuth, elevation and roll of a camera that looks at the origin, how large its image is
(zoom), and the image's shift. Distance and zoom are nearly the same to an image, so the distance stays that of the six
views. First a grid of directions, each with the zoom and shift that bring the mesh's box onto the photo's; then the
Levenberg-Marquardt method (Marquardt, 1963) from the best of them, on blurred silhouettes and colours, whose
derivatives are differences of two images.

Symbols: a pose is the six numbers; s pixels a side.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from instantmesh.cameras import (
    SIX_VIEW_FOV_DEG,
    SIX_VIEW_RADIUS,
    elevations_deg,
    look_at_origin,
    project,
    spherical_cameras,
)
from instantmesh.errors import ImageError, InputError
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh

Array = NDArray[np.float64]

AZIMUTHS_DEG = (-20.0, -10.0, 0.0, 10.0, 20.0)
ELEVATIONS_DEG = (-20.0, -10.0, 0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)

_LEVELS = ((32, 1.0), (48, 1.5), (112, 1.5))
"""Side in pixels and blur of the grid, of the refinement of its best, and of that of the best of those."""
_STARTS = 3  # of the grid, that are refined
_ROUNDS = 12  # of refinement, at most, at each level
_COLOR_WEIGHT = 0.5  # of differences of colours beside those of masks
_UNITS = np.array([3.0, 3.0, 3.0, 0.03, 0.01, 0.01])  # what counts as a step: degrees, shares of zoom and side
_DIFFERENCE = 0.2  # of those, by which derivatives are taken
_STILL = 0.03  # of those, below which a pose is found
_FARTHEST = np.array([25.0, 75.0, 15.0, 1.2, 0.3, 0.3])  # azimuth, elevation, roll; log of zoom; shifts
_STRAY_DEG = 15.0  # from the expected direction, at which it costs as much as `_STRAY_COST` of the mask
_STRAY_COST = 0.005


@dataclass(frozen=True, eq=False)
class PhotoCamera:
    """Where a photo was taken from, and how well a mesh looks like it from there.

    Attributes:
        camera: the one camera, of the whole square photo.
        iou: intersection over union of the mesh's silhouette and the photo's.
        color_rms: difference of blurred colours where both show the object, after a gain and an offset a channel.
    """

    camera: Cameras
    iou: float
    color_rms: float

    @property
    def azimuth_deg(self) -> float:
        """From the object's front, counter-clockwise seen from above."""
        x, y, _ = self.camera.camera_to_world[0, :3, 3].tolist()
        return math.degrees(math.atan2(y, x))

    @property
    def elevation_deg(self) -> float:
        """Above the horizon."""
        return float(elevations_deg(self.camera))

    @property
    def roll_deg(self) -> float:
        """About the line of sight, counter-clockwise seen from behind the camera; 0 where the horizon is level."""
        upright = look_at_origin(self.camera.camera_to_world[:, :3, 3])[0, :3, :3]
        right = self.camera.camera_to_world[0, :3, 0]
        return math.degrees(math.atan2(float(right @ upright[:, 1]), float(right @ upright[:, 0])))

    @property
    def zoom(self) -> float:
        """How much larger than with the six views' field of view the object is seen."""
        return float(self.camera.intrinsics[0, 0, 0] * 2 * math.tan(math.radians(SIX_VIEW_FOV_DEG) / 2))

    @property
    def shift(self) -> tuple[float, float]:
        """(u, v) that the origin's image lies from the middle, in shares of the side."""
        u, v = (self.camera.intrinsics[0, :2, 2] - 0.5).tolist()
        return u, v

    def __str__(self) -> str:
        return (
            f"the photo's camera: elevation {self.elevation_deg:.0f}, azimuth {self.azimuth_deg:.0f}, roll"
            f" {self.roll_deg:.0f} degrees; outlines agree by {self.iou:.0%}"
        )


def compare_from(
    camera: Cameras, mesh: Mesh, image: Float[Tensor, "3 s s"], mask: Float[Tensor, "1 s s"]
) -> PhotoCamera:
    """How well a mesh looks like a photo from a camera that is known. Errors as in `find_camera`."""
    mesh, image, mask = _checked(mesh, image, mask)
    with torch.no_grad():
        return _Comparison(mesh, image, mask, *_LEVELS[-1], None).seen_from(camera.to("cpu"))


def find_camera(
    mesh: Mesh,
    image: Float[Tensor, "3 s s"],
    mask: Float[Tensor, "1 s s"],
    *,
    expected: tuple[float, float] | None = None,
    azimuths_deg: Sequence[float] = AZIMUTHS_DEG,
    elevations_deg: Sequence[float] = ELEVATIONS_DEG,
) -> PhotoCamera:
    """Find the camera under which a mesh looks like a photo.

    Args:
        mesh: coloured, in the world frame; its front is where the photo was taken from, within some 25 degrees.
        image: RGB in [0, 1], square.
        mask: the object's, in [0, 1].
        expected: azimuth and elevation in degrees that the camera probably has; other directions must fit better. None
            takes all for equally likely.
        azimuths_deg: of the first grid.
        elevations_deg: of the first grid.

    Raises:
        InputError: the mesh has no faces, or image and mask aren't square and of one size.
        ImageError: the mask is empty.

    Example:
        >>> photo = pipe.prepare_photo("photo.png")
        >>> find_camera(result.mesh, photo.image, photo.mask).elevation_deg
    """
    mesh, image, mask = _checked(mesh, image, mask)
    with torch.no_grad():
        levels = [_Comparison(mesh, image, mask, size_px, blur_px, expected) for size_px, blur_px in _LEVELS]
        grid = [levels[0].boxed(a, e) for a in azimuths_deg for e in elevations_deg]
        starts = _distinct(levels[0].best_first(grid))
        refined = levels[1].best_first([_levenberg_marquardt(levels[1], pose) for pose in starts])
        return levels[2].seen_from(camera_of(_levenberg_marquardt(levels[2], refined[0])))


def camera_of(pose: Array) -> Cameras:
    """The camera of a pose: azimuth, elevation and roll in degrees, logarithm of the zoom, shifts u and v."""
    azimuth, elevation, roll, log_zoom, shift_u, shift_v = (float(x) for x in pose)
    camera = spherical_cameras((azimuth,), (elevation,), SIX_VIEW_RADIUS, SIX_VIEW_FOV_DEG)
    cos, sin = math.cos(math.radians(roll)), math.sin(math.radians(roll))
    turn = torch.tensor([[cos, -sin, 0, 0], [sin, cos, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]])
    intrinsics = camera.intrinsics.clone()
    intrinsics[:, :2, :2] *= math.exp(log_zoom)
    intrinsics[:, 0, 2] += shift_u
    intrinsics[:, 1, 2] += shift_v
    return Cameras(camera.camera_to_world @ turn, intrinsics)


def _checked(mesh: Mesh, image: Tensor, mask: Tensor) -> tuple[Mesh, Tensor, Tensor]:
    """On the CPU."""
    if not len(mesh.faces):
        raise InputError("the mesh has no faces: there is nothing to compare with the photo")
    if image.shape[-2] != image.shape[-1] or mask.shape != (1, *image.shape[-2:]):
        raise InputError(f"image and mask must be square and alike, got {tuple(image.shape)} and {tuple(mask.shape)}")
    if not bool((mask > 0.5).any()):
        raise ImageError("the photo's mask is empty: there is no outline to compare")
    return mesh.to("cpu"), image.detach().float().cpu(), mask.detach().float().cpu()


def _joined(cameras: Sequence[Cameras]) -> Cameras:
    return Cameras(torch.cat([x.camera_to_world for x in cameras]), torch.cat([x.intrinsics for x in cameras]))


class _Comparison:
    """A mesh beside a photo, at one size and one blur."""

    def __init__(
        self,
        mesh: Mesh,
        image: Tensor,
        mask: Tensor,
        size_px: int,
        blur_px: float,
        expected: tuple[float, float] | None,
    ) -> None:
        self._mesh, self._size_px, self._blur_px, self._expected = mesh, size_px, blur_px, expected
        small = interpolate(torch.cat([image * mask, mask])[None], (size_px, size_px), mode="area")[0]
        self._mask = small[3].numpy()
        self._blurred = self._blur(small.double().numpy())
        self._area = math.sqrt(float(self._mask.sum()))
        rows, columns = (np.flatnonzero((self._mask > 0.5).any(axis)) for axis in (1, 0))
        self._box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / size_px

    def boxed(self, azimuth_deg: float, elevation_deg: float) -> Array:
        """The pose of a direction whose zoom and shift bring the mesh's box onto the photo's."""
        pose = np.array([azimuth_deg, elevation_deg, 0, 0, 0, 0], np.float64)
        uv = project(self._mesh.vertices, camera_of(pose))[0][0].double().numpy()
        low, high = uv.min(0), uv.max(0)
        wanted_low, wanted_high = self._box[:2], self._box[2:]
        zoom = float(np.sqrt(np.prod(wanted_high - wanted_low) / np.prod(high - low)))
        pose[3] = np.clip(math.log(zoom), -_FARTHEST[3], _FARTHEST[3])
        middle = (low + high) / 2 - 0.5
        pose[4:] = (wanted_low + wanted_high) / 2 - 0.5 - zoom * middle
        return pose

    def residuals(self, poses: Sequence[Array]) -> Array:
        """(poses, r) differences of blurred masks and colours; a cost is the sum of squares, in shares of the mask."""
        images = self._render(_joined([camera_of(pose) for pose in poses]))
        return np.stack([self._differences(pose, seen) for pose, seen in zip(poses, images, strict=True)])

    def best_first(self, poses: Sequence[Array]) -> list[Array]:
        """The poses in the order of their costs."""
        costs = (self.residuals(poses) ** 2).sum(1)
        return [poses[i] for i in np.argsort(costs, kind="stable")]

    def seen_from(self, camera: Cameras) -> PhotoCamera:
        """What is told of a camera."""
        seen = self._render(camera)[0]
        ours, theirs = seen[3] > 0.5, self._mask > 0.5
        both, either = ours & theirs, ours | theirs
        mine, true = _straight(self._blur(seen)), _straight(self._blurred)
        square = (((_matched(mine, true, both) - true) ** 2) * both).sum() / max(3 * both.sum(), 1)
        return PhotoCamera(camera, float(both.sum() / max(either.sum(), 1)), math.sqrt(square))

    def _differences(self, pose: Array, seen: Array) -> Array:
        blurred = self._blur(seen)
        weight = np.minimum(blurred[3], self._blurred[3])
        theirs = _straight(self._blurred)
        colors = _COLOR_WEIGHT * weight * (_matched(_straight(blurred), theirs, weight) - theirs)
        differences = np.concatenate([(blurred[3] - self._blurred[3]).ravel(), colors.ravel()]) / self._area
        if self._expected is None:
            return differences
        stray = math.sqrt(_STRAY_COST) * (pose[:2] - np.array(self._expected)) / _STRAY_DEG
        return np.concatenate([differences, stray])

    def _render(self, cameras: Cameras) -> Array:
        """(cameras, 4, s, s) the mesh's colours times its mask, and the mask."""
        seen = render_mesh(self._mesh, cameras, 2 * self._size_px, antialias=False, background=0.0)
        return avg_pool2d(torch.cat([seen.color * seen.mask, seen.mask], dim=1), 2).double().numpy()

    def _blur(self, channels: Array) -> Array:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(channels, (0, self._blur_px, self._blur_px)))


def _straight(channels: Array) -> Array:
    """(3, s, s) the colours of (4, s, s) colours times mask, and mask."""
    return channels[:3] / np.maximum(channels[3], 1e-3)


def _matched(colors: Array, true: Array, weight: NDArray[Any]) -> Array:
    """Colours (3, s, s) with the gain and offset of each channel that bring them nearest to the true ones."""
    total = max(float(weight.sum()), 1e-9)
    matched = np.empty_like(colors)
    for channel in range(3):
        mean, true_mean = (float((weight * x[channel]).sum()) / total for x in (colors, true))
        spread = float((weight * (colors[channel] - mean) ** 2).sum()) / total
        shared = float((weight * (colors[channel] - mean) * (true[channel] - true_mean)).sum()) / total
        gain = np.clip((shared + 1e-3) / (spread + 1e-3), 0.5, 2.0)  # plain objects have nothing to take a gain from
        matched[channel] = gain * (colors[channel] - mean) + true_mean
    return matched


def _distinct(poses: Sequence[Array]) -> list[Array]:
    """The first of the poses, and those that follow from directions not next to the ones taken."""
    taken: list[Array] = []
    for pose in poses:
        if all(np.abs(pose[:2] - other[:2]).max() > 10 for other in taken):
            taken.append(pose)
        if len(taken) == _STARTS:
            break
    return taken


def _levenberg_marquardt(comparison: _Comparison, pose: Array) -> Array:
    damping, residuals = 1e-2, comparison.residuals([pose])[0]
    for _ in range(_ROUNDS):
        beside = comparison.residuals([pose + step for step in np.diag(_DIFFERENCE * _UNITS)])
        jacobian = (beside - residuals) / _DIFFERENCE
        normal, gradient = jacobian @ jacobian.T, jacobian @ residuals
        for _ in range(4):
            step = -np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-9), gradient)
            new = np.clip(pose + np.clip(step, -3, 3) * _UNITS, -_FARTHEST, _FARTHEST)
            new_residuals = comparison.residuals([new])[0]
            if new_residuals @ new_residuals < residuals @ residuals:
                break
            damping *= 8
        else:
            return pose
        moved = np.abs((new - pose) / _UNITS).max()
        pose, residuals, damping = new, new_residuals, damping / 4
        if moved < _STILL:
            break
    return pose
