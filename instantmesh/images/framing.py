"""Where the object sits in its image, on which background, and at what size."""

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import ImageError, InputError

ALPHA_THRESHOLD = 0.05  # fainter pixels (matting's haze) don't widen the box around the object


def crop_to_foreground(rgba: Float[Tensor, "4 h w"], foreground_ratio: float = 0.85) -> Float[Tensor, "4 s s"]:
    """The square image in which the object is centred and its longer side takes `foreground_ratio` of the side.

    Pixels are moved, not resampled; what lies outside the image is transparent. Every system here was trained
    on images framed this way.

    Raises:
        ImageError: nothing is opaque.
        InputError: `foreground_ratio` isn't in (0, 1].
    """
    if not 0.0 < foreground_ratio <= 1.0:
        raise InputError(f"foreground_ratio must lie in (0, 1], got {foreground_ratio}")
    opaque = rgba[3] > ALPHA_THRESHOLD
    if not bool(opaque.any()):
        raise ImageError("the image has no foreground: its alpha mask is empty")
    rows, columns = (opaque.any(dim=dim).nonzero().squeeze(1) for dim in (1, 0))
    top, bottom, left, right = (int(x) for x in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    side = max(round(max(bottom - top, right - left) / foreground_ratio), 1)
    return _window(rgba, (top + bottom - side) // 2, (left + right - side) // 2, side)


def _window(image: Tensor, top: int, left: int, side: int) -> Tensor:
    """A `side` x `side` window of `image`, zero where it reaches outside."""
    height, width = image.shape[1:]
    window = image.new_zeros(image.shape[0], side, side)
    y0, y1, x0, x1 = max(top, 0), min(top + side, height), max(left, 0), min(left + side, width)
    window[:, y0 - top : y1 - top, x0 - left : x1 - left] = image[:, y0:y1, x0:x1]
    return window


def composite(rgba: Float[Tensor, "4 h w"], background: float = 1.0) -> Float[Tensor, "3 h w"]:
    """The image on a grey `background` in [0, 1]; 1 is white."""
    return rgba[:3] * rgba[3:] + background * (1 - rgba[3:])


def resize(image: Float[Tensor, "c h w"], size_px: int) -> Float[Tensor, "c s s"]:
    """A square image at another size: antialiased bicubic, clamped to [0, 1].

    Composite an RGBA image first: its hidden colours would bleed into the object's edge.

    Raises:
        InputError: the image isn't square, or `size_px` is below 1.
    """
    if size_px < 1:
        raise InputError(f"size_px must be at least 1, got {size_px}")
    if image.shape[-1] != image.shape[-2]:
        raise InputError(f"only square images are resized, this one is {image.shape[-1]} x {image.shape[-2]} pixels")
    if image.shape[-1] == size_px:
        return image
    resized = torch.nn.functional.interpolate(
        image[None], size=(size_px, size_px), mode="bicubic", align_corners=False, antialias=True
    )
    return resized[0].clamp(0, 1)
