"""Alpha masks that come with pictures: which of them are cut-outs, and what of them is the object.

An alpha channel may hold anything: a cut-out, the rounded corners of a screenshot, a constant, or a cut-out with haze
and stray pixels around it.
"""

import numpy as np
from numpy.typing import NDArray

from instantmesh.images.loose_parts import large_parts

OPAQUE = 0.9  # alpha from which a mask that is nowhere lower hides nothing
SPECK_SHARE = 0.002  # of the largest part's opacity: smaller loose parts are stray pixels or artefacts
VISIBLE = 0.1  # alpha from which pixels join into parts
MAX_HAZE = 0.3  # alpha around an object that can still be taken for haze; more is something that is meant

Alpha = NDArray[np.floating]


def is_cut_out(alpha: Alpha) -> bool:
    """Whether the mask (h, w) tells an object from a background.

    It doesn't where it is nearly opaque everywhere, or opaque along more than half of each of the picture's sides:
    rounded corners, vignettes, torn edges.
    """
    if float(alpha.min()) >= OPAQUE:
        return False
    if float(alpha.max()) <= VISIBLE:
        return True  # an empty one, which is an error of its own
    sides = (alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1])
    return min(float((side > 0.5).mean()) for side in sides) <= 0.5


def without_haze(alpha: Alpha) -> Alpha:
    """The mask with the constant veil that covers its border taken away, where there is a faint one."""
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    haze = float(np.quantile(border, 0.9))
    if not 0 < haze < MAX_HAZE:
        return alpha
    return ((alpha - haze) / (1 - haze)).clip(0, 1).astype(np.float32)


def without_specks(alpha: Alpha) -> Alpha:
    """The mask without loose parts that are tiny beside the largest one, and without the faintest pixels."""
    import cv2

    visible = alpha > VISIBLE
    large = large_parts(visible, SPECK_SHARE, alpha)
    near = cv2.dilate(large.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0  # with their soft edges
    return np.where(large | (near & ~visible), alpha, 0.0).astype(np.float32)


def filled_where_transparent(rgb: NDArray[np.floating], alpha: Alpha) -> NDArray[np.floating]:
    """Colours (h, w, 3) in which those that alpha hides are replaced by the nearest visible ones."""
    import cv2

    hidden = (alpha < 0.5).astype(np.uint8)
    if not hidden.any() or hidden.all():
        return rgb
    _, found = cv2.distanceTransformWithLabels(hidden, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    labels = np.asarray(found, np.int64)
    of_label = np.zeros((int(labels.max()) + 1, 3), np.float32)
    visible = hidden == 0
    of_label[labels[visible]] = rgb[visible]
    return of_label[labels]
