"""Images on disk: tensors in, PNG, JPEG or WebP out; tiling several into one."""

from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from instantmesh.errors import InputError, OutputError
from instantmesh.files.atomic import replacing

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp")


def tile(images: Float[Tensor, "n c h w"], columns: int) -> Float[Tensor, "c height width"]:
    """Lay `images` out row-major, `columns` to a row; missing tiles at the end are white."""
    n, c, h, w = images.shape
    rows = -(-n // columns)
    padded = torch.cat([images, images.new_ones(rows * columns - n, c, h, w)])
    return padded.reshape(rows, columns, c, h, w).permute(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)


def untile(image: Float[Tensor, "c height width"], rows: int, columns: int) -> Float[Tensor, "n c h w"]:
    """Cut an image into `rows` x `columns` equal tiles, row-major: the inverse of `tile`."""
    c, height, width = image.shape
    if height % rows or width % columns:
        raise InputError(f"a {width} x {height} image doesn't divide into {columns} x {rows} equal tiles")
    h, w = height // rows, width // columns
    return image.reshape(c, rows, h, columns, w).permute(1, 3, 0, 2, 4).reshape(rows * columns, c, h, w)


def to_pil(image: Float[Tensor, "c h w"]) -> Image.Image:
    """An 8-bit image of a float image in [0, 1] with 1 (grey), 3 (RGB) or 4 (RGBA) channels; values are rounded."""
    array = (image.detach().float().cpu().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def write_image(path: str | PathLike[str], image: Float[Tensor, "c h w"], *, overwrite: bool = True) -> Path:
    """Write a float image in [0, 1]; the ending chooses the format.

    Raises:
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
    """
    path = Path(path)
    if path.suffix.lower() not in IMAGE_ENDINGS:
        raise OutputError(f"{path.name}: unknown image ending; use one of {', '.join(IMAGE_ENDINGS)}")
    with replacing(path, overwrite=overwrite) as temporary:
        to_pil(image).save(temporary)
    return path
