"""Pictures and geometry samples of procedural objects, by ray casting."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.cameras import rays, spherical_cameras
from instantmesh.data.procedural import Array, ProceduralObject
from instantmesh.structures import Cameras

QUERY_FOREGROUND_RATIO = 0.85  # how pictures are cropped for the multiview stage


@dataclass(frozen=True)
class GeometrySamples:
    """Points with exact signed distances; the surface's also with colours and normals.

    Attributes:
        points: (p, 3) float16. distances: (p,) float16, negative inside, of the rounded points.
        surface_points: (s, 3) float16. surface_distances: (s,) float16, nearly zero (rounding).
        surface_colors: (s, 3) uint8. surface_normals: (s, 3) int8, times 127.
    """

    points: NDArray[np.float16]
    distances: NDArray[np.float16]
    surface_points: NDArray[np.float16]
    surface_distances: NDArray[np.float16]
    surface_colors: NDArray[np.uint8]
    surface_normals: NDArray[np.int8]


@dataclass(frozen=True)
class Supervision:
    """True pictures of an object.

    Attributes:
        images: (n, 3, s, s) RGB in [0, 1] on white. mask: (n, 1, s, s) coverage. depth: (n, 1, s, s) along the forward
        axis, 0 outside. normal: (n, 3, s, s) world space, on black.
    """

    images: Tensor
    mask: Tensor
    depth: Tensor
    normal: Tensor


class ObjectRenderer:
    """Casts rays at one object; its ray structure is built once."""

    def __init__(self, obj: ProceduralObject) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self.object = obj
        self.vertices, self.faces, self.face_part = obj.triangles()
        self._scene = EmbreeScene()
        TriangleMesh(self._scene, self.vertices[self.faces])

    def pictures(self, cameras: Cameras, size_px: int) -> NDArray[np.uint8]:
        """RGBA pictures (n, size, size, 4) with straight alpha, 2 x 2 rays a pixel."""
        color, mask, _, _ = self._cast(cameras, size_px)
        return (np.concatenate([color, mask], -1) * 255).round().astype(np.uint8)

    def supervision(self, cameras: Cameras, size_px: int) -> Supervision:
        """Everything the rendering losses compare with, 2 x 2 rays a pixel."""
        color, mask, depth, normal = (
            torch.from_numpy(picture).permute(0, 3, 1, 2) for picture in self._cast(cameras, size_px)
        )
        return Supervision(color * mask + 1 - mask, mask, depth, normal * mask)

    def _cast(self, cameras: Cameras, size_px: int) -> tuple[Array, Array, Array, Array]:
        """Colour (straight), mask, depth and normal (straight), channels last, averaged over each pixel's hits."""
        origin, direction = rays(cameras, 2 * size_px, 2 * size_px)
        origin, direction = origin.reshape(-1, 3).numpy(), direction.reshape(-1, 3).numpy()
        hit = self._scene.run(
            np.ascontiguousarray(origin), np.ascontiguousarray(direction), query="INTERSECT", output=True
        )
        found = hit["primID"] >= 0
        points = origin[found] + hit["tfar"][found, None] * direction[found]
        part_index = self.face_part[hit["primID"][found]]
        normals = np.zeros_like(points)
        for index in np.unique(part_index):
            chosen = part_index == index
            normals[chosen] = self.object.parts[index].distance(points[chosen])[1]
        samples = np.zeros((len(origin), 8), np.float32)  # colour, mask, depth, normal
        samples[found, :3] = self.object.colors(points, normals, part_index)
        samples[found, 3] = 1
        forward = -cameras.camera_to_world[:, :3, 2].repeat_interleave(4 * size_px**2, 0).numpy()
        samples[found, 4] = ((points - origin[found]) * forward[found]).sum(1)
        samples[found, 5:] = normals
        quads = samples.reshape(len(cameras), size_px, 2, size_px, 2, 8)
        mean = (quads[:, :, 0, :, 0] + quads[:, :, 0, :, 1] + quads[:, :, 1, :, 0] + quads[:, :, 1, :, 1]) / 4
        mask = mean[..., 3:4]
        straight = mean / np.maximum(mask, 1e-6)
        return straight[..., :3], mask, straight[..., 4:5], straight[..., 5:]

    def samples(
        self, rng: np.random.Generator, near: int = 1024, uniform: int = 1024, surface: int = 512, sigma: float = 0.04
    ) -> GeometrySamples:
        """Points near the surface (Gaussian offsets), uniform in [-1.05, 1.05]^3, and on the surface."""
        on_surface = self._surface_points(rng, near + surface)
        points = np.concatenate(
            [
                on_surface[:near] + rng.normal(0, sigma, (near, 3)),
                rng.uniform(-1.05, 1.05, (uniform, 3)),
            ]
        ).astype(np.float16)
        on_surface = on_surface[near:].astype(np.float16)
        distances = self.object.distance(points.astype(np.float32))
        surface_distances, normals, colors = self.object.surface(on_surface.astype(np.float32))
        return GeometrySamples(
            points,
            distances.astype(np.float16),
            on_surface,
            surface_distances.astype(np.float16),
            (colors * 255).round().astype(np.uint8),
            (normals * 127).round().astype(np.int8),
        )

    def _surface_points(self, rng: np.random.Generator, n: int) -> Array:
        """`n` points on the union's surface, uniform by area; what lies inside other parts is dropped."""
        corners = self.vertices[self.faces]
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
        kept: list[Array] = []
        while sum(map(len, kept)) < n:
            face = rng.choice(len(corners), 2 * n, p=area / area.sum())
            r = np.sqrt(rng.random((2 * n, 1))).astype(np.float32)
            s = rng.random((2 * n, 1)).astype(np.float32)
            a, b, c = corners[face].transpose(1, 0, 2)
            points = (1 - r) * a + r * (1 - s) * b + r * s * c
            kept.append(points[self.object.distance(points) > -0.01])
        return np.concatenate(kept)[:n]


def query_picture(renderer: ObjectRenderer, rng: np.random.Generator, size_px: int) -> NDArray[np.uint8]:
    """What a user's photograph looks like after cutting out: azimuth 0, random elevation, distance and field of view,
    the foreground centred at 85 % of the side. RGBA (size, size, 4).

    The crop is made by the camera (focal length and principal point), not by resampling.
    """
    camera = spherical_cameras([0.0], [float(rng.uniform(-10, 35))], radius=float(rng.uniform(2.5, 6)), fov_deg=30.0)
    rotation, position = camera.camera_to_world[0, :3, :3].numpy(), camera.camera_to_world[0, :3, 3].numpy()
    local = (renderer.vertices - position) @ rotation
    plane = local[:, :2] / -local[:, 2:]  # x right, y up, at distance 1
    low, high = plane.min(0), plane.max(0)
    focal = QUERY_FOREGROUND_RATIO / (high - low).max()
    centre = (low + high) / 2
    intrinsics = torch.tensor([[focal, 0, 0.5 - focal * centre[0]], [0, focal, 0.5 + focal * centre[1]], [0, 0, 1]])
    return renderer.pictures(Cameras(camera.camera_to_world, intrinsics[None].float()), size_px)[0]
