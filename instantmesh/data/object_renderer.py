"""Images of surfaces by ray casting: colour, coverage, depth and normals, for data sets and losses."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh.cameras import rays, spherical_cameras
from instantmesh.data.views import ObjectViews
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


@dataclass(frozen=True)
class Hits:
    """What r rays meet first. `face` (r,), -1 where there is nothing; `points` (h, 3) and `barycentric` (h, 3) of the h
    rays that meet something, in their order."""

    face: NDArray[np.integer]
    points: Array
    barycentric: Array


class ObjectRenderer:
    """Casts rays at one surface; its ray structure is built once.

    Args:
        surface: what rays meet.
        two_sided: normals of faces that are seen from behind are turned towards the camera, as assets from files need
            it: they are full of single sheets and of faces that are turned inside out.
    """

    def __init__(self, surface: Surface, two_sided: bool = False) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.surface = surface
        self._two_sided = two_sided
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, np.ascontiguousarray(surface.vertices[surface.faces], dtype=np.float32))

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
        window = _cropped(camera, top / size_px, left / size_px, side_px / size_px)
        image[top : top + side_px, left : left + side_px] = self._cast_all(window, side_px)
        return image

    def _cast_all(self, camera: Cameras, size_px: int) -> Array:
        """As `_cast`, with rays through all pixels."""
        origin, direction = (ray[0].numpy() for ray in rays(camera, 2 * size_px, 2 * size_px))
        hits = self._hits(camera, np.ascontiguousarray(origin), np.ascontiguousarray(direction))
        found = hits.face >= 0
        samples = np.zeros((len(origin), 8), np.float32)  # colour, mask, depth, normal
        colors, normals = self.surface.shade(hits.points, hits.face[found], hits.barycentric)
        if self._two_sided:
            behind = np.einsum("hi,hi->h", self._face_normals[hits.face[found]], direction[found]) > 0
            normals[behind] *= -1
        samples[found, :3] = colors
        samples[found, 3] = 1
        samples[found, 4] = (hits.points - origin[found]) @ -camera.camera_to_world[0, :3, 2].numpy()
        samples[found, 5:] = normals
        quads = samples.reshape(size_px, 2, size_px, 2, 8)
        mean = (quads[:, 0, :, 0] + quads[:, 0, :, 1] + quads[:, 1, :, 0] + quads[:, 1, :, 1]) / 4
        mask = mean[..., 3:4]
        straight = mean / np.maximum(mask, 1e-6)
        return np.concatenate([straight[..., :3], mask, straight[..., 4:]], -1)

    def _hits(self, camera: Cameras, origin: Array, direction: Array) -> Hits:
        """The first faces on `camera`'s rays (r, 3), which are row-major."""
        hit = self._scene.run(origin, direction, query="INTERSECT", output=True)
        found = hit["primID"] >= 0
        u, v = hit["u"][found], hit["v"][found]
        points = origin[found] + hit["tfar"][found, None] * direction[found]
        return Hits(hit["primID"], points, np.stack([1 - u - v, u, v], 1))

    @cached_property
    def _face_normals(self) -> Array:
        """(f, 3), of any length, towards the side from which a face is counter-clockwise."""
        a, b, c = self.surface.vertices[self.surface.faces].transpose(1, 0, 2)
        return np.cross(b - a, c - a)


def _window(vertices: Array, camera: Cameras, size_px: int) -> tuple[int, int, int]:
    """Top, left and side, in pixels, of the smallest square of pixels in which `camera` sees all vertices (v, 3); the
    whole image where they don't all lie in front of it."""
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


def _cropped(camera: Cameras, top: float, left: float, side: float) -> Cameras:
    """The camera that takes only a square of the image, given in shares of its side."""
    crop = torch.tensor([[1 / side, 0, -left / side], [0, 1 / side, -top / side], [0, 0, 1]], dtype=torch.float64)
    return Cameras(camera.camera_to_world, (crop @ camera.intrinsics.double()).to(camera.intrinsics))


def query_camera(vertices: Array, rng: np.random.Generator, azimuth_deg: float = 0.0) -> Cameras:
    """The camera of a user's photograph after cutting out: random elevation, distance and field of view, the foreground
    centred at 85 % of the side.

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
