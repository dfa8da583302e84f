"""Points around procedural objects with exact signed distances, for the geometry warm-up."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.data.procedural.unions import Array, ProceduralObject
from instantmesh.geometry.barycentric import interpolate
from instantmesh.geometry.sampling import sample_faces
from instantmesh.geometry.triangles import area_vectors


@dataclass(frozen=True)
class GeometrySamples:
    """Points with exact signed distances; the surface's also with colours and normals.

    Of an object, or, with one more axis in front, of many.

    Attributes:
        points: (p, 3) float16.
        distances: (p,) float16, negative inside, of the rounded points.
        surface_points: (s, 3) float16.
        surface_distances: (s,) float16, nearly zero (rounding).
        surface_colors: (s, 3) uint8.
        surface_normals: (s, 3) int8, times 127.
    """

    points: NDArray[np.float16]
    distances: NDArray[np.float16]
    surface_points: NDArray[np.float16]
    surface_distances: NDArray[np.float16]
    surface_colors: NDArray[np.uint8]
    surface_normals: NDArray[np.int8]


def geometry_samples(
    obj: ProceduralObject,
    rng: np.random.Generator,
    near: int = 1024,
    uniform: int = 1024,
    surface: int = 512,
    sigma: float = 0.04,
    evenness: float = 0.0,
) -> GeometrySamples:
    """Points near the surface (Gaussian offsets), uniform in [-1.05, 1.05]^3, and on the surface.

    `evenness`: 0 spreads the surface's points by area alone; up to 1, small parts get more, in the end all the same.
    """
    on_surface = _surface_points(obj, rng, near + surface, evenness)
    points = np.concatenate(
        [
            on_surface[:near] + rng.normal(0, sigma, (near, 3)),
            rng.uniform(-1.05, 1.05, (uniform, 3)),
        ]
    ).astype(np.float16)
    on_surface = on_surface[near:].astype(np.float16)
    distances = obj.distance(points.astype(np.float32))
    surface_distances, normals, colors = obj.nearest(on_surface.astype(np.float32))
    return GeometrySamples(
        points,
        distances.astype(np.float16),
        on_surface,
        surface_distances.astype(np.float16),
        (colors * 255).round().astype(np.uint8),
        (normals * 127).round().astype(np.int8),
    )


def _surface_points(obj: ProceduralObject, rng: np.random.Generator, n: int, evenness: float) -> Array:
    """`n` points on the union's surface, uniform on each part; what lies inside other parts is dropped."""
    vertices, faces, owner = obj.triangles()
    area = np.linalg.norm(area_vectors(vertices, faces), axis=1)
    if evenness > 0:  # else float32, as ever: a seed's samples must stay what they were
        area = area / np.bincount(owner, area)[owner] ** evenness
    kept: list[Array] = []
    while sum(map(len, kept)) < n:
        face, weights = sample_faces(area / area.sum(), 2 * n, rng, np.float32)
        points = interpolate(vertices, faces[face], weights)
        kept.append(points[obj.distance(points) > -0.01])
    return np.concatenate(kept)[:n]
