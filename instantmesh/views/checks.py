"""Do views and their cameras fit together, and does the object stand where the systems expect it?

Wrong cameras make wrong meshes, and nothing else tells. The object's outline in each view gives a cone in which it
lies; these have to meet. Outlines are of what isn't white; views whose outline touches the image's border, or is empty,
tell nothing.

Symbols: n views.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from instantmesh.cameras import Convention, Poses, cameras_from_matrices, project
from instantmesh.errors import CameraError
from instantmesh.structures import Cameras, Views

_NOT_WHITE = 12 / 255
_LEAST_FOV_DEG, _LARGEST_FOV_DEG = 1.0, 140.0
_APART = 0.5  # of the object's half size, by which the cones' middles may miss each other: outlines aren't symmetric
_NEAR = 0.6  # the object's centre may stand this far from the origin
_HALF_SIZES = (0.3, 1.8)  # of its longest side


@dataclass(frozen=True)
class Placement:
    """Where the outlines meet.

    Attributes:
        center: (3,) world.
        half_size: half of the object's longest visible side, world units.
        apart: how far the middles of the outlines pass each other there, world units (root mean square).
        in_front: whether it is in front of every camera.
    """

    center: Float[Tensor, "3"]
    half_size: float
    apart: float
    in_front: bool

    @property
    def meets(self) -> bool:
        """Whether the outlines are those of one object."""
        return self.in_front and self.apart <= _APART * self.half_size

    @property
    def is_expected(self) -> bool:
        """Whether the object stands at the origin and fills about [-1, 1]^3."""
        low, high = _HALF_SIZES
        return float(self.center.norm()) <= _NEAR and low <= self.half_size <= high


def check_views(views: Views) -> None:
    """Refuse views whose cameras can't be theirs, or that see the object elsewhere than the systems expect it.

    Views without cameras aren't checked.

    Raises:
        CameraError: what is wrong, and which convention would fit.

    Example:
        >>> check_views(Views(images, cameras))
    """
    if views.cameras is None:
        return
    fault = focal_fault(views.cameras)
    if fault is not None:
        raise CameraError(fault)
    place = placement(views)
    if place is None:
        if not bool(see_origin(views.cameras).any()):
            raise CameraError(f"no camera sees the origin, where the object has to stand{_advice(views)}")
        return
    if not place.meets:
        raise CameraError(f"the cameras don't fit the images: the object's outlines don't meet{_advice(views)}")
    if not place.is_expected:
        at = ", ".join(f"{x:.3g}" for x in place.center.tolist())
        raise CameraError(
            f"the object stands at ({at}) and is {2 * place.half_size:.3g} long, and has to stand at the origin and be"
            " about 2 long; normalize=True (--normalize) moves the cameras accordingly"
        )


def focal_fault(cameras: Cameras) -> str | None:
    """What is wrong with focal lengths that no camera has; None if they are possible."""
    k = cameras.intrinsics
    fov_deg = torch.rad2deg(2 * torch.atan(0.5 / torch.stack([k[:, 0, 0], k[:, 1, 1]])))
    if float(fov_deg.min()) < _LEAST_FOV_DEG:
        return (
            f"a field of view of {float(fov_deg.min()):.2g} degrees: intrinsics must be normalised by the image's size;"
            ' in pixels they are "intrinsics_px"'
        )
    if float(fov_deg.max()) > _LARGEST_FOV_DEG:
        return f"a field of view of {float(fov_deg.max()):.3g} degrees: focal lengths must be parts of the image's size"
    return None


def see_origin(cameras: Cameras) -> Bool[Tensor, " n"]:
    """Which cameras have the origin in front of them and in the image."""
    uv, depth = project(torch.zeros(1, 3).to(cameras.intrinsics), cameras)
    return ((uv >= 0) & (uv <= 1)).all(-1)[:, 0] & (depth[:, 0] > 0)


def placement(views: Views) -> Placement | None:
    """Where the outlines meet; None with fewer than two views that show one."""
    cameras = views.known_cameras
    boxes, usable = outlines(views.images)
    if int(usable.sum()) < 2:
        return None
    boxes, pose, k = (x[usable].double().cpu() for x in (boxes, cameras.camera_to_world, cameras.intrinsics))
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    x = (middle[:, 0] - k[:, 0, 2]) / k[:, 0, 0]
    y = -(middle[:, 1] - k[:, 1, 2]) / k[:, 1, 1]
    local = torch.stack([x, y, -torch.ones_like(x)], dim=-1)
    direction = torch.nn.functional.normalize((pose[:, :3, :3] @ local[..., None])[..., 0], dim=-1)
    position = pose[:, :3, 3]
    across = torch.eye(3, dtype=torch.float64) - direction[:, :, None] * direction[:, None]
    system = across.sum(0)
    if float(torch.linalg.eigvalsh(system)[0]) < 1e-4 * len(system):  # all look the same way: no distance is known
        return None
    center = torch.linalg.solve(system, (across @ position[..., None]).sum(0)[:, 0])
    offset = ((across @ (center - position)[..., None])[..., 0] ** 2).sum(-1)
    depth = -((center - position)[:, None] @ pose[:, :3, :3])[:, 0, 2]
    sizes = (half / torch.stack([k[:, 0, 0], k[:, 1, 1]], dim=-1)).amax(-1) * depth
    return Placement(center, float(sizes.amax()), math.sqrt(float(offset.mean())), bool((depth > 0).all()))


def outlines(images: Float[Tensor, "n 3 h w"]) -> tuple[Float[Tensor, "n 4"], Bool[Tensor, " n"]]:
    """Bounding boxes (left, top, right, bottom; normalised) of what isn't white, and in which views they tell."""
    mask = ((1 - images) > _NOT_WHITE).any(1)
    height, width = mask.shape[1:]
    columns, rows = mask.any(1), mask.any(2)
    boxes = torch.stack(
        [
            columns.float().argmax(1) / width,
            rows.float().argmax(1) / height,
            1 - columns.flip(1).float().argmax(1) / width,
            1 - rows.flip(1).float().argmax(1) / height,
        ],
        dim=-1,
    )
    touches = columns[:, 0] | columns[:, -1] | rows[:, 0] | rows[:, -1]
    return boxes, mask.flatten(1).any(1) & ~touches


def _advice(views: Views) -> str:
    """Which convention would fit, in words; empty where none does."""
    cameras = views.known_cameras
    found: list[tuple[Convention, Poses]] = []
    choices: tuple[tuple[Convention, ...], tuple[Poses, ...]] = (
        ("opengl", "opencv"),
        ("camera_to_world", "world_to_camera"),
    )
    for convention, poses in itertools.product(*choices):
        if (convention, poses) == ("opengl", "camera_to_world"):
            continue
        other = cameras_from_matrices(cameras.camera_to_world, cameras.intrinsics, convention=convention, poses=poses)
        place = placement(Views(views.images, other))
        if place.meets if place is not None else bool(see_origin(other).all()):
            found.append((convention, poses))
    if not found:
        return ""
    convention, poses = found[0]
    names = {"opencv": "OpenCV's", "opengl": "OpenGL's"}
    kind: dict[Literal["camera_to_world", "world_to_camera"], str] = {
        "camera_to_world": "camera-to-world",
        "world_to_camera": "world-to-camera",
    }
    given = [f'convention="{convention}"'] if convention != "opengl" else []
    given += [f'poses="{poses}"'] if poses != "camera_to_world" else []
    return f"; these poses look like {names[convention]} {kind[poses]} matrices: pass {', '.join(given)}"
