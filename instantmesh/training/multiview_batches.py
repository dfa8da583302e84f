"""Batches of the multiview stage: a query view, and six fixed views pasted as one 3 x 2 image."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate, max_pool2d

from instantmesh.training.stage import Batch, object_numbers

FACTOR = 8
"""Pixels of a latent's side."""

SevenImages = NDArray[np.uint8]
"""(n, 7, s, s, 4) RGBA with straight alpha: the query view, then the six fixed views (`data.dataset`)."""

SevenViews = Callable[[NDArray[np.int64]], tuple[Tensor, Tensor]]
"""Numbers of b objects -> images (b, 7, 3, s, s) in [0, 1] on white, and masks (b, 7, 1, s, s)."""


@dataclass(frozen=True, eq=False)
class MultiviewBatch(Batch):
    """b objects.

    Attributes:
        tiled_views: the six views as 3 x 2 images in [0, 1].
        condition: the query view, of another size in every batch.
        clip_pixels: the query view at the vision encoder's size.
        weight: of the loss, by latent position, mean 1.
    """

    tiled_views: Float[Tensor, "b 3 height width"]
    condition: Float[Tensor, "b 3 k k"]
    clip_pixels: Float[Tensor, "b 3 s s"]
    weight: Float[Tensor, "b 1 h w"]


class MultiviewSource:
    """Draws batches.

    Args:
        views: the images of `objects` objects.
        condition_size_px: smallest and largest side of the condition, which is drawn anew for every batch, in
            multiples of eight.
        clip_size_px: the vision encoder's.
        background_weight: of latents away from the object, in the loss.
    """

    def __init__(
        self,
        views: SevenViews,
        objects: int,
        seed: int,
        condition_size_px: tuple[int, int],
        clip_size_px: int,
        background_weight: float,
    ) -> None:
        self._views, self._objects, self._seed = views, objects, seed
        self._condition_size_px, self._clip_size_px = condition_size_px, clip_size_px
        self._background_weight = background_weight

    def batch(self, samples: NDArray[np.int64], rng: np.random.Generator) -> MultiviewBatch:
        """Views of these samples' objects, and a condition of a random size."""
        images, mask = self._views(object_numbers(samples, self._objects, self._seed))
        low, high = (size // FACTOR for size in self._condition_size_px)
        query = images[:, 0]
        return MultiviewBatch(
            tiled_views=tile_six(images[:, 1:]),
            condition=resized(query, int(rng.integers(low, high + 1)) * FACTOR),
            clip_pixels=resized(query, self._clip_size_px),
            weight=_position_weights(mask[:, 1:], self._background_weight),
        )


def views_of_images(images: SevenImages) -> SevenViews:
    """Views out of an array."""
    return lambda rows: on_white(torch.from_numpy(images[rows]))


def views_of_objects(read: Callable[[int], tuple[Tensor, Tensor]], tile_size_px: int) -> SevenViews:
    """Views of objects that are read one by one, resized to the tiles' size.

    Args:
        read: number of an object -> images (7, 3, s, s) on white, the query first, and masks (7, 1, s, s).
        tile_size_px: side of the views.
    """

    def views(rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        images, masks = zip(*(read(int(row)) for row in rows), strict=True)
        sizes = [torch.stack([resized(x, tile_size_px) for x in stack]) for stack in (images, masks)]
        return sizes[0], sizes[1]

    return views


def resized(images: Float[Tensor, "b c s s"], size_px: int) -> Float[Tensor, "b c t t"]:
    """Images of another size, bicubic with antialiasing, in [0, 1]."""
    if images.shape[-1] == size_px:
        return images
    return interpolate(images, (size_px, size_px), mode="bicubic", antialias=True).clamp(0, 1)


def on_white(rgba: UInt8[Tensor, "*n h w 4"]) -> tuple[Float[Tensor, "*n 3 h w"], Float[Tensor, "*n 1 h w"]]:
    """Images in [0, 1] on white and their masks, of 8-bit RGBA with straight alpha."""
    channels_first = rgba.movedim(-1, -3).float() / 255
    color, mask = channels_first[..., :3, :, :], channels_first[..., 3:, :, :]
    return color * mask + 1 - mask, mask


def tile_six(views: Float[Tensor, "b 6 c h w"]) -> Float[Tensor, "b c height width"]:
    """Six views as one 3 x 2 image, row-major, for each of b objects."""
    b, _, c, h, w = views.shape
    return views.unflatten(1, (3, 2)).permute(0, 3, 1, 4, 2, 5).reshape(b, c, 3 * h, 2 * w)


def foreground_latents(mask: Float[Tensor, "b 1 height width"]) -> Float[Tensor, "b 1 h w"]:
    """1 at the latents whose pixels show some of the object, 0 elsewhere."""
    return (max_pool2d(mask, FACTOR) > 0).float()


def _position_weights(mask: Float[Tensor, "b 6 1 s s"], background: float) -> Float[Tensor, "b 1 h w"]:
    """Weights of the loss at latent positions: 1 on the object and one position around it, else `background`."""
    near = max_pool2d(foreground_latents(mask.flatten(0, 1)), 3, stride=1, padding=1).unflatten(0, (-1, 6))
    weight = background + (1 - background) * tile_six(near)
    return weight / weight.mean()
