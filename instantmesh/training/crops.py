"""Random parts of images at random sizes, with the cameras that see just these parts."""

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
    """A square of `patch_px` pixels a side, `top` rows and `left` columns into an image resized to `size_px`."""

    size_px: int
    top: int
    left: int
    patch_px: int


def random_crop(image_px: int, patch_px: int, size_px: tuple[int, int]) -> Crop:
    """A crop at a random place of an image of a random size, from torch's global generator.

    Args:
        image_px: side of the image there is; it is never enlarged.
        patch_px: side of the crop.
        size_px: smallest and largest side that the image is resized to.

    Raises:
        InputError: the image is smaller than the smallest of these sizes.
    """
    low, high = size_px[0], min(size_px[1], image_px)
    if high < low:
        raise InputError(f"images of {image_px} pixels are smaller than the smallest size, {low}, to crop from")
    size = int(torch.randint(low, high + 1, ()))
    top, left = torch.randint(0, size - patch_px + 1, (2,)).tolist()
    return Crop(size, top, left, patch_px)


def crop_images(images: Float[Tensor, "n c s s"], crop: Crop) -> Float[Tensor, "n c p p"]:
    """This part of images, resized with antialiasing."""
    size = (crop.size_px, crop.size_px)
    if images.shape[-2:] != size:
        images = interpolate(images, size, mode="bilinear", antialias=True)
    return images[..., crop.top : crop.top + crop.patch_px, crop.left : crop.left + crop.patch_px]


def cameras_of_crop(cameras: Cameras, crop: Crop) -> Cameras:
    """Cameras whose whole image is the crop."""
    side = crop.patch_px / crop.size_px
    return crop_cameras(cameras, crop.left / crop.size_px, crop.top / crop.size_px, side, side)
