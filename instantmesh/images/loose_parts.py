"""Loose parts of a mask: what is tiny beside the largest one is an artefact, not the object."""

import numpy as np
from numpy.typing import NDArray


def large_parts(
    mask: NDArray[np.bool_], least_share: float, weight: NDArray[np.floating] | None = None
) -> NDArray[np.bool_]:
    """The parts of a mask that aren't tiny beside its largest one; pixels touch at sides and corners.

    Args:
        mask: (h, w).
        least_share: of the largest part's size, from which a part stays.
        weight: (h, w) what each pixel adds to its part's size; 1 by default.
    """
    from scipy import ndimage  # here, so that importing the package stays fast

    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3)), output=labels)
    sizes = np.bincount(labels.ravel(), None if weight is None else weight.ravel())
    sizes[0] = 0
    large = (sizes > 0) & (sizes >= least_share * sizes.max())
    return large[labels]
