"""Colours around the charts."""

import numpy as np
from numpy.typing import NDArray


def padded(colors: NDArray[np.floating], texel: NDArray[np.integer], size_px: int) -> NDArray[np.float32]:
    """(size, size, 3) image of colours (t, 3) at texels (t,); all others have the colour of the nearest of them.

    So the smaller copies of the image that viewers make (mip maps) mix a chart's border with its own colours only.
    """
    from scipy.ndimage import distance_transform_edt

    image = np.zeros((size_px * size_px, 3), np.float32)
    image[texel] = colors
    free = np.ones(size_px * size_px, bool)
    free[texel] = False
    row, column = distance_transform_edt(free.reshape(size_px, size_px), return_distances=False, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    return image.reshape(size_px, size_px, 3)[row, column]
