"""Colours: sRGB and linear light, textures looked up."""

import numpy as np
from numpy.typing import NDArray


def srgb_to_linear(colors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sRGB transfer function's inverse (IEC 61966-2-1), values in [0, 1]."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(colors: NDArray[np.floating]) -> NDArray[np.floating]:
    """The sRGB transfer function (IEC 61966-2-1), values in [0, 1]: the inverse of `srgb_to_linear`."""
    return np.where(colors <= 0.0031308, colors * 12.92, 1.055 * np.maximum(colors, 0.0031308) ** (1 / 2.4) - 0.055)


def sample_texture(texture: NDArray[np.uint8], uv: NDArray[np.floating]) -> NDArray[np.floating]:
    """Bilinear colours (p, 3) in [0, 1] at `uv` (p, 2), v down, the texture repeated beyond [0, 1]."""
    height, width, _ = texture.shape
    x, y = uv[:, 0] * width - 0.5, uv[:, 1] * height - 0.5
    left, top = np.floor(x), np.floor(y)
    right_share, bottom_share = (x - left)[:, None], (y - top)[:, None]
    j, i = left.astype(np.int64), top.astype(np.int64)

    def texel(row: NDArray[np.int64], column: NDArray[np.int64]) -> NDArray[np.floating]:
        return texture[row % height, column % width] / np.float32(255)

    upper = texel(i, j) * (1 - right_share) + texel(i, j + 1) * right_share
    lower = texel(i + 1, j) * (1 - right_share) + texel(i + 1, j + 1) * right_share
    return upper * (1 - bottom_share) + lower * bottom_share
