"""Models of other people from files: their parts with textures, colours and normals, in the world frame.

What is read: triangles, their places in the scene, the base colour (texture, factor, vertex colours), normals and the
pose that viewers show first. What isn't: alpha (a cut-out leaf is drawn whole), metalness, roughness, normal maps,
animation. `files.gltf` reads glTF; trimesh and usd-core the other formats.
"""

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from instantmesh.errors import InputError, InstantMeshError, MissingFileError
from instantmesh.files.asset_part import Array, AssetPart
from instantmesh.files.colors import linear_to_srgb
from instantmesh.files.frame import gltf_to_world
from instantmesh.files.gltf.reader import read_gltf
from instantmesh.files.usd_assets import read_usd_scene

ASSET_ENDINGS = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off", ".usdz")
_OBJ_DEFAULT = (102, 102, 102, 255)  # trimesh's diffuse colour of a material that has none
GREY = 0.8
_LIGHT = np.array((1.0, 0.5, 2.0)) / np.linalg.norm((1.0, 0.5, 2.0))  # towards the light, world frame
_SHADE = 0.6


def read_asset(path: str | PathLike[str]) -> list[AssetPart]:
    """Read a model whose up axis is y and front is +z, as glTF has it; other formats are taken to be like that too.

    An image `<stem>_texture.png` beside the file is the texture of parts with texture coordinates that have none in the
    file. Parts without any colour are grey.

    Raises:
        MissingFileError: no such file.
        InputError: unknown ending, or the file or an image in it can't be read, or it holds no triangles.
        MissingBackendError: USDZ without usd-core.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"no mesh file {path}")
    if path.suffix.lower() not in ASSET_ENDINGS:
        raise InputError(f"{path.name}: unknown mesh ending; use one of {', '.join(ASSET_ENDINGS)}")
    try:
        parts = _read_parts(path)
    except InstantMeshError:
        raise
    except Exception as error:  # trimesh's and Pillow's readers raise whatever their parsing stumbles over
        raise InputError(f"{path} can't be read as a mesh ({type(error).__name__}: {error})") from error
    if not parts:
        raise InputError(f"{path} holds no triangles")
    if not all(np.isfinite(part.vertices[part.faces]).all() for part in parts):
        raise InputError(f"{path} has vertices that aren't finite")
    return parts


def joined_triangles(parts: Sequence[AssetPart]) -> tuple[Array, NDArray[np.int64]]:
    """Vertices (v, 3) and faces (f, 3) of all parts together, in their order."""
    starts = np.cumsum([0] + [len(part.vertices) for part in parts[:-1]])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=True)]
    return np.concatenate([part.vertices for part in parts]), np.concatenate(faces)


def soft_light(normals: Array) -> Array:
    """Factors (n,) of one soft light from above for unit normals (n, 3) in the world frame.

    Models that are all of one colour get it baked in, or nothing but their outline would show:
    colour * (1 - shade * (1 - normal . light) / 2).
    """
    return 1 - _SHADE * (1 - normals @ _LIGHT) / 2


def _read_parts(path: Path) -> list[AssetPart]:
    if path.suffix.lower() in (".glb", ".gltf"):
        return [_coloured(part) for part in read_gltf(path)]
    import trimesh  # here, so that importing the package stays fast

    beside = path.with_name(f"{path.stem}_texture.png")
    texture_beside = functools.cache(lambda: _image_of(beside)) if beside.is_file() else None
    with _complaints() as complaints:
        scene = read_usd_scene(path) if path.suffix.lower() == ".usdz" else trimesh.load_scene(path)
    if complaints and texture_beside is None:
        raise InputError(f"{path}: a texture is missing or can't be read ({complaints[0]})")
    is_linear = path.suffix.lower() == ".usdz"
    pixels: dict[int, NDArray[np.uint8]] = {}  # of each image once; materials share them
    parts = []
    for node in scene.graph.nodes_geometry:  # not `scene.dump()`, which drops vertex colours beside a material
        transform, name = scene.graph[node]
        mesh = scene.geometry[name]
        if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces):
            parts.append(_read_part(mesh, transform, texture_beside, is_linear, pixels))
    return parts


def _coloured(part: AssetPart) -> AssetPart:
    """Grey, where the file says nothing of colours."""
    if part.texture is not None or part.colors is not None:
        return part
    return replace(part, colors=np.full(part.vertices.shape, GREY))


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """What trimesh says about images: it goes on without those it can't read, and tells its debugging log only."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "load image" in record.getMessage() or "textures are unsupported" in record.getMessage():
                error = record.exc_info[1] if record.exc_info else None
                complaints.append(str(error or record.getMessage()))

    complaints: list[str] = []
    log, listener = logging.getLogger("trimesh.util"), Listener()
    level, propagate = log.level, log.propagate
    log.addHandler(listener)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    try:
        yield complaints
    finally:
        log.removeHandler(listener)
        log.setLevel(level)
        log.propagate = propagate


def _read_part(
    mesh: Any,
    transform: Array,
    texture_beside: Callable[[], Image.Image] | None,
    is_linear: bool,
    pixels: dict[int, NDArray[np.uint8]],
) -> AssetPart:
    normals = mesh.vertex_normals if "vertex_normals" in mesh._cache else None  # else trimesh would make some up
    visual = mesh.visual
    uv, texture, colors = None, None, None
    if visual.kind == "texture":
        texture, colors = _material(visual)
        if texture is None and texture_beside is not None:  # what the file says goes before a guess from names
            texture = texture_beside()
        uv = visual.uv
    elif visual.kind in ("vertex", "face"):
        colors = _unit_range(visual.vertex_colors)
    if colors is not None:
        colors = np.broadcast_to(linear_to_srgb(colors) if is_linear else colors, mesh.vertices.shape).clip(0, 1)
    if uv is None or texture is None:
        uv, texture = None, None
        colors = np.full(mesh.vertices.shape, GREY) if colors is None else colors
    linear = transform[:3, :3]
    mirrored = np.linalg.det(linear) < 0
    return AssetPart(
        gltf_to_world(mesh.vertices @ linear.T + transform[:3, 3]),
        np.asarray(mesh.faces[:, ::-1] if mirrored else mesh.faces, dtype=np.int64),
        None if uv is None else np.nan_to_num(np.asarray(uv, dtype=np.float64)) * (1, -1) + (0, 1),
        None if texture is None else _pixels(texture, pixels),
        colors,
        None if normals is None else gltf_to_world(_unit(normals @ np.linalg.pinv(linear))),
    )


def _image_of(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _pixels(texture: Image.Image, known: dict[int, NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if id(texture) not in known:
        known[id(texture)] = np.asarray(texture.convert("RGB"))
    return known[id(texture)]


def _unit(vectors: Array) -> Array:
    """Of unit length; what has no direction is zero."""
    vectors = np.nan_to_num(vectors)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _material(visual: Any) -> tuple[Image.Image | None, Array | None]:
    """The colour texture of a trimesh visual and its colour, (3,) or (v, 3); None where the file gives none."""
    material = visual.material
    if hasattr(material, "baseColorTexture"):  # USD's, as `usd_assets` gives it
        color, at_vertices = material.baseColorFactor, visual.vertex_attributes.get("color")
        factors = [_unit_range(factor) for factor in (color, at_vertices) if factor is not None]
        return material.baseColorTexture, functools.reduce(np.multiply, factors) if factors else None
    # OBJ: trimesh puts a 2 x 2 image and a grey where the file gives nothing; a texture stands for the colour.
    if material.image is not None:
        return None if material.image.size == (2, 2) else material.image, None
    return None, None if tuple(material.diffuse) == _OBJ_DEFAULT else _unit_range(material.diffuse)


def _unit_range(colors: NDArray) -> Array:
    """RGB of RGB(A) integers of any width, or floats, as floats in [0, 1]."""
    colors = np.asarray(colors)
    largest = np.iinfo(colors.dtype).max if np.issubdtype(colors.dtype, np.integer) else 1
    return colors[..., :3].astype(np.float64) / largest
