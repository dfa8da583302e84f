"""The object without its background, by the best means at hand."""

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh import backends
from instantmesh.errors import ImageError, InputError, MissingBackendError, MissingFileError
from instantmesh.files.image_files import to_pil
from instantmesh.images.framing import ALPHA_THRESHOLD, composite
from instantmesh.images.keying import key_out
from instantmesh.images.reading import open_image

Background = Literal["auto", "alpha", "key", "matting", "keep"]

_MATTING_FILE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net.onnx"
_OTHER_WAYS = "or give an image with an alpha mask or a plain background, or pass background='keep' to keep all of it"


def cut_out(image: Float[Tensor, "c h w"], background: Background = "auto") -> Float[Tensor, "4 h w"]:
    """Give the image an alpha channel that is 1 on the object and 0 on its background.

    Args:
        image: (3 or 4, h, w) float in [0, 1], as `open_image` returns it.
        background: how the background is told from the object.
            "alpha": by the image's own alpha mask, as it is.
            "key": by its colour, which must be the same along most of the border.
            "matting": by the network of `rembg` (the extra `matting`).
            "keep": not at all; the whole image is the object.
            "auto": the first of alpha, key and matting that applies. An alpha that is opaque everywhere is no mask.

    Raises:
        ImageError: nothing is left, or the image isn't of the kind that `background` names.
        MissingBackendError: `rembg` is needed and not installed.
        MissingFileError: `rembg` is there, its network file isn't and can't be downloaded.
        InputError: no such `background`.

    Example:
        >>> rgba = instantmesh.cut_out(instantmesh.images.open_image("photo.png"))
    """
    if background not in get_args(Background):
        raise InputError(f"background={background!r}: use one of {', '.join(get_args(Background))}")
    has_mask = image.shape[0] == 4 and float(image[3].min()) < 0.99
    if background == "alpha" and not has_mask:
        raise ImageError("background='alpha': the image has no alpha mask (or it is opaque everywhere)")
    if has_mask and background in ("auto", "alpha"):
        return _require_foreground(image)

    rgb = composite(image) if image.shape[0] == 4 else image
    if background == "keep":
        return torch.cat([rgb, torch.ones_like(rgb[:1])])
    keyed = key_out(rgb) if background != "matting" else None
    if keyed is not None:
        return _require_foreground(keyed)
    if background == "key":
        raise ImageError(f"background='key': the border isn't of one colour; pass background='matting', {_OTHER_WAYS}")
    return _require_foreground(_matte(rgb))


def _require_foreground(rgba: Tensor) -> Tensor:
    if not bool((rgba[3] > ALPHA_THRESHOLD).any()):
        raise ImageError("the image has no foreground: nothing but background, or an empty alpha mask")
    return rgba


def _matte(rgb: Tensor) -> Tensor:
    try:
        rembg = backends.load("rembg")
    except MissingBackendError as error:
        raise MissingBackendError(f"this background needs matting: {error}; {_OTHER_WAYS}") from error
    try:
        image = rembg.remove(to_pil(rgb))
    except Exception as error:  # a download may fail in as many ways as there are networks
        raise MissingFileError(
            f"rembg can't run its network ({error}). If its file is missing, download {_MATTING_FILE}"
            f" to ~/.u2net/u2net.onnx, {_OTHER_WAYS}"
        ) from error
    return open_image(image.convert("RGBA"))
