"""Models of other people from files: their parts with textures, colours and normals, in the world frame.

What is read: triangles, their places in the scene, the base colour (texture, factor, vertex colours), normals and the
pose that viewers show first. What isn't: alpha (a cut-out leaf is drawn whole), metalness, roughness, normal maps,
animation. `files.gltf` reads glTF, `files.wavefront` OBJ; usd-core reads USD, trimesh the other formats.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError, InstantMeshError, MissingFileError
from instantmesh.files.asset_part import Array, AssetPart
from instantmesh.files.gltf.reader import read_gltf
from instantmesh.files.plain_assets import read_plain
from instantmesh.files.usd_assets import read_usd
from instantmesh.files.wavefront.reader import read_obj

_log = logging.getLogger(__name__)

ASSET_ENDINGS = (".obj", ".glb", ".gltf", ".ply", ".stl", ".off", ".usdz")
GREY = 0.8
_FAR = 1000  # times its size; single precision then tells 20,000 places apart along each axis
_LIGHT = np.array((1.0, 0.5, 2.0)) / np.linalg.norm((1.0, 0.5, 2.0))  # towards the light, world frame
_SHADE = 0.6


def read_asset(path: str | PathLike[str]) -> list[AssetPart]:
    """Read a model whose up axis is y and front is +z, as glTF has it; other formats are taken to be like that too.

    A model that stands thousands of its sizes away from the origin (coordinates of a map) is moved there, which is told
    as a warning: in single precision little would remain of its shape. An image `<stem>_texture.png` beside the file is
    the texture of parts with texture coordinates that have none in the file. Parts without any colour are grey.

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
    parts = [_coloured(part) for part in parts if len(part.faces)]
    if not parts:
        raise InputError(f"{path} holds no triangles")
    if not all(np.isfinite(part.vertices[part.faces]).all() for part in parts):
        raise InputError(f"{path} has vertices that aren't finite")
    return _near_the_origin(path, parts)


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
    ending, beside = path.suffix.lower(), path.with_name(f"{path.stem}_texture.png")
    texture_beside = beside if beside.is_file() else None
    if ending in (".glb", ".gltf"):
        return read_gltf(path)
    if ending == ".obj":
        return read_obj(path, texture_beside)
    return read_usd(path) if ending == ".usdz" else read_plain(path, texture_beside)


def _near_the_origin(path: Path, parts: list[AssetPart]) -> list[AssetPart]:
    low = np.min([part.vertices[part.faces].min((0, 1)) for part in parts], axis=0)
    high = np.max([part.vertices[part.faces].max((0, 1)) for part in parts], axis=0)
    center = (low + high) / 2
    if np.abs(center).max() <= _FAR * (high - low).max():
        return parts
    _log.warning("%s stands far from the origin, around %s; it is moved there", path, center.round(3).tolist())
    return [replace(part, vertices=part.vertices - center) for part in parts]


def _coloured(part: AssetPart) -> AssetPart:
    """Grey, where the file says nothing of colours."""
    if part.texture is not None or part.colors is not None:
        return part
    return replace(part, colors=np.full(part.vertices.shape, GREY))
