"""A plain background keyed out by its colour.

Symbols:
    B   the background's colour, the median of the image's border
    d   how far a pixel is from B: the root mean square of its channels' differences
"""

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.images.loose_parts import large_parts

UNIFORM_SHARE = 0.8  # of the border that must be of one colour: objects may be cut by the image's edge
BORDER_TOLERANCE = 0.02  # d within which a border is of one colour, grain averaged out; gradients exceed it
NOISE_FLOOR = 0.055  # d below which a pixel is background even where the border is clean (JPEG, soft shadows)
RINGING_SHARE = 0.12  # JPEG rings around an edge are fainter than this share of the edge's own d ...
RINGING_PX = 8  # ... and reach as far as its blocks are wide
SPECK_SHARE = 0.002  # of the largest part: smaller loose parts are compression artefacts


def key_out(rgb: Float[Tensor, "3 h w"]) -> Float[Tensor, "4 h w"] | None:
    """Make the background transparent, or return None where the border has no uniform colour.

    The background is flooded from the border, so parts of its colour inside the object stay; only where that colour
    is neither white nor black, enclosed areas of exactly it (the inside of a handle) go as well. Edge pixels get a
    partial alpha and lose the background's share of their colour.
    """
    from scipy import ndimage  # here, so that importing the package stays fast

    image = rgb.permute(1, 2, 0).cpu().numpy().astype(np.float32)
    colour = np.median(_border(image), axis=0)
    distance = _distance(image, colour)
    smooth = np.asarray(ndimage.uniform_filter(image, size=5, axes=(0, 1)))
    uniform = _border(_distance(smooth, colour)) < BORDER_TOLERANCE
    if uniform.mean() < UNIFORM_SHARE:
        return None
    noise = _border(distance)[uniform]
    threshold = max(NOISE_FLOOR, 1.5 * float(np.quantile(noise, 0.99)))
    ringing = RINGING_SHARE * ndimage.maximum_filter(distance, size=2 * RINGING_PX + 1)
    background = _flood(distance < np.maximum(threshold, ringing))
    if colour.max() > 0.1 and colour.min() < 0.9:
        background |= _seen_through(distance, threshold, 1.5 * float(noise.mean()) + 0.005)
    alpha = _soft_alpha(distance, large_parts(~background, SPECK_SHARE))
    clean = colour + (image - colour) / np.maximum(alpha, 1e-3)[..., None]
    clean = np.where(alpha[..., None] < 1, clean.clip(0, 1), image)
    rgba = np.concatenate([clean, alpha[..., None]], axis=-1).astype(np.float32)
    return torch.from_numpy(rgba).permute(2, 0, 1).contiguous()


def _distance(image: NDArray[np.floating], colour: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.sqrt(np.square(image - colour).mean(axis=-1))


def _border(image: NDArray[np.floating]) -> NDArray[np.floating]:
    """The pixels along the four sides, (n, ...)."""
    width = max(2, min(image.shape[:2]) // 100)
    border = np.ones(image.shape[:2], dtype=bool)
    border[width:-width, width:-width] = False
    return image[border]


def _label(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], int]:
    """Connected parts numbered from 1, and how many; pixels touch at their sides."""
    from scipy import ndimage

    labels = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labels)
    return labels, int(labels.max())


def _flood(alike: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of `alike` that reach the border."""
    labels, count = _label(alike)
    reached = np.zeros(count + 1, dtype=bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        reached[side] = True
    reached[0] = False
    return reached[labels]


def _seen_through(distance: NDArray[np.floating], threshold: float, mean_limit: float) -> NDArray[np.bool_]:
    """Areas that are no mere specks and on average as near to the background's colour as the border is."""
    labels, count = _label(distance < threshold)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    means = np.bincount(labels.ravel(), distance.ravel(), minlength=count + 1) / np.maximum(sizes, 1)
    seen = (sizes > max(16, distance.size // 2000)) & (means < mean_limit)
    seen[0] = False
    return seen[labels]


def _soft_alpha(distance: NDArray[np.floating], foreground: NDArray[np.bool_]) -> NDArray[np.floating]:
    """1 inside; in the outermost pixels the share of the object's colour.

    An edge pixel is I = a F + (1 - a) B, so its d is a times that of F; F is taken to be the pixel nearby that differs
    most from B.
    """
    from scipy import ndimage

    edge = max(2, round(min(distance.shape) / 300))  # large images are often enlarged ones, with wide edges
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(foreground, 1, mode="edge")))[1:-1, 1:-1]
    full = ndimage.maximum_filter(np.where(foreground, distance, 0.0), size=2 * edge + 1)
    share = distance / np.maximum(full, 1e-6)
    return np.where(depth > edge, 1.0, np.where(foreground, share, 0.0)).astype(np.float32)
