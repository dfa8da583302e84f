"""Cutting out by rembg's network, where that package is installed."""

import os
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from instantmesh import backends
from instantmesh.errors import MissingBackendError, MissingFileError
from instantmesh.files.image_files import to_pil
from instantmesh.images.reading import open_image

_NETWORK_URL = "https://github.com/danielgatis/rembg/releases/download/v0.0.0/u2net.onnx"
_OTHER_WAYS = "or pass background='segment', which needs neither, or give an image with an alpha mask"


def matting_is_ready() -> bool:
    """Whether rembg is installed and its network is on disk, where rembg looks for it."""
    return backends.available("rembg") and _network_file().is_file()


def matte(rgb: Float[Tensor, "3 h w"]) -> Float[Tensor, "4 h w"]:
    """The picture with the alpha mask that rembg's network gives it.

    Raises:
        MissingBackendError: rembg isn't installed.
        MissingFileError: its network is missing and can't be downloaded, or doesn't run.
    """
    try:
        rembg = backends.load("rembg")
    except MissingBackendError as error:
        raise MissingBackendError(f"background='matting': {error}; {_OTHER_WAYS}") from error
    try:
        picture = rembg.remove(to_pil(rgb))
    except Exception as error:  # a download may fail in as many ways as there are networks
        raise MissingFileError(
            f"rembg can't run its network ({error}). If its file is missing, download {_NETWORK_URL}"
            f" to {_network_file()}, {_OTHER_WAYS}"
        ) from error
    return open_image(picture.convert("RGBA"))


def _network_file() -> Path:
    home = os.environ.get("U2NET_HOME") or Path(os.environ.get("XDG_DATA_HOME") or "~") / ".u2net"
    return Path(home).expanduser() / "u2net.onnx"
