"""From a photo, however it is given, to the image the multiview stage takes."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.images.cutout import Background, cut_out
from instantmesh.images.framing import composite, crop_to_foreground, resize
from instantmesh.images.keying import key_out
from instantmesh.images.reading import ImageSource, open_image

PREPARED_SIDE_PX = 2048  # that a photo is scaled down to: more than the networks and textures have use for


@dataclass(frozen=True, eq=False)
class Photo:
    """A prepared photo.

    Attributes:
        image: (3, s, s) RGB in [0, 1], the object centred in a square, on a plain background.
        mask: (1, s, s) in [0, 1], 1 on the object; None where nothing was cut out and the background isn't plain.
    """

    image: Float[Tensor, "3 s s"]
    mask: Float[Tensor, "1 s s"] | None


def prepare_photo(
    source: ImageSource,
    background: Background = "auto",
    foreground_ratio: float = 0.85,
    background_level: float = 1.0,
) -> Photo:
    """Open an image, cut its object out, centre it in a square and lay it on white or grey.

    Args:
        source: see `open_image`. What is longer than 2,048 pixels is scaled down to that.
        background: see `cut_out`. With "keep" the image is only padded to a square.
        foreground_ratio: the share of the side that the object's longer side takes, in (0, 1].
        background_level: grey that the object is laid on, in [0, 1]; 1 is white.

    Raises:
        ImageError, InputError, MissingBackendError, MissingFileError: see `open_image`, `cut_out` and
            `crop_to_foreground`.
    """
    rgba = cut_out(open_image(source, PREPARED_SIDE_PX), background)
    square = crop_to_foreground(rgba, 1.0 if background == "keep" else foreground_ratio)
    image = composite(square, background_level)
    if background != "keep":
        return Photo(image, square[3:])
    keyed = key_out(image)
    return Photo(image, None if keyed is None else torch.minimum(keyed[3:], square[3:]))


def prepare(
    source: ImageSource,
    background: Background = "auto",
    foreground_ratio: float = 0.85,
    size_px: int | None = None,
    background_level: float = 1.0,
) -> Float[Tensor, "3 s s"]:
    """The image of `prepare_photo`, at a size.

    Args:
        source: as there.
        background: as there.
        foreground_ratio: as there.
        size_px: the square's side; None leaves the pixels as they are.
        background_level: as there.

    Raises:
        ImageError, InputError, MissingBackendError, MissingFileError: as there; `size_px` is below 1.
    """
    image = prepare_photo(source, background, foreground_ratio, background_level).image
    return image if size_px is None else resize(image, size_px)
