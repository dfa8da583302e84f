"""PLY, STL and OFF files, by trimesh."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.files.asset_images import AssetImage, decode_image
from instantmesh.files.asset_part import AssetPart, unit_normals
from instantmesh.files.frame import gltf_to_world

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]


def read_plain(path: Path, texture_beside: Path | None) -> list[AssetPart]:
    """The triangles of a .ply, .stl or .off file, whose up axis is taken to be y, in the world frame.

    Args:
        path: of the file.
        texture_beside: an image for a file with texture coordinates that doesn't name its texture.

    Raises:
        InputError: its texture is missing or can't be read. trimesh raises more, whatever its parsing stumbles over.
    """
    import trimesh  # here, so that importing the package stays fast

    images: list[AssetImage] = []
    with _complaints() as complaints:
        mesh: Any = trimesh.load(path, process=False, resolver=_resolver(path, images))
    if not isinstance(mesh, trimesh.Trimesh) or not len(mesh.faces):
        return []
    if path.suffix.lower() == ".stl":  # whose triangles each have corners of their own
        mesh.merge_vertices(merge_norm=True)
    vertices, faces = gltf_to_world(mesh.vertices.astype(np.float64)), np.asarray(mesh.faces, dtype=np.int64)
    normals = mesh.vertex_normals if "vertex_normals" in mesh._cache else None  # else trimesh would make some up
    normals = None if normals is None or path.suffix.lower() == ".stl" else gltf_to_world(unit_normals(normals))
    visual: Any = mesh.visual
    if visual.kind == "texture" and visual.uv is not None:
        texture = _texture(path, images, texture_beside, complaints)
        if texture is not None:
            uv = np.nan_to_num(np.asarray(visual.uv, dtype=np.float64)) * (1, -1) + (0, 1)
            return [AssetPart(vertices, faces, uv, texture.pixels, None, normals, texture.format)]
    if visual.kind == "face":
        palette, uv = _palette(np.asarray(visual.face_colors)[:, :3])
        normals = None if normals is None else normals[faces].reshape(-1, 3)
        corners = np.arange(3 * len(faces)).reshape(-1, 3)
        return [AssetPart(vertices[faces].reshape(-1, 3), corners, np.repeat(uv, 3, axis=0), palette, None, normals)]
    colors = np.asarray(visual.vertex_colors)[:, :3] / 255 if visual.kind == "vertex" else None
    return [AssetPart(vertices, faces, None, None, colors, normals)]


def _texture(path: Path, own: list[AssetImage], beside: Path | None, complaints: list[str]) -> AssetImage | None:
    """What the file says goes before a guess from names."""
    if own:
        return own[0]
    if beside is not None:
        try:
            return decode_image(beside.read_bytes())
        except InputError as error:
            raise InputError(f"{path}: its texture {beside.name} can't be read ({error})") from error
    if complaints:
        raise InputError(f"{path}: a texture is missing or can't be read ({complaints[0]})")
    return None


def _resolver(path: Path, images: list[AssetImage]) -> Any:
    """How trimesh finds textures: in the file's folder only, of the formats that are read here; each goes to `images`.

    trimesh itself puts an image of its own where there is none, and tries any decoder that there is.
    """
    from trimesh.resolvers import FilePathResolver

    class Folder(FilePathResolver):
        def get(self, name: str) -> bytes:
            place = PurePosixPath(name.strip().replace("\\", "/"))
            if place.is_absolute() or ".." in place.parts:
                raise InputError(f"{name.strip()} isn't in its folder")
            data = (path.parent / place).read_bytes()
            images.append(decode_image(data))
            return data

    return Folder(str(path))


def _palette(colors: Pixels) -> tuple[Pixels, Array]:
    """An image with one texel for each different colour (f, 3), and where the colours lie in it, (f, 2).

    Colours of faces as colours of vertices would blend into each other.
    """
    different, index = np.unique(colors, axis=0, return_inverse=True)
    side = math.ceil(math.sqrt(len(different)))
    image = np.zeros((side * side, 3), np.uint8)
    image[: len(different)] = different
    place = np.stack([index.ravel() % side, index.ravel() // side], axis=1) + 0.5
    return image.reshape(side, side, 3), place / side


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
