"""The cut at full size: the mask of a small picture made to follow the edges of the large one.

Pixels along the outline lose the background's share of their colour. Sources: He and Sun, "Fast Guided Filter" (2015)
for `follow_edges`; Forte, "Approximate Fast Foreground Colour Estimation" (ICIP 2021) for `foreground_colors`.

Symbols:
    I   the picture, (h, w, 3) in [0, 1]
    p   the small mask; a, b with alpha = a . I + b in every window, fitted to p
"""

import numpy as np
from numpy.typing import NDArray

RADIUS_PX = 4  # of the windows, in pixels of the small picture
SMOOTHNESS = 1e-4  # variance of I below which alpha stays as smooth as p
BAND_PX = 3  # alpha is soft within this distance of the small mask's outline, in its pixels

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def follow_edges(picture: Array, small: Array, mask: Mask) -> NDArray[np.float32]:
    """Alpha for a picture whose object was found in a smaller version of it.

    Args:
        picture: (h, w, 3) in [0, 1].
        small: (h', w', 3) the smaller version, or the same.
        mask: (h', w') the object there.

    Returns:
        (h, w) in [0, 1], fractional within 3 pixels of the small mask's outline.
    """
    import cv2

    guide = np.ascontiguousarray(small, dtype=np.float32)
    slope, offset = _windows(guide, mask.astype(np.float32))
    size = picture.shape[1], picture.shape[0]
    soft = np.einsum("hwc,hwc->hw", cv2.resize(slope, size), picture.astype(np.float32)) + cv2.resize(offset, size)
    soft = ((soft - 0.1) / 0.8).clip(0, 1)
    inside = mask.astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * BAND_PX + 1, 2 * BAND_PX + 1))
    sure = cv2.resize(cv2.erode(inside, disc).astype(np.float32), size)
    possible = cv2.resize(cv2.dilate(inside, disc).astype(np.float32), size)
    return np.minimum(np.maximum(soft, sure), possible).astype(np.float32)


def _windows(guide: NDArray[np.float32], mask: NDArray[np.float32]) -> tuple[Array, Array]:
    """Slopes (h, w, 3) and offsets (h, w) of the best linear model of `mask` in each window, averaged over windows."""
    import cv2

    def mean(x: Array) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(x, (2 * RADIUS_PX + 1, 2 * RADIUS_PX + 1)), np.float32)

    center, level = mean(guide), mean(mask)
    products = mean((guide[..., :, None] * guide[..., None, :]).reshape(*mask.shape, 9)).reshape(*mask.shape, 3, 3)
    covariance = products - center[..., :, None] * center[..., None, :] + SMOOTHNESS * np.eye(3, dtype=np.float32)
    with_mask = mean(guide * mask[..., None]) - center * level[..., None]
    slope = np.linalg.solve(covariance, with_mask[..., None])[..., 0]
    return mean(slope.astype(np.float32)), mean(level - np.einsum("hwc,hwc->hw", slope, center).astype(np.float32))


def foreground_colors(picture: Array, alpha: Array) -> NDArray[np.float32]:
    """The object's own colours: where alpha is fractional the background's share is taken out.

    What lies around is averaged in two rounds, in a wide and in a narrow window, object and background apart.

    Args:
        picture: (h, w, 3) in [0, 1].
        alpha: (h, w) in [0, 1].

    Returns:
        (h, w, 3) in [0, 1]; the picture's own where alpha is above 0.99.
    """
    import cv2

    picture = np.ascontiguousarray(picture, dtype=np.float32)
    weight = np.ascontiguousarray(alpha, dtype=np.float32)[..., None]
    object_colors = background = picture
    side = max(picture.shape[:2])
    for window in (max(9, side // 12) | 1, max(5, side // 160) | 1):
        share = cv2.blur(weight, (window, window))[..., None]
        object_mean = cv2.blur(object_colors * weight, (window, window)) / (share + 1e-5)
        background_mean = cv2.blur(background * (1 - weight), (window, window)) / (1 - share + 1e-5)
        residual = picture - weight * object_mean - (1 - weight) * background_mean
        object_colors, background = (object_mean + weight * residual).clip(0, 1), background_mean
    return np.where(weight > 0.99, picture, object_colors).astype(np.float32)
