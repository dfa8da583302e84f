"""Random parts of pictures at random sizes, with the cameras that see just these parts."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from instantmesh.cameras import crop_cameras
from instantmesh.errors import InputError
from instantmesh.structures import Cameras


@dataclass(frozen=True)
class Crop:
    """A square of `patch_px` pixels a side, `top` rows and `left` columns into a picture resized to `size_px`."""

    size_px: int
    top: int
    left: int
    patch_px: int


def random_crop(picture_px: int, patch_px: int, size_px: tuple[int, int]) -> Crop:
    """A crop at a random place of a picture of a random size, from torch's global generator.

    Args:
        picture_px: side of the picture there is; it is never enlarged.
        patch_px: side of the crop.
        size_px: smallest and largest side that the picture is resized to.

    Raises:
        InputError: the picture is smaller than the smallest of these sizes.
    """
    low, high = size_px[0], min(size_px[1], picture_px)
    if high < low:
        raise InputError(f"pictures of {picture_px} pixels are smaller than the smallest size, {low}, to crop from")
    size = int(torch.randint(low, high + 1, ()))
    top, left = torch.randint(0, size - patch_px + 1, (2,)).tolist()
    return Crop(size, top, left, patch_px)


def crop_pictures(pictures: Float[Tensor, "n c s s"], crop: Crop) -> Float[Tensor, "n c p p"]:
    """This part of pictures, resized with antialiasing."""
    size = (crop.size_px, crop.size_px)
    if pictures.shape[-2:] != size:
        pictures = interpolate(pictures, size, mode="bilinear", antialias=True)
    return pictures[..., crop.top : crop.top + crop.patch_px, crop.left : crop.left + crop.patch_px]


def cameras_of_crop(cameras: Cameras, crop: Crop) -> Cameras:
    """Cameras whose whole image is the crop."""
    side = crop.patch_px / crop.size_px
    return crop_cameras(cameras, crop.left / crop.size_px, crop.top / crop.size_px, side, side)
