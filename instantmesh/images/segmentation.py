"""The object of a photo with any background, by edges and colours alone: no network, no download.

Edges say where the object is. The geodesic distance from the border is the cost of the cheapest path to a pixel, where
gradients cost their size and those fainter than grain cost nothing. It is large where an outline has to be crossed,
whatever the colours; slow gradients and soft shadows cost nothing (compare Zhu et al., "Saliency Optimization from
Robust Background Detection", CVPR 2014). Colours on both sides say where exactly the object ends: GrabCut (Rother,
Kolmogorov and Blake, SIGGRAPH 2004), as OpenCV has it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.images.loose_parts import large_parts

DECISION_SIDE_PX = 448  # of the picture that is decided on, whatever the photo's size
_GRAIN = 1.5  # gradients up to this many medians cost nothing
_STEP = 0.02  # cost of a pixel without any edge, in units of CIE Lab
_THRESHOLD = 0.6  # of Otsu's: GrabCut gives back what doesn't belong to the object more readily than it finds the rest
_BORDER_SHARE = 0.01  # of the shorter side, along which everything is background to begin with
_ROUNDS = 5
_FEWEST_PIXELS = 50  # of object and background, for models of their colours
_PINHOLE_SHARE = 1e-3  # of the object: smaller enclosed gaps are highlights
_SPECK_SHARE = 0.02  # of the largest part: smaller loose parts are background

Picture = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What was found in a picture.

    Attributes:
        mask: (h, w) the object.
        agreement: intersection over union of the mask and of what edges alone say.
    """

    mask: Mask
    agreement: float


def segment(picture: Picture) -> Segmentation:
    """Find the object.

    Args:
        picture: (h, w, 3) sRGB in [0, 1], best not much larger than `DECISION_SIDE_PX` a side.

    Returns:
        The same for the same picture. The mask is empty where nothing is set apart from the border.

    Example:
        >>> found = segment(picture)
        >>> found.mask.mean(), found.agreement
        (0.31, 0.95)
    """
    distance = np.sqrt(geodesic_distance_to_border(picture))
    enclosed = distance > _THRESHOLD * _otsu(distance)
    thickness = max(2, int(_BORDER_SHARE * min(enclosed.shape)))
    inner = np.zeros_like(enclosed)
    inner[thickness:-thickness, thickness:-thickness] = True
    enclosed &= inner
    if min(enclosed.sum(), (~enclosed).sum()) < _FEWEST_PIXELS:
        return Segmentation(np.zeros_like(enclosed), 0.0)
    mask = large_parts(_without_pinholes(_grabcut(picture, enclosed, inner)), _SPECK_SHARE)
    return Segmentation(mask, float((mask & enclosed).sum() / max((mask | enclosed).sum(), 1)))


def geodesic_distance_to_border(picture: Picture) -> NDArray[np.float32]:
    """The cost of the cheapest path from the border to each pixel.

    Args:
        picture: (h, w, 3) sRGB in [0, 1].

    Returns:
        (h, w) at least 0, in units of CIE Lab.
    """
    import cv2
    from skimage.graph import MCP_Geometric

    colors = cv2.cvtColor(np.ascontiguousarray(picture, dtype=np.float32), cv2.COLOR_RGB2LAB)
    across, down = (cv2.Sobel(colors, cv2.CV_32F, *order) / 8 for order in ((1, 0), (0, 1)))
    gradient = np.sqrt((np.square(across) + np.square(down)).sum(axis=-1))
    cost = np.maximum(gradient - _GRAIN * float(np.median(gradient)), 0) + _STEP
    frame = np.ones(cost.shape, dtype=bool)
    frame[1:-1, 1:-1] = False
    distance, _ = MCP_Geometric(cost).find_costs(np.argwhere(frame))
    return np.asarray(distance, dtype=np.float32)


def _otsu(values: NDArray[np.floating]) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(values)) if np.ptp(values) > 0 else float(values.max())


def _grabcut(picture: Picture, enclosed: Mask, inner: Mask) -> Mask:
    import cv2

    labels = np.full(enclosed.shape, cv2.GC_BGD, np.uint8)
    labels[inner], labels[enclosed] = cv2.GC_PR_BGD, cv2.GC_PR_FGD
    pixels = np.ascontiguousarray((np.asarray(picture)[..., ::-1] * 255).round().astype(np.uint8))
    cv2.setRNGSeed(0)  # its colour models start from random clusters
    cv2.grabCut(pixels, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _without_pinholes(mask: Mask) -> Mask:
    import cv2

    _, labels = cv2.connectedComponents((~mask).astype(np.uint8), connectivity=4)
    small = np.bincount(labels.ravel()) < _PINHOLE_SHARE * mask.sum()
    small[0] = True  # the mask itself
    return small[labels]
