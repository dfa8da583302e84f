"""Which point of the surface each texel shows.

Shapes: f faces, t texels that show something.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.render.embree import RayScene
from instantmesh.texture.flat import Array, Indices

_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels that show something.

    Attributes:
        texel: (t,) flat row-major indices into the picture.
        face: (t,) the face that each shows, and weights: (t, 3) where, barycentric.
        covered: how many have their centre inside a face; the rest are rims.
    """

    texel: Indices
    face: Indices
    weights: Array
    covered: int


def locate_texels(uv: Array, size_px: int) -> Texels:
    """Texels whose centre lies in a face, and a rim of one texel around them, which bilinear lookups near a chart's
    border read too. Faces too small to cover any texel's centre get the texel that their middle lies in, if it is free.

    Args:
        uv: (f, 3, 2) the faces' corners in [0, 1], v down.
        size_px: side of the picture.
    """
    corners = uv * size_px
    owner = _covering(corners, size_px)
    covered = int((owner >= 0).sum())
    _give_to_small_faces(owner, corners)
    _grow(owner)
    texel = np.flatnonzero(owner >= 0)
    face = owner.ravel()[texel]
    centre = np.stack([texel % size_px, texel // size_px], 1).astype(np.float64) + 0.5
    return Texels(texel, face, _weights(corners[face], centre), covered)


def _covering(corners: Array, size_px: int) -> Indices:
    """(size, size) the face under each texel's centre, -1 for none: rays straight down on the flat faces."""
    flat = np.concatenate([corners, np.zeros_like(corners[..., :1])], -1).reshape(-1, 3)
    scene = RayScene(flat, np.arange(len(flat)).reshape(-1, 3))
    owner = np.full((size_px, size_px), -1)
    columns = np.arange(size_px) + 0.5
    rows_at_once = max(1, 1_000_000 // size_px)
    for first in range(0, size_px, rows_at_once):
        rows = np.arange(first, min(first + rows_at_once, size_px)) + 0.5
        y, x = np.meshgrid(rows, columns, indexing="ij")
        origins = np.stack([x, y, np.ones_like(x)], -1).reshape(-1, 3)
        face, _ = scene.first_hits(origins, np.broadcast_to([0.0, 0, -1], origins.shape))
        owner[first : first + len(rows)] = face.reshape(x.shape)
    return owner


def _give_to_small_faces(owner: Indices, corners: Array) -> None:
    size_px = len(owner)
    small = np.setdiff1d(np.arange(len(corners)), owner)
    column, row = (corners[small].mean(1).astype(np.int64).clip(0, size_px - 1)).T
    free = owner[row, column] < 0
    owner[row[free], column[free]] = small[free]


def _grow(owner: Indices) -> None:
    """Free texels beside taken ones get a neighbour's face."""
    size_px = len(owner)
    old = np.pad(owner, 1, constant_values=-1)
    for i, j in _NEIGHBOURS:
        beside = old[1 + i : 1 + i + size_px, 1 + j : 1 + j + size_px]
        np.copyto(owner, beside, where=(owner < 0) & (beside >= 0))


def _weights(corners: Array, places: Array) -> Array:
    """(t, 3) barycentric coordinates of places (t, 2) in triangles (t, 3, 2); those outside are moved inside."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    whole = _cross(b - a, c - a)
    safe = np.where(np.abs(whole) > 1e-12, whole, np.inf)  # a face without area is shown at its first corner
    second, third = _cross(places - a, c - a) / safe, _cross(b - a, places - a) / safe
    weights = np.stack([1 - second - third, second, third], 1).clip(0)
    return weights / weights.sum(1, keepdims=True)


def _cross(one: Array, other: Array) -> Array:
    return one[:, 0] * other[:, 1] - one[:, 1] * other[:, 0]
