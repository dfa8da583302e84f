"""Real meshes from files as true objects: in the world frame, inside the unit sphere, with vertex colours.

Colours come from a texture, from vertex colours or from a plain material. The renderers know vertex colours only, so a
coarse textured mesh is subdivided until its vertices can carry the texture. A mesh without colours is grey; one that is
all of one colour gets a soft light from above baked in, or nothing but its outline would show.
"""

import math
from dataclasses import replace
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instantmesh.files.colors import linear_to_srgb, sample_texture, srgb_to_linear
from instantmesh.files.model_files import MODEL_ENDINGS, ModelPart, read_model, soft_light
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.structures import Mesh

Array = NDArray[np.floating]

TRUE_MESH_ENDINGS = MODEL_ENDINGS
_TEXTURED_FACES = 40_000  # subdivision stops at this many, so at most four times as many come out


def load_mesh_in_world(path: str | PathLike[str]) -> Mesh:
    """Read a mesh file whose up axis is y and front is +z as a true object.

    The result is in the world frame (+z up, front +x), its bounding box centred, its farthest vertex at radius 1, so
    that cameras at radius 4 with a field of view of 30 degrees see it whole. A picture `<stem>_texture.png` beside the
    mesh is the texture of its textured parts.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file can't be read or holds no triangles.
    """
    parts = read_model(path)
    rounds = _subdivision_rounds(sum(len(part.faces) for part in parts if part.texture is not None))
    vertices, faces, colors = _join([_subdivided(part, rounds) for part in parts])
    mesh = Mesh(
        torch.tensor(vertices, dtype=torch.float32),
        torch.tensor(faces),
        torch.tensor(colors, dtype=torch.float32),
    )
    return _lit_if_plain(to_unit_sphere(mesh))


def _subdivision_rounds(face_count: int) -> int:
    """How often each triangle is cut in four so that `face_count` triangles become at least `_TEXTURED_FACES`."""
    return math.ceil(math.log(_TEXTURED_FACES / face_count, 4)) if 0 < face_count < _TEXTURED_FACES else 0


def _subdivided(part: ModelPart, rounds: int) -> ModelPart:
    """The part with its texture turned into vertex colours; parts without a texture stay as they are."""
    from trimesh.remesh import subdivide

    if part.texture is None or part.uv is None:
        return part
    vertices, faces = part.vertices, part.faces
    attributes: Any = {"uv": part.uv, "colors": np.ones_like(vertices) if part.colors is None else part.colors}
    for _ in range(rounds):
        subdivision: Any = subdivide(vertices, faces, vertex_attributes=attributes)
        vertices, faces, attributes = subdivision
    texture = srgb_to_linear(sample_texture(part.texture, attributes["uv"]))
    colors = linear_to_srgb(texture * srgb_to_linear(attributes["colors"]))  # glTF multiplies in linear light
    return replace(part, vertices=vertices, faces=faces, uv=None, texture=None, colors=colors, normals=None)


def _join(parts: list[ModelPart]) -> tuple[Array, NDArray[np.int64], Array]:
    """Vertices, faces and colours of all parts together; none has a texture any more."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    colors = [np.ones_like(part.vertices) if part.colors is None else part.colors for part in parts]
    return (
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate(colors).clip(0, 1),
    )


def _lit_if_plain(mesh: Mesh) -> Mesh:
    """A mesh of one colour gets a soft light baked in."""
    colors = mesh.vertex_colors
    if colors is None or float((colors - colors[0]).abs().max()) > 1e-3:
        return mesh
    shade = torch.from_numpy(soft_light(mesh.vertex_normals().numpy())).float()
    return Mesh(mesh.vertices, mesh.faces, colors * shade[:, None])
