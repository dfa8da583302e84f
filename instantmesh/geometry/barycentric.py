"""Barycentric coordinates: the weights of a triangle's three corners that give a point.

Shapes: p points, each in a triangle of its own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]  # of any precision: that of the arguments


def interpolate(values: Floats, corners: NDArray[np.integer], weights: Floats) -> Floats:
    """Values of vertices (v, c) at the `weights` (p, 3) of the vertices `corners` (p, 3), as (p, c)."""
    first, second, third = (values[corners[:, k]] * weights[:, k, None] for k in range(3))
    return first + second + third


def barycentric(triangles: Floats, points: Floats) -> Floats:
    """Coordinates (p, 3) of points (p, d) in the planes of triangles (p, 3, d), d = 2 or 3.

    Points outside their triangle are moved inside. In triangles without area all points are at the first corner.
    """
    if triangles.shape[-1] == 2:
        triangles = np.pad(triangles, ((0, 0), (0, 0), (0, 1)))
        points = np.pad(points, ((0, 0), (0, 1)))
    a, b, c = triangles.transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    squared = np.maximum((normal**2).sum(1), 1e-30)
    second = (np.cross(points - a, c - a) * normal).sum(1) / squared
    third = (np.cross(b - a, points - a) * normal).sum(1) / squared
    return _inside(second, third)


def barycentric_of_rays(triangles: Floats, origins: Floats, directions: Floats) -> Floats:
    """Coordinates (p, 3) of the points where rays (p, 3) cross the planes of triangles (p, 3, 3).

    Points outside their triangle are moved inside.

    Source: Moeller and Trumbore (1997), Fast, minimum storage ray-triangle intersection.
    """
    a, b, c = triangles.transpose(1, 0, 2)
    normal = np.cross(directions, c - a)
    determinant = ((b - a) * normal).sum(1)
    determinant = np.where(np.abs(determinant) < 1e-12, 1e-12, determinant)
    second = ((origins - a) * normal).sum(1) / determinant
    third = (directions * np.cross(origins - a, b - a)).sum(1) / determinant
    return _inside(second, third)


def _inside(second: Floats, third: Floats) -> Floats:
    weights = np.stack([1 - second - third, second, third], 1).clip(0)
    return weights / weights.sum(1, keepdims=True)
