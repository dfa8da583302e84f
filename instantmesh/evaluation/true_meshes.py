"""Real meshes from files as true objects: in the world frame, inside the unit sphere, with their colours.

Colours come from a texture, from vertex colours or from a plain material. A mesh without colours is grey; one that is
all of one colour gets a soft light from above baked in, or nothing but its outline would show.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from instantmesh.files.asset_files import ASSET_ENDINGS, soft_light
from instantmesh.files.frame import Frame, world_to_gltf
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.mesh.reading import read_mesh
from instantmesh.render.raster import PLAIN_COLOR
from instantmesh.structures import Mesh

TRUE_MESH_ENDINGS = ASSET_ENDINGS


def load_mesh_in_world(
    path: str | PathLike[str],
    up: str = "y",
    front: str | None = "z",
    textures: Path | None = None,
    turn_deg: float = 0.0,
) -> Mesh:
    """Read a mesh file as a true object.

    The result is in the world frame (+z up, front +x), its bounding box centred, its farthest vertex at radius 1, so
    that cameras at radius 4 with a field of view of 30 degrees see it whole. An image `<stem>_texture.png` beside the
    mesh is the texture of its textured parts.

    Args:
        path: the file.
        up: the file's axis that points up.
        front: the file's axis that the front looks along; None takes the one after `up`.
        textures: folder of the images that the file's material names without a path.
        turn_deg: turns the object about the up axis, counter-clockwise seen from above.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file can't be read or holds no triangles; no such axes.
    """
    mesh = turned(read_in_world(path, up, front, textures), turn_deg)
    return _lit_if_plain(to_unit_sphere(mesh))


def read_in_world(
    path: str | PathLike[str], up: str = "y", front: str | None = "z", textures: Path | None = None
) -> Mesh:
    """A mesh file whose axes are `up` and `front` in the world frame, in its own units.

    Args:
        path: the file.
        up: the file's axis that points up.
        front: the file's axis that the front looks along; None takes the one after `up`.
        textures: folder of the images that the file's material names without a path.

    Raises:
        MissingFileError: no such file.
        InputError: it can't be read, or holds no triangles; no such axes.
    """
    rotation = Frame(up, front).rotation()
    with _beside_its_textures(Path(path), textures) as readable:
        mesh = read_mesh(readable)  # taken to be y up, front z
    as_in_file = world_to_gltf(mesh.vertices.double().numpy())
    return replace(mesh, vertices=torch.from_numpy(as_in_file @ rotation).float())


def turned(mesh: Mesh, angle_deg: float) -> Mesh:
    """The mesh turned about the world's up axis, counter-clockwise seen from above."""
    if angle_deg == 0:
        return mesh
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    rotation = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    return replace(mesh, vertices=(mesh.vertices.double() @ rotation.T).to(mesh.vertices))


@contextmanager
def _beside_its_textures(path: Path, textures: Path | None) -> Iterator[Path]:
    """The file in a temporary folder with its materials and textures, if they lie apart from each other."""
    if textures is None or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        for source in (*textures.iterdir(), *path.parent.iterdir()):
            if source.is_file():
                shutil.copy(source, Path(folder) / source.name)
        yield Path(folder) / path.name


def _lit_if_plain(mesh: Mesh) -> Mesh:
    """A mesh without a texture that is all of one colour gets a soft light baked in."""
    if mesh.texture is not None:
        return mesh
    colors = torch.full_like(mesh.vertices, PLAIN_COLOR) if mesh.vertex_colors is None else mesh.vertex_colors
    if float((colors - colors[0]).abs().max()) > 1e-3:
        return mesh
    shade = torch.from_numpy(soft_light(mesh.vertex_normals().numpy())).float()
    return Mesh(mesh.vertices, mesh.faces, colors * shade[:, None])
