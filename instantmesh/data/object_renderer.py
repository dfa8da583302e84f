"""Images of surfaces by ray casting: colour, coverage, depth and normals, for data sets and losses."""

from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh.cameras import crop_cameras, rays, spherical_cameras
from instantmesh.data.views import ObjectViews
from instantmesh.geometry.rays import RayHits, RayScene
from instantmesh.geometry.triangles import area_vectors
from instantmesh.structures import Cameras

Array = NDArray[np.floating]

QUERY_FOREGROUND_RATIO = 0.85  # how images are cropped for the multiview stage


@runtime_checkable
class Surface(Protocol):
    """Triangles that know their colours: a procedural object, or an asset from a file."""

    @property
    def vertices(self) -> Array:
        """(v, 3) float32, world frame."""
        ...

    @property
    def faces(self) -> NDArray[np.int64]:
        """(f, 3), counter-clockwise seen from outside."""
        ...

    def shade(self, points: Array, face: NDArray[np.integer], barycentric: Array) -> tuple[Array, Array]:
        """Colours (p, 3), sRGB in [0, 1], and outward unit normals (p, 3) at points (p, 3) on faces (p,).

        `barycentric` (p, 3) are the points' weights of the faces' corners.
        """
        ...


class ObjectRenderer:
    """Casts rays at one surface; its ray structure is built once.

    Args:
        surface: what rays meet.
        two_sided: normals of faces that are seen from behind are turned towards the camera, as assets from files need
            it: they are full of single sheets and of faces that are turned inside out.
    """

    def __init__(self, surface: Surface, two_sided: bool = False) -> None:
        self.surface = surface
        self._two_sided = two_sided
        self._scene = RayScene(surface.vertices, surface.faces)

    def rgba_images(self, cameras: Cameras, size_px: int) -> NDArray[np.uint8]:
        """RGBA images (n, size, size, 4) with straight alpha, 2 x 2 rays a pixel."""
        samples = np.stack([self._cast(cameras[i : i + 1], size_px) for i in range(len(cameras))])
        return (samples[..., :4] * 255).round().astype(np.uint8)

    def views(self, cameras: Cameras, size_px: int) -> ObjectViews:
        """Everything the rendering losses compare with, 2 x 2 rays a pixel."""
        samples = np.stack([self._cast(cameras[i : i + 1], size_px) for i in range(len(cameras))])
        color, mask, depth, normal = torch.from_numpy(samples).permute(0, 3, 1, 2).split([3, 1, 1, 3], dim=1)
        return ObjectViews(color * mask + 1 - mask, mask, depth, normal * mask, cameras)

    def _cast(self, camera: Cameras, size_px: int) -> Array:
        """(size, size, 8): straight colour, mask, depth and normal, averaged over each pixel's hits.

        One camera at a time bounds the memory of the rays, and rays are cast only where the surface can be.
        """
        top, left, side_px = _window(self.surface.vertices, camera, size_px)
        image = np.zeros((size_px, size_px, 8), np.float32)
        side = side_px / size_px
        window = crop_cameras(camera, left / size_px, top / size_px, side, side)
        image[top : top + side_px, left : left + side_px] = self._cast_all(window, side_px)
        return image

    def _cast_all(self, camera: Cameras, size_px: int) -> Array:
        """As `_cast`, with rays through all pixels."""
        origin, direction = (ray[0].numpy() for ray in rays(camera, 2 * size_px, 2 * size_px))
        hits = self._hits(camera, np.ascontiguousarray(origin), np.ascontiguousarray(direction))
        found = hits.face >= 0
        face = hits.face[found]
        points = origin[found] + hits.distance[found, None].astype(np.float32) * direction[found]
        samples = np.zeros((len(origin), 8), np.float32)  # colour, mask, depth, normal
        colors, normals = self.surface.shade(points, face, hits.barycentric[found])
        if self._two_sided:
            behind = np.einsum("hi,hi->h", self._face_normals[face], direction[found]) > 0
            normals[behind] *= -1
        samples[found, :3] = colors
        samples[found, 3] = 1
        samples[found, 4] = (points - origin[found]) @ -camera.camera_to_world[0, :3, 2].numpy()
        samples[found, 5:] = normals
        quads = samples.reshape(size_px, 2, size_px, 2, 8)
        mean = (quads[:, 0, :, 0] + quads[:, 0, :, 1] + quads[:, 1, :, 0] + quads[:, 1, :, 1]) / 4
        mask = mean[..., 3:4]
        straight = mean / np.maximum(mask, 1e-6)
        return np.concatenate([straight[..., :3], mask, straight[..., 4:]], -1)

    def _hits(self, camera: Cameras, origin: Array, direction: Array) -> RayHits:
        """The first faces on `camera`'s rays (r, 3), which are row-major."""
        return self._scene.first_hits(origin, direction)

    @cached_property
    def _face_normals(self) -> Array:
        """(f, 3), of any length, towards the side from which a face is counter-clockwise."""
        return area_vectors(self.surface.vertices, self.surface.faces)


def _window(vertices: Array, camera: Cameras, size_px: int) -> tuple[int, int, int]:
    """Top, left and side, in pixels, of the smallest square of pixels in which `camera` sees all vertices (v, 3).

    The whole image where they don't all lie in front of it.
    """
    whole = 0, 0, size_px
    pose = camera.camera_to_world[0].numpy()
    local = (vertices - pose[:3, 3]) @ pose[:3, :3]
    if local[:, 2].max() > -1e-3:
        return whole
    intrinsics = camera.intrinsics[0].numpy()
    plane = local[:, :2] / -local[:, 2:] * (1, -1)
    seen = plane * intrinsics[[0, 1], [0, 1]] + intrinsics[:2, 2]
    low = np.clip(np.floor(seen.min(0) * size_px), 0, size_px - 1).astype(int)
    high = np.clip(np.ceil(seen.max(0) * size_px), low + 1, size_px).astype(int)
    side = int((high - low).max())
    left, top = np.minimum(low, size_px - side)
    return int(top), int(left), side


def query_camera(vertices: Array, rng: np.random.Generator, azimuth_deg: float = 0.0) -> Cameras:
    """The camera of a user's photograph after cutting out.

    Random elevation, distance and field of view, the foreground centred at 85 % of the side.

    The crop is made by the camera (focal length and principal point), not by resampling.
    """
    elevation_deg, radius = float(rng.uniform(-10, 40)), float(rng.uniform(2.5, 6))
    camera = spherical_cameras([azimuth_deg], [elevation_deg], radius, fov_deg=30.0)
    rotation, position = camera.camera_to_world[0, :3, :3].numpy(), camera.camera_to_world[0, :3, 3].numpy()
    local = (vertices - position) @ rotation
    plane = local[:, :2] / -local[:, 2:]  # x right, y up, at distance 1
    low, high = plane.min(0), plane.max(0)
    focal = QUERY_FOREGROUND_RATIO / (high - low).max()
    centre = (low + high) / 2
    intrinsics = torch.tensor([[focal, 0, 0.5 - focal * centre[0]], [0, focal, 0.5 + focal * centre[1]], [0, 0, 1]])
    return Cameras(camera.camera_to_world, intrinsics[None].float())
