"""Real meshes from files as true objects: in the world frame, inside the unit sphere, with their colours.

Colours come from a texture, from vertex colours or from a plain material. A mesh without colours is grey; one that is
all of one colour gets a soft light from above baked in, or nothing but its outline would show.
"""

from os import PathLike

import torch

from instantmesh.files.asset_files import ASSET_ENDINGS, read_asset, soft_light
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.mesh.reading import joined_mesh
from instantmesh.structures import Mesh

TRUE_MESH_ENDINGS = ASSET_ENDINGS


def load_mesh_in_world(path: str | PathLike[str]) -> Mesh:
    """Read a mesh file whose up axis is y and front is +z as a true object.

    The result is in the world frame (+z up, front +x), its bounding box centred, its farthest vertex at radius 1, so
    that cameras at radius 4 with a field of view of 30 degrees see it whole. An image `<stem>_texture.png` beside the
    mesh is the texture of its textured parts.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file can't be read or holds no triangles.
    """
    return _lit_if_plain(to_unit_sphere(joined_mesh(read_asset(path))))


def _lit_if_plain(mesh: Mesh) -> Mesh:
    """A mesh of one colour gets a soft light baked in."""
    colors = mesh.vertex_colors
    if colors is None or float((colors - colors[0]).abs().max()) > 1e-3:
        return mesh
    shade = torch.from_numpy(soft_light(mesh.vertex_normals().numpy())).float()
    return Mesh(mesh.vertices, mesh.faces, colors * shade[:, None])
