"""Points around a 3D asset with signed distances, for the geometry warm-up.

Assets of artists are rarely closed: parts overlap, sheets have one side, some parts are turned inside out. Inside is
where the generalised winding number (Barill et al. 2018, by libigl) is beyond a half, whatever its sign. Faces that
have the outside on both sides, which no solid would show, get a thickness.

Symbols: p points, f faces.
"""

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.sampling import sample_faces
from instantmesh.geometry.triangles import area_vectors, unit
from instantmesh.training.embedded.samples import GeometrySamples
from instantmesh.training.embedded.varied_asset import VariedAsset

Array = NDArray[np.floating]

SHEET_HALF_THICKNESS = 0.015
_PROBE = 0.004  # how far from a face its two sides are looked at
_DRAWN = 3  # surface points drawn at once, in halves of those that are wanted
_MOST_DRAWS = 20


class AssetDistance:
    """Signed distance to an asset.

    Args:
        vertices: (v, 3).
        faces: (f, 3).
    """

    def __init__(self, vertices: Array, faces: NDArray[np.int64]) -> None:
        self._vertices, self._faces = vertices.astype(np.float64), np.ascontiguousarray(faces, np.int64)
        normals = area_vectors(self._vertices, self._faces)
        self.areas, self.face_normals = np.linalg.norm(normals, axis=1), unit(normals)
        offset = _PROBE * self.face_normals
        middle = self._vertices[self._faces].mean(1)
        outside = ~self._is_inside(np.concatenate([middle + offset, middle - offset]))
        self.is_sheet = outside[: len(faces)] & outside[len(faces) :] & (self.areas > 1e-10)

    def __call__(self, points: Array) -> Array:
        """Signed distances (p,), negative inside."""
        import igl

        unsigned, *_ = igl.point_mesh_squared_distance(points.astype(np.float64), self._vertices, self._faces)
        distance = np.sqrt(unsigned) * np.where(self._is_inside(points), -1, 1)
        if self.is_sheet.any():
            sheets = self._faces[self.is_sheet]
            to_sheet, *_ = igl.point_mesh_squared_distance(points.astype(np.float64), self._vertices, sheets)
            distance = np.minimum(distance, np.sqrt(to_sheet) - SHEET_HALF_THICKNESS)
        return distance

    def outer_side(self, points: Array, face: NDArray[np.integer]) -> tuple[NDArray[np.bool_], NDArray[np.integer]]:
        """Whether points on faces lie on the outer surface (p,), and which side of the face is outside: 1 or -1."""
        offset = _PROBE * self.face_normals[face]
        inside = self._is_inside(np.concatenate([points + offset, points - offset]))
        before, behind = inside[: len(points)], inside[len(points) :]
        return (before != behind) | (self.is_sheet[face] & ~before & ~behind), np.where(before, -1, 1)

    def _is_inside(self, points: Array) -> NDArray[np.bool_]:
        import igl

        return np.abs(igl.fast_winding_number(self._vertices, self._faces, points.astype(np.float64))) > 0.5


def asset_samples(
    asset: VariedAsset, rng: np.random.Generator, near: int = 1408, uniform: int = 640, surface: int = 512
) -> GeometrySamples:
    """Points near the surface (Gaussian offsets of 0.03), uniform in [-1.05, 1.05]^3, and on the surface.

    Raises:
        InputError: hardly any of the asset's faces lie on an outer surface.
    """
    distance = AssetDistance(asset.vertices, asset.faces)
    on_surface, normals, colors = _surface_points(asset, distance, rng, near + surface)
    points = np.concatenate(
        [on_surface[:near] + rng.normal(0, 0.03, (near, 3)), rng.uniform(-1.05, 1.05, (uniform, 3))]
    ).astype(np.float16)
    on_surface = on_surface[near:].astype(np.float16)
    distances = distance(np.concatenate([points, on_surface]).astype(np.float64)).astype(np.float16)
    return GeometrySamples(
        points,
        distances[: len(points)],
        on_surface,
        distances[len(points) :],
        (colors[near:] * 255).round().astype(np.uint8),
        (normals[near:] * 127).round().astype(np.int8),
    )


def _surface_points(
    asset: VariedAsset, distance: AssetDistance, rng: np.random.Generator, n: int
) -> tuple[Array, Array, Array]:
    """`n` points on the outer surface with outward normals and colours; faces inside other parts have none.

    A face's share is the square root of its area: half-way between even and by area, so that small parts count.
    """
    share = np.sqrt(distance.areas) / np.sqrt(distance.areas).sum()
    kept: list[tuple[Array, Array, Array]] = []
    count = 0
    for _ in range(_MOST_DRAWS):
        face, weights = sample_faces(share, _DRAWN * n // 2, rng)
        points = interpolate(asset.vertices, asset.faces[face], weights)
        is_outer, side = distance.outer_side(points, face)
        side = np.where(distance.is_sheet[face], rng.choice([-1, 1], len(face)), side)[is_outer, None]
        face, weights, points = face[is_outer], weights[is_outer], points[is_outer]
        normals = side * distance.face_normals[face]
        thickness = np.where(distance.is_sheet[face], SHEET_HALF_THICKNESS, 0)[:, None]
        kept.append((points + thickness * normals, normals, asset.shade(points, face, weights)[0]))
        count += len(points)
        if count >= n:
            break
    if count < n:
        raise InputError(f"{asset.source}: only {count} of {n} points lie on an outer surface")
    points, normals, colors = (np.concatenate(arrays)[:n] for arrays in zip(*kept, strict=True))
    return points, normals, colors
