"""Images of surfaces where something else than rays says which face a pixel sees: nvdiffrast on CUDA."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from instantmesh.data.assets import TexturedAsset
from instantmesh.data.object_renderer import Array, Hits, ObjectRenderer, Surface
from instantmesh.data.views import ObjectViews
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

    def _hits(self, camera: Cameras, origin: Array, direction: Array) -> Hits:
        side_px = round(len(origin) ** 0.5)
        seen = self._visible_faces(self._vertices, self._faces, camera.to(self._device), side_px, side_px)
        face = seen.flatten().cpu().numpy()
        found = face >= 0
        corners = self.surface.vertices[self.surface.faces[face[found]]].astype(np.float64)
        barycentric = _where_rays_cross(corners, origin[found], direction[found])
        return Hits(face, (barycentric[..., None] * corners).sum(1), barycentric)


def render_with_nvdiffrast(asset: TexturedAsset, cameras: Cameras, size_px: int) -> ObjectViews:
    """Base colours without light; visibility by nvdiffrast, at 2 x 2 points a pixel.

    Raises:
        MissingBackendError: nvdiffrast isn't installed.
    """
    return VisibilityRenderer(asset, nvdiffrast.visible_faces, "cuda").views(cameras, size_px)


def _where_rays_cross(corners: Array, origin: Array, direction: Array) -> Array:
    """Barycentric coordinates (h, 3) of the points where rays cross the planes of triangles (h, 3, 3).

    A rasteriser's rounding may name a triangle whose edge the ray just misses, so they are brought into the triangle.
    """
    a, b, c = corners.transpose(1, 0, 2)
    normal = np.cross(direction, c - a)
    determinant = ((b - a) * normal).sum(1)
    determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
    u = ((origin - a) * normal).sum(1) / determinant
    v = (direction * np.cross(origin - a, b - a)).sum(1) / determinant
    barycentric = np.stack([1 - u - v, u, v], 1).clip(0, 1)
    return barycentric / barycentric.sum(1, keepdims=True)
