"""Cutting a surface into charts and laying them flat: by xatlas, piece by piece, so that its time is bounded.

xatlas can't be interrupted, and takes longer than in proportion: 2.6 s for 20,000 faces, 134 s for 200,000 of the same
surface (benchmarks/quality/texture.py). So the surface is cut into pieces first; between pieces the clock is looked at,
and once the time is up the rest is laid flat by plain projection (`projection`). The cuts are a few more seams.
"""

import time
from collections.abc import Callable

import numpy as np

from instantmesh.geometry.triangles import Triangles
from instantmesh.texture.parameterization import Array, Indices, Parameterization, side_by_side
from instantmesh.texture.projection import projected

FACES_PER_PIECE = 8_000


def flattened(
    mesh: Triangles, time_limit_s: float, callback: Callable[[int, int], None] | None = None
) -> tuple[Parameterization, int]:
    """The surface laid flat, and how many of its faces were projected because the time was up.

    Args:
        mesh: faces with areas.
        time_limit_s: after this no further piece is given to xatlas.
        callback: called after each piece with (faces done, faces in all).
    """
    deadline = time.monotonic() + time_limit_s
    pieces = _pieces(mesh)
    parts, done, projected_faces = [], 0, 0
    for piece in pieces:
        vertices, faces = _alone(mesh, piece)
        part = _by_xatlas(vertices, faces) if time.monotonic() < deadline else None
        if part is None:
            projected_faces += len(piece)
            part = projected(vertices, faces)
        parts.append(part)
        done += len(piece)
        if callback is not None:
            callback(done, len(mesh.faces))
    return side_by_side(parts, pieces), projected_faces


def _pieces(mesh: Triangles) -> list[Indices]:
    """Faces in groups of at most `FACES_PER_PIECE`, halved at the median across their longest side."""
    centres = mesh.vertices[mesh.faces].mean(1)
    todo, pieces = [np.arange(len(mesh.faces))], []
    while todo:
        group = todo.pop()
        if len(group) <= FACES_PER_PIECE:
            pieces.append(group)
            continue
        order = group[np.argsort(centres[group, np.ptp(centres[group], axis=0).argmax()], kind="stable")]
        todo += [order[len(order) // 2 :], order[: len(order) // 2]]
    return pieces


def _alone(mesh: Triangles, piece: Indices) -> tuple[Array, Indices]:
    """Vertices and faces of a piece."""
    used, faces = np.unique(mesh.faces[piece], return_inverse=True)
    return mesh.vertices[used], faces.reshape(-1, 3)


def _by_xatlas(vertices: Array, faces: Indices) -> Parameterization | None:
    """xatlas's charts at the surface's own scale; None if it left faces out."""
    import xatlas

    atlas = xatlas.Atlas()
    size = float(np.ptp(vertices, axis=0).max())
    # At unit size: xatlas takes edges and areas below fixed thresholds for degenerate.
    atlas.add_mesh((vertices / size).astype(np.float32), faces.astype(np.uint32))
    atlas.generate()
    if atlas.atlas_count != 1:
        return None
    _, corners, uv = atlas.get_mesh(0)
    used = np.unique(corners)
    if len(corners) != len(faces) or len(np.unique(uv[used], axis=0)) < 3:
        return None
    texels = uv.astype(np.float64) * (atlas.width, atlas.height)
    return Parameterization(texels * (size / atlas.texels_per_unit), corners.astype(np.int64))
