"""Real meshes from files as true objects: in the world frame, inside the unit sphere, with vertex colours.

Colours come from a texture, from vertex colours or from a plain material. The renderers know vertex colours only, so a
coarse textured mesh is subdivided until its vertices can carry the texture. A mesh without colours is grey; one that is
all of one colour gets a soft light from above baked in, or nothing but its outline would show.
"""

import functools
import math
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from instantmesh.errors import InputError, MissingFileError
from instantmesh.files.mesh_files import gltf_to_world, srgb_to_linear
from instantmesh.structures import Mesh

Array = NDArray[np.floating]

TRUE_MESH_ENDINGS = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off")
_TEXTURED_FACES = 40_000  # subdivision stops at this many, so at most four times as many come out
_OBJ_DEFAULT = (102, 102, 102, 255)  # trimesh's diffuse colour of a material that has none
_GREY = 0.8
_LIGHT = (1.0, 0.5, 2.0)  # towards the light, world frame
_SHADE = 0.6


@dataclass(frozen=True)
class _Part:
    vertices: Array
    faces: NDArray[np.int64]
    uv: Array | None
    texture: Image.Image | None
    colors: Array | None  # (v, 3) sRGB; multiplies the texture


def load_mesh_in_world(path: str | PathLike[str]) -> Mesh:
    """Read a mesh file whose up axis is y and front is +z as a true object.

    The result is in the world frame (+z up, front +x), its bounding box centred, its farthest vertex at radius 1, so
    that cameras at radius 4 with a field of view of 30 degrees see it whole. A picture `<stem>_texture.png` beside the
    mesh is the texture of its textured parts.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file can't be read or holds no triangles.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no mesh file {path}")
    if path.suffix.lower() not in TRUE_MESH_ENDINGS:
        raise InputError(f"{path.name}: unknown mesh ending; use one of {', '.join(TRUE_MESH_ENDINGS)}")
    parts = _read_parts(path)
    rounds = _subdivision_rounds(sum(len(part.faces) for part in parts if part.texture is not None))
    vertices, faces, colors = _join([_subdivided(part, rounds) for part in parts])
    mesh = Mesh(
        torch.tensor(gltf_to_world(vertices), dtype=torch.float32),
        torch.tensor(faces),
        torch.tensor(colors, dtype=torch.float32),
    )
    return _lit_if_plain(normalise_to_sphere(mesh))


def normalise_to_sphere(mesh: Mesh) -> Mesh:
    """Move the bounding box's centre to the origin and scale the farthest vertex to radius 1.

    Only vertices that faces use count.

    Raises:
        InputError: no faces, or all vertices in one point.
    """
    used = mesh.vertices[mesh.faces.flatten()]
    if not len(used):
        raise InputError("the mesh has no faces")
    centre = (used.amin(0) + used.amax(0)) / 2
    radius = (used - centre).norm(dim=-1).max()
    if float(radius) == 0:
        raise InputError("all vertices of the mesh lie in one point")
    return Mesh((mesh.vertices - centre) / radius, mesh.faces, mesh.vertex_colors)


def _read_parts(path: Path) -> list[_Part]:
    import trimesh  # here, so that importing the package stays fast

    try:
        scene = trimesh.load_scene(path)
    except Exception as error:  # trimesh's readers raise whatever their parsing stumbles over
        raise InputError(f"{path} can't be read as a mesh ({type(error).__name__}: {error})") from error
    beside = path.with_name(f"{path.stem}_texture.png")
    texture_beside = Image.open(beside) if beside.is_file() else None
    is_linear = path.suffix.lower() in (".glb", ".gltf")
    parts = []
    for node in scene.graph.nodes_geometry:  # not `scene.dump()`, which drops vertex colours beside a material
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            parts.append(_read_part(mesh, transform, texture_beside, is_linear))
    if not parts:
        raise InputError(f"{path} holds no triangles")
    return parts


def _read_part(mesh: Any, transform: Array, texture_beside: Image.Image | None, is_linear: bool) -> _Part:
    visual = mesh.visual
    uv, texture, colors = None, None, None
    if visual.kind == "texture":
        texture, colors = _material(visual)
        texture = texture_beside or texture
        uv = visual.uv
    elif visual.kind in ("vertex", "face"):
        colors = _unit_range(visual.vertex_colors)
    if colors is not None:
        colors = np.broadcast_to(linear_to_srgb(colors) if is_linear else colors, mesh.vertices.shape)
    if uv is None or texture is None:
        uv, texture = None, None
    faces = mesh.faces if np.linalg.det(transform[:3, :3]) > 0 else mesh.faces[:, ::-1]
    return _Part(mesh.vertices @ transform[:3, :3].T + transform[:3, 3], faces, uv, texture, colors)


def _material(visual: Any) -> tuple[Image.Image | None, Array | None]:
    """The colour texture of a trimesh visual and its colour, (3,) or (v, 3); None where the file gives none."""
    material = visual.material
    if hasattr(material, "baseColorTexture"):
        color, at_vertices = material.baseColorFactor, visual.vertex_attributes.get("color")
        factors = [_unit_range(factor) for factor in (color, at_vertices) if factor is not None]
        return material.baseColorTexture, functools.reduce(np.multiply, factors) if factors else None
    # OBJ: trimesh puts a 2 x 2 picture and a grey where the file gives nothing; a texture stands for the colour.
    if material.image is not None:
        return None if material.image.size == (2, 2) else material.image, None
    return None, None if tuple(material.diffuse) == _OBJ_DEFAULT else _unit_range(material.diffuse)


def _unit_range(colors: NDArray) -> Array:
    """RGB of RGB(A) integers of any width, or floats, as floats in [0, 1]."""
    colors = np.asarray(colors)
    largest = np.iinfo(colors.dtype).max if np.issubdtype(colors.dtype, np.integer) else 1
    return colors[..., :3].astype(np.float64) / largest


def linear_to_srgb(colors: Array) -> Array:
    """The sRGB transfer function (IEC 61966-2-1), values in [0, 1]: the inverse of `srgb_to_linear`."""
    return np.where(colors <= 0.0031308, colors * 12.92, 1.055 * np.maximum(colors, 0.0031308) ** (1 / 2.4) - 0.055)


def _subdivision_rounds(face_count: int) -> int:
    """How often each triangle is cut in four so that `face_count` triangles become at least `_TEXTURED_FACES`."""
    return math.ceil(math.log(_TEXTURED_FACES / face_count, 4)) if 0 < face_count < _TEXTURED_FACES else 0


def _subdivided(part: _Part, rounds: int) -> _Part:
    """The part with its texture turned into vertex colours; parts without a texture stay as they are."""
    from trimesh.remesh import subdivide

    if part.texture is None or part.uv is None:
        return part
    vertices, faces = part.vertices, part.faces
    attributes: Any = {"uv": part.uv, "colors": np.ones_like(vertices) if part.colors is None else part.colors}
    for _ in range(rounds):
        subdivision: Any = subdivide(vertices, faces, vertex_attributes=attributes)
        vertices, faces, attributes = subdivision
    texture = srgb_to_linear(_sample_texture(part.texture, attributes["uv"]))
    colors = linear_to_srgb(texture * srgb_to_linear(attributes["colors"]))  # glTF multiplies in linear light
    return _Part(vertices, faces, None, None, colors)


def _sample_texture(texture: Image.Image, uv: Array) -> Array:
    """Bilinear colours (v, 3) at `uv` (origin bottom left), the texture repeated beyond [0, 1]."""
    image = np.asarray(texture.convert("RGB"), dtype=np.float64) / 255
    height, width, _ = image.shape
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(x), np.floor(y)
    right_share, bottom_share = (x - left)[:, None], (y - top)[:, None]
    j, i = left.astype(np.int64), top.astype(np.int64)

    def texel(row: NDArray[np.int64], column: NDArray[np.int64]) -> Array:
        return image[row % height, column % width]

    upper = texel(i, j) * (1 - right_share) + texel(i, j + 1) * right_share
    lower = texel(i + 1, j) * (1 - right_share) + texel(i + 1, j + 1) * right_share
    return upper * (1 - bottom_share) + lower * bottom_share


def _join(parts: list[_Part]) -> tuple[Array, NDArray[np.int64], Array]:
    """Vertices, faces and colours of all parts together; parts without colours are grey."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    return (
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, starts, strict=True)]),
        np.concatenate([np.full_like(p.vertices, _GREY) if p.colors is None else p.colors for p in parts]).clip(0, 1),
    )


def _lit_if_plain(mesh: Mesh) -> Mesh:
    """A mesh of one colour under one soft light: colour * (1 - shade * (1 - normal . light) / 2)."""
    colors = mesh.vertex_colors
    if colors is None or float((colors - colors[0]).abs().max()) > 1e-3:
        return mesh
    light = torch.nn.functional.normalize(torch.tensor(_LIGHT), dim=0)
    shade = 1 - _SHADE * (1 - mesh.vertex_normals() @ light) / 2
    return Mesh(mesh.vertices, mesh.faces, colors * shade[:, None])
