"""Textures as files: PNG, JPEG, WebP."""

import io
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instantmesh.errors import InputError

TextureFormat = Literal["png", "jpeg", "webp"]
_OPTIONS: dict[TextureFormat, dict[str, Any]] = {
    "png": {},
    "jpeg": {"quality": 92, "subsampling": 0},  # whole colours: charts of different colours lie side by side
    "webp": {"quality": 92, "method": 4},
}


def check_texture_format(name: str) -> None:
    """Raises InputError for a format that there isn't."""
    if name not in get_args(TextureFormat):
        raise InputError(f"texture_format={name!r}: use one of {', '.join(get_args(TextureFormat))}")


def texture_bytes(image: NDArray[np.uint8], texture_format: TextureFormat = "png") -> bytes:
    """An image (h, w, 3) as a file. JPEG and WebP lose a little, and take fewer bytes."""
    data = io.BytesIO()
    Image.fromarray(image).save(data, texture_format.upper(), **_OPTIONS[texture_format])
    return data.getvalue()
