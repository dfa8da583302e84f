"""Images in: a path, a PIL image, an array or a tensor becomes one kind of tensor."""

import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from instantmesh.errors import ImageError

MIN_SIDE_PX = 16
MAX_PIXELS = 100_000_000  # beyond any camera's image; a decompression bomb stops here

ImageSource = str | PathLike[str] | Image.Image | NDArray[Any] | Tensor


def open_image(source: ImageSource) -> Float[Tensor, "c h w"]:
    """Read an image as it is: nothing is cut out, cropped or composited.

    Args:
        source: a file's path; a PIL image of any mode (turned upright by its EXIF orientation); a numpy array
            (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), or a tensor (3, h, w) or (4, h, w): uint8, or float in [0, 1].

    Returns:
        (c, h, w) float32 in [0, 1] on the CPU; c is 4 where the image has an alpha channel, otherwise 3.

    Raises:
        ImageError: no such file, not a readable image, wrong shape, type or range, or a side below 16 pixels.
    """
    if isinstance(source, Tensor):
        image = _from_tensor(source)
    elif isinstance(source, np.ndarray):
        image = _from_array(source)
    elif isinstance(source, Image.Image):
        image = _from_pil(source, "the image")
    elif isinstance(source, str | PathLike):
        image = _from_file(Path(source))
    else:
        raise ImageError(f"need a path, a PIL image, a numpy array or a tensor, got {type(source).__name__}")
    height, width = image.shape[1:]
    if min(height, width) < MIN_SIDE_PX:
        raise ImageError(f"the image is {width} x {height} pixels; it needs at least {MIN_SIDE_PX} on each side")
    return image


def _from_file(path: Path) -> Tensor:
    if path.is_dir():
        raise ImageError(f"{path} is a folder, not an image")
    if not path.exists():
        raise ImageError(f"there is no file {path}")
    if path.stat().st_size == 0:
        raise ImageError(f"{path} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `_from_pil` has a limit of its own
            image = Image.open(path)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path} is too large: {error}") from error
    except Exception as error:  # decoders of damaged files raise whatever they stumble over
        raise ImageError(f"{path} can't be read as an image: {error}") from error
    with image:
        return _from_pil(image, str(path))


def _from_pil(image: Image.Image, name: str) -> Tensor:
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"{name} is too large: {image.width} x {image.height} pixels (at most {MAX_PIXELS:,})")
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode == "F" or image.mode.startswith("I"):
            return _from_array(_deep_grey(image))
        if image.mode == "La":  # premultiplied grey converts to nothing else
            image = image.convert("LA")
        has_alpha = image.mode in ("RGBA", "RGBa", "LA", "PA") or "transparency" in image.info
        return _from_array(np.asarray(image.convert("RGBA" if has_alpha else "RGB")))
    except ImageError:
        raise
    except Exception as error:  # as above: reading is lazy, so a truncated file shows only here
        raise ImageError(f"{name} can't be read as an image: {error}") from error


def _deep_grey(image: Image.Image) -> NDArray[np.floating]:
    """Grey images of more than 8 bits: floats are taken as they are, whole numbers are 16-bit."""
    grey = np.asarray(image).astype(np.float32)
    return grey if image.mode == "F" else grey / 65535


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
        return image.float() / 255
    image = image.float()
    if not bool(torch.isfinite(image).all()):
        raise ImageError("the image has values that aren't finite")
    if image.numel() and (float(image.min()) < -1e-4 or float(image.max()) > 1 + 1e-4):
        raise ImageError(
            f"float images must lie in [0, 1], found [{float(image.min()):.3g}, {float(image.max()):.3g}]"
            " (divide 8-bit values by 255)"
        )
    return image.clamp(0, 1)
