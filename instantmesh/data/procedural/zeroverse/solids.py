"""Triangles that carry what shading needs: smooth or creased normals, texture coordinates, and whose texture it is.

Symbols: v vertices, f faces. Vertices at one place occur several times where normals differ (creases).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Solid:
    """Closed surfaces, counter-clockwise seen from outside. They may overlap each other.

    Attributes:
        vertices: (v, 3) float32.
        faces: (f, 3) int64.
        normals: (v, 3) float32, outward, unit length.
        local: (v, 3) float32 texture coordinates: the primitive's own unrotated frame, in the solid's lengths.
        texture: (f,) int64, which texture each face carries.
        place: (v,) int64, equal for vertices that are one point of the closed surface.
    """

    vertices: Array
    faces: NDArray[np.int64]
    normals: Array
    local: Array
    texture: NDArray[np.int64]
    place: NDArray[np.int64]


def concatenate(solids: Sequence[Solid]) -> Solid:
    """All solids as one. Nothing is cut or joined."""
    starts = np.cumsum([0, *(len(solid.vertices) for solid in solids[:-1])])
    return Solid(
        np.concatenate([solid.vertices for solid in solids]),
        np.concatenate([solid.faces + start for solid, start in zip(solids, starts, strict=True)]),
        np.concatenate([solid.normals for solid in solids]),
        np.concatenate([solid.local for solid in solids]),
        np.concatenate([solid.texture for solid in solids]),
        np.concatenate([solid.place + start for solid, start in zip(solids, starts, strict=True)]),
    )
