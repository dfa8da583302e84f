"""From a photo, however it is given, to the image the multiview stage takes."""

from jaxtyping import Float
from torch import Tensor

from instantmesh.images.cutout import Background, cut_out
from instantmesh.images.framing import composite, crop_to_foreground, resize
from instantmesh.images.reading import ImageSource, open_image

PREPARED_SIDE_PX = 2048  # that a photo is scaled down to: more than the networks and textures have use for


def prepare(
    source: ImageSource,
    background: Background = "auto",
    foreground_ratio: float = 0.85,
    size_px: int | None = None,
    background_level: float = 1.0,
) -> Float[Tensor, "3 s s"]:
    """Open an image, cut its object out, centre it in a square and lay it on white or grey.

    Args:
        source: see `open_image`. What is longer than 2,048 pixels is scaled down to that.
        background: see `cut_out`. With "keep" the image is only padded to a square.
        foreground_ratio: the share of the side that the object's longer side takes, in (0, 1].
        size_px: the square's side; None leaves the pixels as they are.
        background_level: grey that the object is laid on, in [0, 1]; 1 is white.

    Raises:
        ImageError, InputError, MissingBackendError, MissingFileError: see `open_image`, `cut_out` and
            `crop_to_foreground`.
    """
    rgba = cut_out(open_image(source, PREPARED_SIDE_PX), background)
    square = crop_to_foreground(rgba, 1.0 if background == "keep" else foreground_ratio)
    image = composite(square, background_level)
    return image if size_px is None else resize(image, size_px)
