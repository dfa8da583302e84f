"""Which point of the surface each texel shows.

Shapes: f faces, t texels that show something.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.geometry.barycentric import barycentric
from instantmesh.geometry.rays import covering_faces
from instantmesh.texture.parameterization import Array, Indices

_TEXELS_PER_CHUNK = 65_536
_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


@dataclass(frozen=True, eq=False)
class Texels:
    """The texels that show something.

    Attributes:
        texel: (t,) flat row-major indices into the image.
        face: (t,) the face that each shows, and weights: (t, 3) where, barycentric.
        covered: how many have their centre inside a face; the rest are rims.
    """

    texel: Indices
    face: Indices
    weights: Array
    covered: int


def locate_texels(uv: Array, size_px: int) -> Texels:
    """Texels whose centre lies in a face, and a rim of one texel around them.

    Bilinear lookups near a chart's border read the rim too. Faces too small to cover any texel's centre get the texel
    that their middle lies in, if it is free.

    Args:
        uv: (f, 3, 2) the faces' corners in [0, 1], v down.
        size_px: side of the image.
    """
    corners = uv * size_px
    owner = covering_faces(corners, size_px, size_px)
    covered = int((owner >= 0).sum())
    _give_to_small_faces(owner, corners)
    _grow(owner)
    texel = np.flatnonzero(owner >= 0)
    face = owner.ravel()[texel]
    weights = np.empty((len(texel), 3))
    for start in range(0, len(texel), _TEXELS_PER_CHUNK):
        part = slice(start, start + _TEXELS_PER_CHUNK)
        centre = np.stack([texel[part] % size_px, texel[part] // size_px], 1).astype(np.float64) + 0.5
        weights[part] = barycentric(corners[face[part]], centre)
    return Texels(texel, face, weights, covered)


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
