"""Boolean differences of solids. Normals, texture coordinates and textures pass through the cut (manifold3d)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from instantmesh.data.procedural.zeroverse.solids import Solid
from instantmesh.geometry.triangles import unit


def difference(solids: Sequence[Solid], cutter: Solid) -> list[Solid]:
    """The solids without what lies in `cutter`; those that lie in it altogether are gone. Each has one texture.

    The faces of the cut carry the cutter's texture, at the cutter's own texture coordinates; their normals point into
    the hole, out of the solid.
    """
    removed = _manifold(cutter)
    rests = [_rest(solid, cutter, removed) if _boxes_meet(solid, cutter) else solid for solid in solids]
    return [rest for rest in rests if rest is not None]


def _rest(solid: Solid, cutter: Solid, removed: Any) -> Solid | None:
    """`solid` without `cutter`, which is `removed` to manifold3d; None where nothing is left."""
    result = (_manifold(solid) - removed).to_mesh()
    faces = result.tri_verts.astype(np.int64)
    if len(faces) == 0:
        return None
    vertices, local, normals, texture = np.split(result.vert_properties, [3, 6, 9], axis=1)
    texture = texture[:, 0].round().astype(np.int64)
    normals = np.where((texture == cutter.texture[0])[:, None], -normals, normals)
    place = np.arange(len(vertices))
    place[result.merge_from_vert] = result.merge_to_vert
    return Solid(vertices, faces, unit(normals), local, texture[faces[:, 0]], place)


def _manifold(solid: Solid) -> Any:
    """The solid as manifold3d has it. Its vertices carry texture coordinates, normals and their texture's number."""
    import manifold3d  # here, so that importing the package stays fast

    first, point = np.unique(solid.place, return_index=True, return_inverse=True)[1:]
    again = np.flatnonzero(first[point] != np.arange(len(point)))
    texture = np.full((len(solid.vertices), 1), solid.texture[0])
    properties = np.concatenate([solid.vertices, solid.local, solid.normals, texture], 1)
    mesh = manifold3d.Mesh(
        np.ascontiguousarray(properties, np.float32),
        solid.faces.astype(np.uint32),
        merge_from_vert=again.astype(np.uint32),
        merge_to_vert=first[point][again].astype(np.uint32),
    )
    return manifold3d.Manifold(mesh)


def _boxes_meet(one: Solid, other: Solid) -> bool:
    apart = (one.vertices.min(0) > other.vertices.max(0)) | (one.vertices.max(0) < other.vertices.min(0))
    return not bool(apart.any())
