"""The only gate to optional packages: each is imported here, once, and nowhere else."""

import importlib
import importlib.util
from types import ModuleType

from instantmesh.errors import MissingBackendError

# import name -> what a user without it has to type
_INSTALL = {
    "nvdiffrast.torch": "see https://nvlabs.github.io/nvdiffrast (its licence is non-commercial)",
    "pillow_heif": "pip install 'instantmesh[heic]'",
    "rembg": "pip install 'instantmesh[matting]'",
    "torch.utils.tensorboard": "pip install 'instantmesh[train]'",
    "av": "pip install 'instantmesh[video]'",
    "bpy": "pip install 'instantmesh[blender]'",
    "IPython.display": "it comes with Jupyter",
    "pxr": "pip install 'instantmesh[usd]'",
    "pxr.UsdUtils": "pip install 'instantmesh[usd]'",
    "ray": "pip install 'instantmesh[cluster]'",
    "torchmetrics.image.lpip": "pip install 'instantmesh[lpips]' (training can do with perceptual: image-gradients)",
    "torchvision": "pip install 'instantmesh[lpips]' (training can do with perceptual: image-gradients)",
    "xformers.ops": "pip install xformers, in the version that goes with your torch",
    "webdataset": "pip install 'instantmesh[train]'",
    "DracoPy": "pip install 'instantmesh[draco]'",
    "igl": "pip install 'instantmesh[evaluation]'",
    "kaolin": "see https://kaolin.readthedocs.io/en/latest/notes/installation.html",
}


def available(name: str) -> bool:
    """Whether the optional package `name` (its import name) can be imported."""
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name is missing
        return False


def load(name: str) -> ModuleType:
    """Import and return the optional package `name`.

    Raises:
        MissingBackendError: it isn't installed; the message says what to type.
        KeyError: `name` isn't one of the optional packages this library knows.
    """
    hint = _INSTALL[name]
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingBackendError(
            f"{name} is needed here and can't be imported ({error}). Install it: {hint}"
        ) from error
