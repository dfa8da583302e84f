"""Whether the images of one object agree, judged by the mesh that was made of all of them.

Generated views may contradict each other; then no mesh fits them all, and it comes out as a mean that the odd ones
differ from most. So the mesh is drawn from every view's camera and compared with the view.

How far outlines lie apart is told in shares of the image's side (the area between them by their length), which unlike
intersection over union doesn't punish thin shapes. The limits come from `benchmarks/quality/view_agreement.py`: no
warning for true views, and one for most that were tampered with.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from instantmesh.errors import InputError
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Cameras, Mesh, Views

_BACKGROUND = 0.04  # what differs less from white is background
_OUTLINE_LIMIT = 0.03
_COLOR_LIMIT, _COLOR_RATIO = 0.12, 1.8  # a view's colours are off if they are by both: in all, and of the median view's


@dataclass(frozen=True)
class ViewAgreement:
    """How well each view agrees with the mesh.

    Attributes:
        azimuth_deg: from where each view looks, in [0, 360).
        outline_distance: between the view's outline and the mesh's, mean along it, in shares of the image's side.
        outline_iou: intersection over union of both silhouettes, in [0, 1].
        color_error: RMS difference in sRGB where both show the object; 0 where they nowhere do.
        warnings: what a user should know, in words.
    """

    azimuth_deg: tuple[float, ...]
    outline_distance: tuple[float, ...]
    outline_iou: tuple[float, ...]
    color_error: tuple[float, ...]
    warnings: tuple[str, ...]


def view_agreement(mesh: Mesh, views: Views) -> ViewAgreement:
    """Compare the views that a mesh was made of with the mesh.

    Args:
        mesh: coloured, in the world frame.
        views: square images on white, with the cameras that the reconstruction was told.

    Raises:
        InputError: the mesh has no faces, or the images aren't square.
        CameraError: the views have no cameras.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no faces: there is nothing to compare")
    height, width = views.images.shape[-2:]
    if height != width:
        raise InputError(f"the views must be square, got {width} x {height}")
    with torch.no_grad():
        images = views.images.to(mesh.vertices)
        seen = render_mesh(mesh, views.known_cameras, 2 * height, antialias=False)
        color, mask = avg_pool2d(seen.color, 2), avg_pool2d(seen.mask, 2)[:, 0]
        ours, theirs = mask > 0, silhouettes(images)  # with mixed pixels, both
        both, either = ours & theirs, ours | theirs
        length_px = (_outline_px(ours) + _outline_px(theirs)).clamp(min=2) / 2
        distance = (_count(either) - _count(both)) / length_px / height
        inside = both & (mask == 1)
        square = ((color - images).square().mean(1) * inside).flatten(1).sum(1)
        error = (square / _count(inside).clamp(min=1)).sqrt()
        iou = _count(both) / _count(either).clamp(min=1)
    numbers = (_azimuths_deg(views.known_cameras), distance.tolist(), iou.tolist(), error.tolist())
    azimuth, outline, overlap, color_error = (tuple(round(x, 4) for x in values) for values in numbers)
    return ViewAgreement(azimuth, outline, overlap, color_error, tuple(_warnings(azimuth, outline, color_error)))


def silhouettes(images: Float[Tensor, "n 3 h w"]) -> Bool[Tensor, "n h w"]:
    """What isn't background in images on white; white that it encloses belongs to the object."""
    from scipy.ndimage import binary_fill_holes

    differs = ((1 - images).amax(1) > _BACKGROUND).cpu().numpy()
    return torch.from_numpy(np.stack([np.asarray(binary_fill_holes(image)) for image in differs])).to(images.device)


def _count(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    return masks.flatten(1).sum(1).float()


def _outline_px(masks: Bool[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """How long the outlines are, by how often rows and columns cross them (Cauchy and Crofton, for two directions)."""
    crossings = _count(masks[:, 1:] ^ masks[:, :-1]) + _count(masks[:, :, 1:] ^ masks[:, :, :-1])
    return math.pi / 4 * crossings


def _azimuths_deg(cameras: Cameras) -> list[float]:
    positions = cameras.camera_to_world[:, :3, 3].tolist()
    return [math.degrees(math.atan2(y, x)) % 360 for x, y, _ in positions]


def _warnings(azimuth_deg: tuple[float, ...], outline: tuple[float, ...], color_error: tuple[float, ...]) -> list[str]:
    color_limit = max(_COLOR_LIMIT, _COLOR_RATIO * float(np.median(color_error)))
    odd = {
        "outline": [a for a, distance in zip(azimuth_deg, outline, strict=True) if distance > _OUTLINE_LIMIT],
        "colours": [a for a, error in zip(azimuth_deg, color_error, strict=True) if error > color_limit],
    }
    return [
        f"the views disagree: seen from azimuth {', '.join(f'{a:.0f}' for a in found)} the mesh has "
        f"{'another outline' if what == 'outline' else 'other colours'} than the view; try another seed"
        for what, found in odd.items()
        if found
    ]
