"""What models of other people consist of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.texture_images import TextureFormat

Array = NDArray[np.floating]


@dataclass(frozen=True)
class AssetPart:
    """Triangles of one material.

    Attributes:
        vertices: (v, 3) world frame.
        faces: (f, 3), counter-clockwise seen from outside.
        uv: (v, 2) texture coordinates, (0, 0) upper left, v down; None without a texture.
        texture: (h, w, 3) uint8 sRGB, or None.
        colors: (v, 3) sRGB in [0, 1]; they multiply the texture. None: the texture alone.
        normals: (v, 3) of unit length, from the file; None where it has none.
        texture_format: how the file keeps the texture.
    """

    vertices: Array
    faces: NDArray[np.int64]
    uv: Array | None
    texture: NDArray[np.uint8] | None
    colors: Array | None
    normals: Array | None
    texture_format: TextureFormat = "png"


def unit_normals(vectors: Array) -> Array:
    """(n, 3) of unit length; what has no direction, or isn't a number, is zero."""
    vectors = np.nan_to_num(vectors)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
