"""Images of surfaces where something else than rays says which face a pixel sees: nvdiffrast on CUDA."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from instantmesh.data.assets import AssetSurface
from instantmesh.data.object_renderer import Array, ObjectRenderer, Surface
from instantmesh.data.views import ObjectViews
from instantmesh.geometry.barycentric import barycentric_of_rays
from instantmesh.geometry.rays import RayHits
from instantmesh.render import nvdiffrast
from instantmesh.structures import Cameras

VisibleFaces = Callable[[Tensor, Tensor, Cameras, int, int], Tensor]  # as render.nvdiffrast.visible_faces


class VisibilityRenderer(ObjectRenderer):
    """An `ObjectRenderer` that learns from `visible_faces`, on `device`, what rays meet; the rest is the same."""

    def __init__(self, surface: Surface, visible_faces: VisibleFaces, device: str) -> None:
        self.surface = surface
        self._two_sided = True
        self._visible_faces = visible_faces
        self._device = device
        self._vertices = torch.from_numpy(np.ascontiguousarray(surface.vertices, dtype=np.float32)).to(device)
        self._faces = torch.from_numpy(np.ascontiguousarray(surface.faces)).to(device)

    def _hits(self, camera: Cameras, origin: Array, direction: Array) -> RayHits:
        side_px = round(len(origin) ** 0.5)
        seen = self._visible_faces(self._vertices, self._faces, camera.to(self._device), side_px, side_px)
        face = seen.flatten().cpu().numpy()
        found = face >= 0
        corners = self.surface.vertices[self.surface.faces[face[found]]].astype(np.float64)
        # A rasteriser's rounding may name a triangle whose edge the ray just misses.
        weights = barycentric_of_rays(corners, origin[found], direction[found])
        offset = (weights[..., None] * corners).sum(1) - origin[found]
        hits = RayHits(face, np.full(len(face), np.inf), np.zeros((len(face), 3), np.float32))
        hits.distance[found], hits.barycentric[found] = (offset * direction[found]).sum(1), weights
        return hits


def render_with_nvdiffrast(asset: AssetSurface, cameras: Cameras, size_px: int) -> ObjectViews:
    """Base colours without light; visibility by nvdiffrast, at 2 x 2 points a pixel.

    Raises:
        MissingBackendError: nvdiffrast isn't installed.
    """
    return VisibilityRenderer(asset, nvdiffrast.visible_faces, "cuda").views(cameras, size_px)
