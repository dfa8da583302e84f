"""Who turns an asset and cameras into images."""

from collections.abc import Callable
from enum import Enum

from instantmesh import backends
from instantmesh.data.assets import AssetSurface
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.views import ObjectViews
from instantmesh.errors import MissingBackendError
from instantmesh.structures import Cameras

# Images of s x s pixels of an asset from cameras; InputError where a renderer can't show the asset.
Renderer = Callable[[AssetSurface, Cameras, int], ObjectViews]


class Engine(str, Enum):
    """What `instantmesh data render --engine` offers."""

    embree = "embree"  # base colours without light, on the CPU
    nvdiffrast = "nvdiffrast"  # the same images, visibility found on CUDA
    blender = "blender"  # Cycles on the CPU: materials and light
    ray = "ray"  # embree, spread over a Ray cluster

    @property
    def look(self) -> str:
        """The name of the kind of images it makes: those of engines that make the same may stand in one folder."""
        return "blender" if self is Engine.blender else "base colour"

    def renderer(self) -> Renderer:
        """What makes the images, in the process that calls it."""
        if self is Engine.blender:
            from instantmesh.data.blender_engine import render_with_blender

            return render_with_blender
        if self is Engine.nvdiffrast:
            from instantmesh.data.nvdiffrast_engine import render_with_nvdiffrast

            return render_with_nvdiffrast
        return render_with_embree

    def require(self) -> None:
        """Find out before the work whether it can be done here.

        Raises:
            MissingBackendError: a package or CUDA is missing.
        """
        import torch

        if self is Engine.nvdiffrast and not torch.cuda.is_available():
            raise MissingBackendError("the nvdiffrast engine needs CUDA; use --engine embree")
        if self in _PACKAGES and not backends.available(_PACKAGES[self]):
            backends.load(_PACKAGES[self])  # says what to install


_PACKAGES = {Engine.nvdiffrast: "nvdiffrast.torch", Engine.blender: "bpy", Engine.ray: "ray"}


def render_with_embree(asset: AssetSurface, cameras: Cameras, size_px: int) -> ObjectViews:
    """Base colours without light, by rays that Embree casts."""
    return ObjectRenderer(asset, two_sided=True).views(cameras, size_px)
