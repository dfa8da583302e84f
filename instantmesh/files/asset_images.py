"""Textures of other people's models."""

import io
import math
import warnings
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instantmesh.errors import InputError
from instantmesh.files.texture_images import TextureFormat

GLTF_FORMATS = ("PNG", "JPEG", "WEBP")
FORMATS = (*GLTF_FORMATS, "BMP", "GIF", "TGA", "TIFF")

LARGEST_SIDE_PX = 4096  # 200 MB in single precision
_MOST_PIXELS = 1 << 28
_BAND_PX = 64


@dataclass(frozen=True)
class AssetImage:
    """A decoded texture.

    Attributes:
        pixels: (h, w, 3) sRGB; no side is longer than 4096.
        has_alpha: whether some pixels are transparent.
        format: how files keep it; that of formats which nobody writes today is PNG.
        shrunk_from_px: the longer side that it had if it was longer than 4096, or None.
    """

    pixels: NDArray[np.uint8]
    has_alpha: bool
    format: TextureFormat
    shrunk_from_px: int | None


def decode_image(data: bytes, formats: tuple[str, ...] = FORMATS) -> AssetImage:
    """Decode an image file's bytes.

    Raises:
        InputError: it is damaged, of another format, or has more than 2^28 pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=formats)
            if image.width * image.height > _MOST_PIXELS:
                raise InputError(f"it has {image.width} x {image.height} pixels")
            found, longest = str(image.format).lower(), max(image.size)
            image.draft("RGB", (LARGEST_SIDE_PX, LARGEST_SIDE_PX))
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(str(error)) from error
    if longest > LARGEST_SIDE_PX:
        image = _shrunk(image)
    has_alpha = image.has_transparency_data and bool(np.asarray(image.convert("RGBA"))[..., 3].min() < 255)
    return AssetImage(
        _rgb(image),
        has_alpha,
        cast(TextureFormat, found) if found in ("jpeg", "webp") else "png",
        longest if longest > LARGEST_SIDE_PX else None,
    )


def _shrunk(image: Image.Image) -> Image.Image:
    """The longer side 4096, band by band: Pillow averages true colours only, which take more memory than palettes."""
    factor = max(image.size) / LARGEST_SIDE_PX
    width, height = (max(round(side / factor), 1) for side in image.size)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    shrunk = Image.new(mode, (width, height))
    for top in range(0, height, _BAND_PX):
        rows = min(_BAND_PX, height - top)
        low, high = (edge * image.height / height for edge in (top, top + rows))
        first, last = math.floor(low), math.ceil(high)
        band = _true_colours(image.crop((0, first, image.width, last)), mode)
        box = (0.0, low - first, float(image.width), high - first)
        shrunk.paste(band.resize((width, rows), Image.Resampling.BOX, box), (0, top))
    return shrunk


def _true_colours(image: Image.Image, mode: str) -> Image.Image:
    return Image.fromarray(_rgb(image)) if image.mode.startswith("I") else image.convert(mode)


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """8-bit pixels; Pillow would cut 16-bit greys off at 255."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) / 257).round().clip(0, 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    return np.asarray(image.convert("RGB"))
