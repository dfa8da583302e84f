"""Images in: a path, the bytes of a file, a PIL image, an array or a tensor becomes one kind of tensor."""

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from instantmesh.errors import ImageError, InputError
from instantmesh.images.decoding import BinaryFile, decode, pixels_of

MIN_SIDE_PX = 16
MAX_SIDE_PX = 4096  # of a tensor; what is larger is scaled down to it

ImageSource = str | PathLike[str] | bytes | BinaryFile | Image.Image | NDArray[Any] | Tensor


def open_image(source: ImageSource, max_side_px: int = MAX_SIDE_PX) -> Float[Tensor, "c h w"]:
    """Read an image as it is: nothing is cut out, cropped or composited.

    Args:
        source: a file's path, its bytes, or an open binary file (PNG, JPEG, WebP, TIFF, GIF, BMP, PPM, AVIF, and HEIC
            with the extra `heic`; of an animation the first frame); a PIL image of any mode; a numpy array (h, w),
            (h, w, 1), (h, w, 3) or (h, w, 4), or a tensor (3, h, w) or (4, h, w): uint8, or float in [0, 1]. Files and
            PIL images are turned upright by their EXIF orientation and converted to sRGB by their colour profile.
        max_side_px: an image with a longer side is scaled down to it, files already while they are decoded.

    Returns:
        (c, h, w) float32 in [0, 1] on the CPU; c is 4 where the image has an alpha channel, otherwise 3.

    Raises:
        ImageError: no such file, not a readable image, wrong shape, type or range, or a side below 16 pixels.
        MissingBackendError: a HEIC file without the package that decodes it.
        InputError: `max_side_px` is below 16.
    """
    if max_side_px < MIN_SIDE_PX:
        raise InputError(f"max_side_px must be at least {MIN_SIDE_PX}, got {max_side_px}")
    if isinstance(source, Tensor):
        image = _scaled_down(_from_tensor(source), max_side_px)
    elif isinstance(source, np.ndarray):
        image = _scaled_down(_from_array(source), max_side_px)
    elif isinstance(source, Image.Image):
        image = _from_array(_from_pil(source, max_side_px))
    elif isinstance(source, str | PathLike):
        image = _from_array(decode(_existing(source), fspath(source), max_side_px))
    elif isinstance(source, bytes | BinaryFile):
        image = _from_array(decode(source, "the image", max_side_px))
    else:
        raise ImageError(f"need a path, bytes, a PIL image, a numpy array or a tensor, got {type(source).__name__}")
    height, width = image.shape[1:]
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"the image is {width} x {height} pixels; it needs at least {MIN_SIDE_PX} on each side")
    return image


def _existing(source: str | PathLike[str]) -> Path:
    path = Path(source)
    try:
        if path.is_dir():
            raise ImageError(f"{path} is a folder, not an image")
        if not path.is_file():
            raise ImageError(f"there is no file {path}" if not path.exists() else f"{path} is no ordinary file")
    except ImageError:
        raise
    except (OSError, ValueError) as error:  # a name too long, or with a null character
        raise ImageError(f"there is no file {str(path)[:100]!r}: {error}") from error
    return path


def _from_pil(image: Image.Image, max_side_px: int) -> NDArray:
    try:
        return pixels_of(image, "the image", max_side_px)
    except ImageError:
        raise
    except Exception as error:  # reading is lazy, so a damaged file shows only here, in as many ways as decoders have
        raise ImageError(f"the image can't be read: {error}") from error


def _from_array(array: NDArray) -> Tensor:
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4):
        raise ImageError(
            f"an array must be (h, w), (h, w, 3) or (h, w, 4), got {array.shape}"
            " (channels come last in arrays, first in tensors)"
        )
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"an array must be uint8 or float in [0, 1], got {array.dtype}")
    if array.shape[-1] == 1:
        array = array.repeat(3, axis=-1)
    return _unit_float(torch.from_numpy(array.transpose(2, 0, 1).copy()))  # the copy drops negative strides


def _from_tensor(tensor: Tensor) -> Tensor:
    if tensor.ndim != 3 or tensor.shape[0] not in (3, 4):
        raise ImageError(f"a tensor must be (3, h, w) or (4, h, w), got {tuple(tensor.shape)}")
    if tensor.dtype != torch.uint8 and not tensor.is_floating_point():
        raise ImageError(f"a tensor must be uint8 or float in [0, 1], got {tensor.dtype}")
    return _unit_float(tensor.detach().cpu())


def _unit_float(image: Tensor) -> Tensor:
    """To float32 in [0, 1]; floats are checked, not rescaled: a guess would be wrong silently."""
    if image.dtype == torch.uint8:
        return image.float().div_(255)
    image = image.float()
    if not bool(torch.isfinite(image).all()):
        raise ImageError("the image has values that aren't finite")
    if image.numel() and (float(image.min()) < -1e-4 or float(image.max()) > 1 + 1e-4):
        raise ImageError(
            f"float images must lie in [0, 1], found [{float(image.min()):.3g}, {float(image.max()):.3g}]"
            " (divide 8-bit values by 255)"
        )
    return image.clamp(0, 1)


def _scaled_down(image: Tensor, max_side_px: int) -> Tensor:
    """Averaged to at most `max_side_px`; colours under transparent pixels don't bleed."""
    share = max_side_px / max(*image.shape[1:], 1)
    if share >= 1:
        return image
    size = [max(1, round(side * share)) for side in image.shape[1:]]
    weight = image[3:] if image.shape[0] == 4 else torch.ones_like(image[:1])
    mixed = torch.cat([image[:3] * weight, image[3:]])
    small = torch.nn.functional.interpolate(mixed[None], size=size, mode="bilinear", antialias=True)[0]
    if image.shape[0] == 4:
        small[:3] /= small[3:].clamp(min=1e-6)
    return small.clamp(0, 1)
