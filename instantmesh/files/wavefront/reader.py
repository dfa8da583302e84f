"""The parts of an OBJ file: one for each of its materials."""

import logging
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.files.asset_images import AssetImage, decode_image
from instantmesh.files.asset_part import AssetPart, unit_normals
from instantmesh.files.colors import linear_to_srgb, srgb_to_linear
from instantmesh.files.frame import gltf_to_world
from instantmesh.files.wavefront.geometry import ObjGeometry, read_geometry
from instantmesh.files.wavefront.materials import ObjMaterial, find_beside, read_materials

_log = logging.getLogger(__name__)

Array = NDArray[np.floating]

_ALMOST_ONE = 1 - 1e-6


def read_obj(path: Path, texture_beside: Path | None) -> list[AssetPart]:
    """The triangles of an OBJ file, whose up axis is taken to be y, in the world frame.

    A material's texture stands for its colour, which many programs leave black or grey beside it; vertex colours
    multiply either. What is lost (normal maps, transparency, ...) is told as a warning.

    Args:
        path: of the file.
        texture_beside: an image for parts with texture coordinates whose texture the file doesn't name, or is missing.

    Raises:
        InputError: it is damaged, or a texture is missing.
    """
    geometry = read_geometry(path)
    materials = read_materials(path, geometry.libraries)
    images: dict[Path, AssetImage] = {}
    parts, lost = [], set(geometry.lost)
    for index in np.unique(geometry.material):
        name = geometry.materials[index] if index >= 0 else None
        material = materials.get(name) if name is not None else None
        lost |= material.lost if material is not None else set()
        corners = geometry.corners[geometry.material == index]
        textured = (corners[..., 1] >= 0).all(axis=1)
        for group, has_uv in ((corners[textured], True), (corners[~textured], False)):
            if len(group):
                texture = _texture(path, material, texture_beside, images) if has_uv else None
                if texture is not None and texture.shrunk_from_px is not None:
                    lost.add(f"texture's full size ({texture.shrunk_from_px} pixels)")
                parts.append(_part(geometry, group, material, texture))
    if lost:
        _log.warning("%s: read without its %s", path, ", ".join(sorted(lost)))
    return parts


def _texture(
    path: Path, material: ObjMaterial | None, beside: Path | None, images: dict[Path, AssetImage]
) -> AssetImage | None:
    file = beside
    if material is not None and material.texture is not None:
        file = find_beside(material.library, material.texture) or find_beside(path, material.texture) or beside
        if file is None:
            raise InputError(f"{path}: its texture {material.texture!r} is missing; put it into the same folder")
    if file is not None and file not in images:
        try:
            images[file] = decode_image(file.read_bytes())
        except (OSError, InputError) as error:
            raise InputError(f"{path}: its texture {file.name} can't be read ({error})") from error
    return None if file is None else images[file]


def _part(
    geometry: ObjGeometry, corners: NDArray[np.int64], material: ObjMaterial | None, texture: AssetImage | None
) -> AssetPart:
    """Triangles whose vertices each have one place in the texture and one normal."""
    _, first, group = np.unique(_keys(corners.reshape(-1, 3)), return_index=True, return_inverse=True)
    vertex, place, normal = corners.reshape(-1, 3)[first].T
    has_normals = len(geometry.normals) > 0 and bool((normal >= 0).all())
    return AssetPart(
        gltf_to_world(geometry.vertices[vertex]),
        group.reshape(-1, 3),
        _placed(geometry.uv[place], material) if texture is not None else None,
        None if texture is None else texture.pixels,
        _colors(geometry, vertex, material.color if material is not None and texture is None else None),
        gltf_to_world(unit_normals(geometry.normals[normal])) if has_normals else None,
        "png" if texture is None else texture.format,
    )


def _keys(corners: NDArray[np.int64]) -> NDArray[np.int64]:
    """(c,) a number for each different corner."""
    highest = corners.max(0) + 2
    return ((corners[:, 0] + 1) * highest[1] + corners[:, 1] + 1) * highest[2] + corners[:, 2] + 1


def _placed(uv: Array, material: ObjMaterial | None) -> Array:
    """Texture coordinates whose v runs down."""
    uv = np.nan_to_num(uv)
    if material is not None:
        uv = uv * material.scale + material.offset
        uv = uv.clip(0, _ALMOST_ONE) if material.clamped else uv
    return uv * (1, -1) + (0, 1)


def _colors(geometry: ObjGeometry, vertex: NDArray[np.int64], factor: Array | None) -> Array | None:
    """(v, 3) sRGB; None where nothing is said."""
    if geometry.colors is None:
        return None if factor is None else np.tile(factor, (len(vertex), 1))
    colors = geometry.colors[vertex]
    return colors if factor is None else linear_to_srgb(srgb_to_linear(colors) * srgb_to_linear(factor))
